"""Between the domain and the protocol buffers; no decisions."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Command
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.events import ViewerEvent
from command_service.domain.preconditions import Precondition, Reading
from command_service.domain.results import Evidence, Outcome, OutcomeKind, Progress, RecordedResponse, Result
from command_service.domain.vehicle import Ecu, LinkProblem, Vehicle
from command_service.use_cases.actor import Actor
from command_service.use_cases.ports import Assignment
from command_service.use_cases.submission_batch import Submission
from command_service.use_cases.vehicle_sessions import TakeUp
from service_kit.errors import InvalidInput
from service_kit.uds import nrc_name
from sovd_protos.audit.v1 import audit_pb2
from sovd_protos.command.v1 import command_pb2
from sovd_protos.connector.v1 import connector_pb2
from sovd_protos.live.v1 import live_pb2
from sovd_protos.vehicle.v1 import vehicle_pb2

_OUTCOMES = {
    connector_pb2.Outcome.COMPLETED: OutcomeKind.COMPLETED,
    connector_pb2.Outcome.FAILED: OutcomeKind.FAILED,
    connector_pb2.Outcome.TIMED_OUT: OutcomeKind.TIMED_OUT,
    connector_pb2.Outcome.CANCELLED: OutcomeKind.CANCELLED,
    connector_pb2.Outcome.NOT_HANDED_OVER: OutcomeKind.NOT_HANDED_OVER,
    connector_pb2.Outcome.LOST: OutcomeKind.LOST,
}


def to_microseconds(at: datetime | None) -> int:
    """Since the Unix epoch; 0 for None."""
    return 0 if at is None else round(at.timestamp() * 1_000_000)


def from_microseconds(microseconds: int) -> datetime | None:
    """None for 0. Raises InvalidInput for what lies outside of the calendar."""
    try:
        return datetime.fromtimestamp(microseconds / 1_000_000, UTC) if microseconds else None
    except (ValueError, OverflowError):
        raise InvalidInput("VALIDATION_FAILED", "a time must lie in the years 1 to 9999") from None


def milliseconds_left(left: timedelta) -> int:
    """For a field that is 0 where nobody says, and has 32 bits."""
    return min(max(1, left // timedelta(milliseconds=1)), 2**32 - 1)


def actor_from_proto(actor: command_pb2.Actor) -> Actor:
    return Actor(actor.user_id, actor.username, actor.role)


def submission_from_proto(submission: command_pb2.Submission) -> Submission:
    return Submission(
        command_id=submission.command_id,
        vehicle_id=submission.vehicle_id,
        command_name=submission.command_name,
        command_params=submission.command_params,
        actor=actor_from_proto(submission.actor),
        timeout_seconds=submission.timeout_seconds if submission.HasField("timeout_seconds") else None,
        expires_in_seconds=submission.expires_in_seconds if submission.HasField("expires_in_seconds") else None,
        priority=submission.priority,
        idempotency_key=submission.idempotency_key,
        request_hash=submission.request_hash,
        traceparent=submission.traceparent,
    )


def command_to_proto(command: Command, vin: str, held_back_by: DiagnosticLock | None = None) -> command_pb2.Command:
    return command_pb2.Command(
        command_id=command.command_id,
        vehicle_id=command.vehicle_id,
        vin=vin,
        command_name=command.command_name,
        command_params=command.command_params,
        command_class=command.command_class,
        repeatable=command.repeatable,
        status=command.status,
        user_id=command.user_id,
        username=command.username,
        priority=command.priority,
        timeout_seconds=command.timeout_seconds,
        attempt=command.attempt,
        responses=command.responses,
        revision=command.revision,
        created_at_us=to_microseconds(command.created_at),
        expires_at_us=to_microseconds(command.expires_at),
        dispatched_at_us=to_microseconds(command.dispatched_at),
        started_at_us=to_microseconds(command.started_at),
        completed_at_us=to_microseconds(command.completed_at),
        error_code=command.error_code,
        error_message=command.error_message,
        nrc=command.nrc,
        nrc_name=nrc_name(command.nrc) if command.nrc else "",
        cancel_outcome=command.cancel_outcome,
        cancel_requested_by=command.cancel_requested_by,
        traceparent=command.traceparent,
        held_back=None
        if held_back_by is None
        else command_pb2.HeldBack(owner=held_back_by.owner, until_us=to_microseconds(held_back_by.expires_at)),
    )


def response_to_proto(response: RecordedResponse) -> command_pb2.RecordedResponse:
    return command_pb2.RecordedResponse(
        sequence_number=response.sequence_number,
        attempt=response.attempt,
        body=response.body,
        received_at_us=to_microseconds(response.received_at),
    )


def evidence_to_proto(evidence: Evidence) -> command_pb2.Evidence:
    return command_pb2.Evidence(
        evidence_id=evidence.evidence_id,
        attempt=evidence.attempt,
        number=evidence.number,
        kind=evidence.kind,
        body=evidence.body,
        reason=evidence.reason,
        received_at_us=to_microseconds(evidence.received_at),
    )


def viewer_event_to_proto(event: ViewerEvent) -> live_pb2.CommandEvent:
    return live_pb2.CommandEvent(
        sequence_number=event.sequence_number,
        revision=event.revision,
        responses=event.responses,
        terminal=event.terminal,
        json=event.json,
    )


def vehicle_to_proto(vehicle: Vehicle) -> vehicle_pb2.Vehicle:
    return vehicle_pb2.Vehicle(
        vehicle_id=vehicle.vehicle_id,
        vin=vehicle.vin,
        make=vehicle.make,
        model=vehicle.model,
        year=vehicle.year,
        link=vehicle_pb2.Link(kind=vehicle.link_kind, address=vehicle.link_address),
        connection_status=vehicle.connection_status,
        last_seen_at_us=to_microseconds(vehicle.last_seen_at),
        ecus=[_ecu_to_proto(ecu) for ecu in vehicle.ecus],
        created_at_us=to_microseconds(vehicle.created_at),
        lock=None if vehicle.lock is None else _lock_to_proto(vehicle.lock),
        link_problem=None if vehicle.link_problem is None else _link_problem_to_proto(vehicle.link_problem),
    )


def _link_problem_to_proto(problem: LinkProblem) -> vehicle_pb2.LinkProblem:
    return vehicle_pb2.LinkProblem(reason=problem.reason, since_us=to_microseconds(problem.since))


def _lock_to_proto(lock: DiagnosticLock) -> vehicle_pb2.Lock:
    return vehicle_pb2.Lock(
        owner_id=lock.owner_id,
        owner=lock.owner,
        taken_at_us=to_microseconds(lock.taken_at),
        expires_at_us=to_microseconds(lock.expires_at),
    )


def _ecu_to_proto(ecu: Ecu) -> vehicle_pb2.Ecu:
    seen_at_us = to_microseconds(ecu.seen_at)
    return vehicle_pb2.Ecu(address=ecu.address, name=ecu.name, facts=ecu.facts, seen_at_us=seen_at_us)


def ecu_from_proto(ecu: vehicle_pb2.Ecu) -> Ecu:
    return Ecu(ecu.address, ecu.name)


def audit_entry_to_proto(entry: AuditEntry) -> audit_pb2.AuditEntry:
    return audit_pb2.AuditEntry(
        entry_id=entry.entry_id,
        at_us=to_microseconds(entry.at),
        action=entry.action,
        actor_id=entry.actor_id,
        actor_name=entry.actor_name,
        subject_kind=entry.subject_kind,
        subject_id=entry.subject_id,
        outcome=entry.outcome,
        details_json=json.dumps(entry.details, ensure_ascii=False),
        chain_number=entry.chain_number,
        hash=entry.hash,
        remote_address=entry.remote_address,
    )


def audit_entry_from_proto(entry: audit_pb2.AuditEntry) -> AuditEntry:
    """Raises InvalidInput when the entry is not well formed."""
    try:
        details = json.loads(entry.details_json or "{}")
        json.dumps(details, ensure_ascii=False).encode()  # escaped, half a surrogate pair is JSON; it is no text
    except ValueError as error:
        raise InvalidInput("VALIDATION_FAILED", f"details_json of an audit entry is not JSON: {error}") from None
    return AuditEntry(
        entry_id=entry.entry_id,
        at=from_microseconds(entry.at_us) or datetime.now(UTC),
        action=entry.action,
        actor_id=entry.actor_id,
        actor_name=entry.actor_name,
        subject_kind=entry.subject_kind,
        subject_id=entry.subject_id,
        outcome=entry.outcome,
        details=details,
        remote_address=entry.remote_address,
    )


def result_from_proto(result: connector_pb2.Result, connector_id: str, now: datetime, traceparent: str) -> Result:
    return Result(
        command_id=result.command_id,
        attempt=result.attempt,
        number=result.number,
        content=_content(result),
        connector_id=connector_id,
        received_at=now,
        traceparent=traceparent,
    )


def _content(result: connector_pb2.Result) -> str | Progress | Outcome:
    match result.WhichOneof("kind"):
        case "response":
            return result.response
        case "progress":
            return Progress(_nrc(result.progress.nrc), result.progress.message)
        case _:
            outcome = result.outcome
            # A kind of a newer connector: all that is sure is that it did not complete as this version knows it.
            kind = _OUTCOMES.get(outcome.kind, OutcomeKind.LOST)
            nrc, number = _nrc(outcome.nrc), outcome.dispatch_number
            return Outcome(kind, outcome.code, outcome.message, nrc, number, outcome.unreadable)


def _nrc(value: int) -> int:
    """One byte (ISO 14229-1); what is none must not fail the batch that it comes with."""
    return value if value <= 0xFF else 0


def assignments_to_proto(assigned: Sequence[Assignment]) -> connector_pb2.Assignments:
    return connector_pb2.Assignments(
        vehicles=[
            connector_pb2.DialledVehicle(
                vehicle_id=one.vehicle_id, vin=one.vin, link_kind=one.link_kind, address=one.address
            )
            for one in assigned
        ]
    )


def required_to_proto(precondition: Precondition, reading: Reading | None) -> connector_pb2.Precondition:
    return connector_pb2.Precondition(
        name=precondition.name,
        comparison=precondition.comparison,
        value=precondition.value,
        unit=precondition.unit,
        reading=None
        if reading is None
        else connector_pb2.Reading(
            ecu_address=reading.ecu_address,
            data_id=reading.data_id,
            scale=reading.scale,
            offset=reading.offset,
            mask=reading.mask,
        ),
    )


def precondition_to_proto(precondition: Precondition) -> command_pb2.Precondition:
    return command_pb2.Precondition(
        name=precondition.name,
        comparison=precondition.comparison,
        value=precondition.value,
        unit=precondition.unit,
        when=precondition.when,
    )


def take_up_to_proto(take_up: TakeUp) -> connector_pb2.TakeUp:
    return connector_pb2.TakeUp(
        command_id=take_up.held.command_id,
        attempt=take_up.held.attempt,
        wanted=take_up.wanted,
        next_number=take_up.next_number,
        timeout_ms=take_up.timeout_ms,
        cancel_requested=take_up.cancel_requested,
        vehicle_id=take_up.vehicle_id,
        command_name=take_up.command_name,
        traceparent=take_up.traceparent,
        stream_duration_ms=take_up.stream_duration_ms,
    )


def sessions_to_proto(sessions: Sequence[tuple[str, int]]) -> list[connector_pb2.OpenSession]:
    """From (vehicle_id, session_epoch)."""
    return [connector_pb2.OpenSession(vehicle_id=vehicle_id, session_epoch=epoch) for vehicle_id, epoch in sessions]
