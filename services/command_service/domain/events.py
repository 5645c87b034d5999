"""What viewers see: the JSON of response, status and error events (design: public API, WebSocket events)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from command_service.domain.command import Command, Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.results import RecordedResponse
from command_service.domain.vehicle import LinkProblem, Vehicle
from service_kit.uds import nrc_name

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class ViewerEvent:
    """One event with the numbers a viewer orders by; `json` goes to the socket as it is."""

    json: str
    sequence_number: int = 0
    revision: int = 0
    responses: int = 0
    # None for a response.
    status: Status | None = None

    @property
    def terminal(self) -> bool:
        return self.status is not None and self.status.terminal


# All that one transaction changes has the same time.
@lru_cache(maxsize=256)
def timestamp(at: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def response_event(response: RecordedResponse) -> ViewerEvent:
    """The vehicle's JSON is spliced in as it came."""
    return ViewerEvent(
        f'{{"event":"response","command_id":"{response.command_id}","sequence_number":{response.sequence_number},'
        f'"attempt":{response.attempt},"response":{response.body},"received_at":"{timestamp(response.received_at)}"}}',
        sequence_number=response.sequence_number,
    )


def status_event(command: Command, now: datetime) -> ViewerEvent:
    """The latest status; for a command that ended without completing, its error."""
    failed = command.status.terminal and command.status is not Status.COMPLETED
    # Of every command, and plain: an encoder would cost more than all else here.
    text = (
        f'{{"event":"{"error" if failed else "status"}","command_id":"{command.command_id}",'
        f'"status":"{command.status.value}","attempt":{command.attempt},"responses":{command.responses},'
        f'"revision":{command.revision},"at":"{timestamp(command.completed_at or now)}"'
    )
    if command.status is Status.COMPLETED and command.completed_at:
        text += f',"completed_at":"{timestamp(command.completed_at)}"'
    facts = _facts(command, failed=failed)
    return ViewerEvent(
        f"{text},{_compact(facts)[1:]}" if facts else f"{text}}}",
        revision=command.revision,
        responses=command.responses,
        status=command.status,
    )


def _facts(command: Command, *, failed: bool) -> dict[str, object]:
    """What only some commands have to tell."""
    facts: dict[str, object] = {}
    if failed:
        facts["code"] = command.error_code
        facts["error_message"] = command.error_message
    if command.nrc:
        facts.update(nrc=f"0x{command.nrc:02X}", nrc_name=nrc_name(command.nrc))
    if command.progress_nrc:
        facts["progress"] = {"nrc": f"0x{command.progress_nrc:02X}", "nrc_name": nrc_name(command.progress_nrc)}
    if command.cancel_outcome:
        facts["cancel_outcome"] = str(command.cancel_outcome)
    return facts


def vehicle_event(vehicle: Vehicle, now: datetime) -> str:
    lock, problem = vehicle.lock_at(now), vehicle.link_problem
    return _compact(
        {
            "event": "vehicle",
            "vehicle_id": vehicle.vehicle_id,
            "vin": vehicle.vin,
            "connection_status": vehicle.connection_status.value,
            "lock": None if lock is None else _lock(lock),
            "link_problem": None if problem is None else _link_problem(problem),
            "at": timestamp(now),
        }
    )


def _link_problem(problem: LinkProblem) -> dict[str, str]:
    return {"reason": problem.reason, "since": timestamp(problem.since)}


def _lock(lock: DiagnosticLock) -> dict[str, str]:
    return {
        "owner": lock.owner,
        "owner_id": lock.owner_id,
        "taken_at": timestamp(lock.taken_at),
        "expires_at": timestamp(lock.expires_at),
    }
