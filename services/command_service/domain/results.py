"""Recording what a connector reports of an attempt: in order, once, and only for the attempt that counts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from command_service.domain.command import Command, Status, UnknownFate


class OutcomeKind(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_HANDED_OVER = "not_handed_over"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, as its connector saw it."""

    kind: OutcomeKind
    code: str = ""
    message: str = ""
    nrc: int = 0
    dispatch_number: int = 0
    # What the vehicle said and nobody could read, as text.
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Not an answer yet: NRC 0x78 (ISO 14229-1 Annex A, requestCorrectlyReceived-ResponsePending)."""

    nrc: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Result `number` (1..n) of an attempt; `content` is a response (JSON text), progress or the outcome."""

    command_id: str
    attempt: int
    number: int
    content: str | Progress | Outcome
    connector_id: str
    received_at: datetime
    # Only of a command whose trace is sampled: what comes of recording the result goes on from here.
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """A response as it is stored and shown: numbered 1..n per command, over all attempts."""

    command_id: str
    sequence_number: int
    attempt: int
    body: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came and does not count. `kind`: response, progress, outcome or unreadable; `reason`: after_end,
    older_attempt or unreadable."""

    command_id: str
    attempt: int
    number: int
    kind: str
    body: str
    reason: str
    received_at: datetime
    evidence_id: int = 0


# The connector's word that nothing happened, or was heard: nothing to keep.
_SAY_NOTHING = (OutcomeKind.NOT_HANDED_OVER, OutcomeKind.TIMED_OUT)


class Receipt(StrEnum):
    """What became of one result."""

    RECORDED = "recorded"
    # Recorded before; acknowledged again.
    REPEATED = "repeated"
    # One before it is missing; not recorded, to be sent again.
    TOO_EARLY = "too_early"
    # From a connector that no longer carries the command; the vehicle sends it by the one that does.
    NOT_THE_CARRIER = "not_the_carrier"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Recording:
    receipt: Receipt
    response: RecordedResponse | None = None
    evidence: Evidence | None = None


def record(command: Command, result: Result, now: datetime, max_responses: int) -> Recording:
    """Applies one result to its command, whose row is locked."""
    if command.status is not Status.IN_PROGRESS or result.attempt != command.attempt:
        return _keep_as_evidence(command, result, now)
    if result.connector_id != command.connector_id:
        return Recording(Receipt.NOT_THE_CARRIER)
    if result.number <= command.results_recorded:
        return Recording(Receipt.REPEATED)
    if result.number > command.results_recorded + 1:
        return Recording(Receipt.TOO_EARLY)
    if isinstance(result.content, str):
        return _record_response(command, result, result.content, now, max_responses)
    if isinstance(result.content, Progress):
        command.record_progress(result.content.nrc)
        return Recording(Receipt.RECORDED)
    return _record_outcome(command, result, result.content, now)


def _record_response(command: Command, result: Result, body: str, now: datetime, max_responses: int) -> Recording:
    if command.responses >= max_responses:
        command.fail(now, "TOO_MANY_RESPONSES", f"the vehicle sent more than the {max_responses} responses allowed")
        return _evidence(result, "after_end", now)
    sequence_number = command.record_response(now)
    response = RecordedResponse(command.command_id, sequence_number, result.attempt, body, now)
    return Recording(Receipt.RECORDED, response=response)


def _record_outcome(command: Command, result: Result, outcome: Outcome, now: datetime) -> Recording:
    match outcome.kind:
        case OutcomeKind.COMPLETED:
            command.complete(now)
        case OutcomeKind.FAILED:
            command.fail(now, outcome.code or "VEHICLE_FAILURE", outcome.message, outcome.nrc)
        case OutcomeKind.CANCELLED:
            command.stopped_by_vehicle(now)
        case OutcomeKind.TIMED_OUT:
            # Not counted: it is the connector's word, and the vehicle's next update has the same number.
            command.fate_unknown(UnknownFate.SILENT, now)
        case OutcomeKind.LOST:
            command.results_recorded += 1
            command.fate_unknown(UnknownFate.CONNECTION_LOST, now)
        case OutcomeKind.NOT_HANDED_OVER:
            if outcome.dispatch_number != command.dispatch_number or command.results_recorded:
                return _keep_as_evidence(command, result, now)
            command.return_to_queue(now)
    return Recording(Receipt.RECORDED, evidence=_unreadable(result, outcome, now))


def _unreadable(result: Result, outcome: Outcome, now: datetime) -> Evidence | None:
    if not outcome.unreadable:
        return None
    return Evidence(
        result.command_id, result.attempt, result.number, "unreadable", outcome.unreadable, "unreadable", now
    )


def _keep_as_evidence(command: Command, result: Result, now: datetime) -> Recording:
    if isinstance(result.content, Outcome) and result.content.kind in _SAY_NOTHING:
        return Recording(Receipt.REPEATED)
    ended = command.status.terminal and result.attempt == command.attempt
    if ended and result.number <= command.results_recorded:
        return Recording(Receipt.REPEATED)
    return _evidence(result, "after_end" if ended else "older_attempt", now)


def _evidence(result: Result, reason: str, now: datetime) -> Recording:
    kind, body = _as_evidence(result.content)
    evidence = Evidence(result.command_id, result.attempt, result.number, kind, body, reason, now)
    return Recording(Receipt.EVIDENCE, evidence=evidence)


def _as_evidence(content: str | Progress | Outcome) -> tuple[str, str]:
    if isinstance(content, str):
        return "response", content
    if isinstance(content, Progress):
        return "progress", f"nrc 0x{content.nrc:02X} {content.message}".rstrip()
    said = (content.kind.value, content.code, content.message, content.unreadable)
    return "outcome", " ".join(part for part in said if part)
