"""Commands, their responses and their evidence as the API shows them.

What a user or a vehicle sent as JSON is spliced in as the text that it is: nothing is decoded to be encoded again.
"""

from typing import Any, Literal

from orjson import Fragment
from pydantic import ConfigDict, Field

from gateway.api_types import ApiAnswer, rfc3339
from service_kit.tracing import trace_id_of
from sovd_protos.command.v1 import command_pb2 as pb

Status = Literal["pending", "dispatched", "in_progress", "completed", "failed", "timed_out", "expired", "cancelled"]

COMMAND_EXAMPLE: dict[str, Any] = {
    "command_id": "01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b",
    "status": "pending",
    "vehicle_id": "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10",
    "vin": "WDD1234567890ABCD",
    "command_name": "ReadDTC",
    "command_params": {"ecuAddress": "0x10"},
    "command_class": "read",
    "repeatable": True,
    "user_id": "8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11",
    "username": "engineer",
    "priority": 0,
    "timeout_seconds": 30,
    "attempt": 1,
    "responses": 0,
    "revision": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-01-31T12:15:00.000000Z",
    "dispatched_at": None,
    "started_at": None,
    "completed_at": None,
    "error_code": None,
    "error_message": None,
    "nrc": None,
    "nrc_name": None,
    "cancel_outcome": None,
    "cancel_requested_by": None,
    "held_back": None,
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
}
RESPONSE_EXAMPLE: dict[str, Any] = {
    "sequence_number": 1,
    "attempt": 1,
    "response": {"ecuAddress": "0x10", "code": "0x012345", "display_code": "P0123-45", "status": {"testFailed": True}},
    "received_at": "2026-01-31T12:00:00.120000Z",
}
EVIDENCE_EXAMPLE: dict[str, Any] = {
    "evidence_id": 17,
    "attempt": 1,
    "number": 3,
    "kind": "outcome",
    "body": "completed",
    "reason": "after_end",
    "received_at": "2026-01-31T12:00:31.000000Z",
}


class HeldBack(ApiAnswer):
    owner: str
    until: str = Field(description="When the lock ends, unless it is renewed.")


class CommandAnswer(ApiAnswer):
    model_config = ConfigDict(json_schema_extra={"example": COMMAND_EXAMPLE})

    command_id: str
    status: Status
    vehicle_id: str
    vin: str
    command_name: str
    command_params: dict[str, Any]
    command_class: str = Field(description="read, write or actuate")
    repeatable: bool = Field(description="Tried again when an attempt fails; others reach a vehicle at most once.")
    user_id: str
    username: str
    priority: int
    timeout_seconds: int
    attempt: int = Field(description="The attempt being made, or to be made.")
    responses: int = Field(description="How many responses are recorded.")
    revision: int = Field(description="Counts the changes of the status.")
    created_at: str
    expires_at: str
    dispatched_at: str | None
    started_at: str | None
    completed_at: str | None
    error_code: str | None = Field(description="Why it ended without completing.")
    error_message: str | None
    nrc: str | None = Field(description="Negative response code (ISO 14229-1), such as 0x22.")
    nrc_name: str | None
    cancel_outcome: str | None = Field(description="What came of a cancel: requested, prevented, cancelled, too_late.")
    cancel_requested_by: str | None
    held_back: HeldBack | None = Field(description="It waits because somebody else has locked the vehicle.")
    trace_id: str | None = Field(description="Under which all that was done for it is found in logs and traces.")


class CommandList(ApiAnswer):
    items: list[CommandAnswer]
    next_cursor: str | None


class RecordedResponse(ApiAnswer):
    sequence_number: int
    attempt: int
    response: dict[str, Any] = Field(description="The vehicle's answer, as it sent it.")
    received_at: str


class ResponseList(ApiAnswer):
    items: list[RecordedResponse]
    has_more: bool = Field(description="Ask again with `after` = the last sequence_number.")


class EvidenceItem(ApiAnswer):
    evidence_id: int
    attempt: int
    number: int = Field(description="The vehicle's number within the attempt.")
    kind: str = Field(description="response, progress, outcome or unreadable")
    body: dict[str, Any] | str = Field(description="A response is an object; of the rest, a text.")
    reason: str = Field(description="Why it does not count: after_end, older_attempt or unreadable.")
    received_at: str


class EvidenceList(ApiAnswer):
    items: list[EvidenceItem]
    next_cursor: str | None


class CancelAnswer(ApiAnswer):
    outcome: Literal["prevented", "cancelled", "too_late", "requested"]
    command: CommandAnswer


def command_json(command: pb.Command) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "status": command.status,
        "vehicle_id": command.vehicle_id,
        "vin": command.vin,
        "command_name": command.command_name,
        "command_params": Fragment(command.command_params or "{}"),
        "command_class": command.command_class,
        "repeatable": command.repeatable,
        "user_id": command.user_id,
        "username": command.username,
        "priority": command.priority,
        "timeout_seconds": command.timeout_seconds,
        "attempt": command.attempt,
        "responses": command.responses,
        "revision": command.revision,
        "created_at": rfc3339(command.created_at_us),
        "expires_at": rfc3339(command.expires_at_us),
        "dispatched_at": rfc3339(command.dispatched_at_us),
        "started_at": rfc3339(command.started_at_us),
        "completed_at": rfc3339(command.completed_at_us),
        "error_code": command.error_code or None,
        "error_message": command.error_message or None,
        "nrc": f"0x{command.nrc:02X}" if command.nrc else None,
        "nrc_name": command.nrc_name or None,
        "cancel_outcome": command.cancel_outcome or None,
        "cancel_requested_by": command.cancel_requested_by or None,
        "held_back": _held_back_json(command.held_back) if command.HasField("held_back") else None,
        "trace_id": trace_id_of(command.traceparent) or None,
    }


def _held_back_json(held_back: pb.HeldBack) -> dict[str, Any]:
    return {"owner": held_back.owner, "until": rfc3339(held_back.until_us)}


def response_json(response: pb.RecordedResponse) -> dict[str, Any]:
    return {
        "sequence_number": response.sequence_number,
        "attempt": response.attempt,
        "response": Fragment(response.body),
        "received_at": rfc3339(response.received_at_us),
    }


def evidence_json(evidence: pb.Evidence) -> dict[str, Any]:
    return {
        "evidence_id": evidence.evidence_id,
        "attempt": evidence.attempt,
        "number": evidence.number,
        "kind": evidence.kind,
        "body": Fragment(evidence.body) if evidence.kind == "response" else evidence.body,
        "reason": evidence.reason,
        "received_at": rfc3339(evidence.received_at_us),
    }
