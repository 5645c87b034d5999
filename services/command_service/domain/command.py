"""The life of a command: pending → dispatched → in_progress → one terminal state, which never changes.

Each method of Command is one transition. It checks that the state allows it, changes the fields, and counts `revision`
on for every change a viewer may see. Nothing here reads a clock: `now` is the database's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_ATTEMPTS = 3
# A vehicle that comes back has at least so long to send what it has, though nobody knows since when it was away.
_RETURN_SECONDS = 10


class Status(StrEnum):
    PENDING = "pending"
    DISPATCHED = "dispatched"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TIMED_OUT, Status.EXPIRED, Status.CANCELLED})
WAITING = frozenset({Status.PENDING, Status.DISPATCHED})
ACTIVE = frozenset({Status.DISPATCHED, Status.IN_PROGRESS})


class CommandClass(StrEnum):
    READ = "read"
    WRITE = "write"
    ACTUATE = "actuate"


class CancelOutcome(StrEnum):
    REQUESTED = "requested"
    PREVENTED = "prevented"
    CANCELLED = "cancelled"
    TOO_LATE = "too_late"
    UNKNOWN = "unknown"


class ClaimRefusal(StrEnum):
    UNKNOWN = "unknown"
    STALE = "stale"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    LEASE_LAPSED = "lease_lapsed"
    SESSION_SUPERSEDED = "session_superseded"


class UnknownFate(StrEnum):
    """Why nobody can say what became of an attempt; the value is the error code of a repeatable command."""

    SILENT = "VEHICLE_TIMEOUT"
    CONNECTION_LOST = "VEHICLE_CONNECTION_LOST"


class IllegalTransition(Exception):
    """A bug in the caller: the command's state does not allow what was asked of it."""


@dataclass(slots=True)
class Command:
    """One accepted command. Identifiers are canonical UUID texts, times aware UTC, `command_params` JSON text."""

    command_id: str
    vehicle_id: str
    command_name: str
    command_params: str
    command_class: str
    repeatable: bool
    lane: str
    exclusive: bool
    priority: int
    user_id: str
    username: str
    timeout_seconds: int
    created_at: datetime
    expires_at: datetime
    traceparent: str = ""
    # Milliseconds; above 0 the timeout is the gap between answers and this caps the whole.
    stream_duration_ms: int = 0
    # Issued by the database: the order of acceptance; 0 until stored.
    accept_number: int = 0
    status: Status = Status.PENDING
    # The attempt being made or to be made next.
    attempt: int = 1
    revision: int = 1
    responses: int = 0
    # Results of the current attempt recorded so far (responses, progress and outcome count).
    results_recorded: int = 0
    # Fences dispatches: only the latest may be claimed.
    dispatch_number: int = 0
    connector_id: str | None = None
    session_epoch: int = 0
    dispatched_at: datetime | None = None
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    # In progress only: since when the session that carries it is gone.
    session_lost_at: datetime | None = None
    completed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancel_requested_by: str = ""
    cancel_outcome: str = ""
    error_code: str = ""
    error_message: str = ""
    nrc: int = 0
    # NRC of the last response-pending (0x78) of this attempt, 0 when none.
    progress_nrc: int = 0

    # --- dispatch

    def dispatch(self, connector_id: str, session_epoch: int, now: datetime) -> None:
        """Commit to a connector under a new dispatch number; the message is published after the commit."""
        self._require(Status.PENDING)
        self.status = Status.DISPATCHED
        self.dispatch_number += 1
        self.connector_id = connector_id
        self.session_epoch = session_epoch
        self.dispatched_at = now
        self.revision += 1

    def return_to_queue(self, now: datetime) -> None:
        """The vehicle certainly never saw it: wait again, which is no attempt."""
        self._require(*ACTIVE)
        if self.cancel_requested_at is not None:
            self._cancel_before_next_attempt(now)
        else:
            self._wait_again()

    def claim(self, dispatch_number: int, connector_id: str, session_epoch: int, now: datetime) -> ClaimRefusal | None:
        """The connector asks to hand it over. None: granted, and the command is in progress.

        Granting twice is safe only to the same connector process for the same dispatch: it hands over once. It asks
        again when it was cut off before the answer: what went by meanwhile does not count.
        """
        current = dispatch_number == self.dispatch_number and connector_id == self.connector_id
        if current and self.status is Status.IN_PROGRESS and self.results_recorded == 0:
            self.deadline_at = now + self.timeout
            self.session_lost_at = None
            return None
        if self.status is Status.CANCELLED:
            return ClaimRefusal.CANCELLED
        if not current or self.status is not Status.DISPATCHED:
            return ClaimRefusal.STALE
        if session_epoch != self.session_epoch:
            return ClaimRefusal.SESSION_SUPERSEDED
        if now >= self.expires_at:
            return ClaimRefusal.EXPIRED
        self.status = Status.IN_PROGRESS
        self.started_at = now
        self.deadline_at = now + self.timeout
        self.session_lost_at = None
        self.results_recorded = 0
        self.progress_nrc = 0
        self.revision += 1
        return None

    # --- results of the current attempt

    def record_response(self, now: datetime) -> int:
        """Counts one response and returns its sequence number, 1..n over all attempts."""
        self._require(Status.IN_PROGRESS)
        self.results_recorded += 1
        self.responses += 1
        if self.stream_duration_ms:
            self.deadline_at = now + self.timeout
        return self.responses

    def record_progress(self, nrc: int) -> None:
        self._require(Status.IN_PROGRESS)
        self.results_recorded += 1
        self.progress_nrc = nrc
        self.revision += 1

    def complete(self, now: datetime) -> None:
        self._require(Status.IN_PROGRESS)
        self.results_recorded += 1
        self._settle_cancel(CancelOutcome.TOO_LATE)
        self._end(Status.COMPLETED, now)

    def fail(self, now: datetime, code: str, message: str, nrc: int = 0) -> None:
        """The vehicle or its link said no: a known outcome, which is not tried again."""
        self._require(Status.IN_PROGRESS)
        self.results_recorded += 1
        self._settle_cancel(CancelOutcome.TOO_LATE)
        self._end(Status.FAILED, now, code, message, nrc)

    def stopped_by_vehicle(self, now: datetime) -> None:
        """The vehicle confirms that it stopped, on a request or by itself."""
        self._require(Status.IN_PROGRESS)
        self.results_recorded += 1
        if self.cancel_requested_at is None:
            self._end(Status.FAILED, now, "CANCELLED_BY_VEHICLE", "the vehicle stopped the command by itself")
        else:
            self._cancelled(now, CancelOutcome.CANCELLED)

    def fate_unknown(self, cause: UnknownFate, now: datetime) -> None:
        """It was handed over (or may have been) and nobody can say what came of it.

        Not repeatable: `failed` with OUTCOME_UNKNOWN, never a second time. Repeatable: tried again, at most
        MAX_ATTEMPTS in all and not after its expiry.
        """
        self._require(Status.IN_PROGRESS)
        if not self.repeatable:
            self._settle_cancel(CancelOutcome.UNKNOWN)
            self._end(Status.FAILED, now, "OUTCOME_UNKNOWN", _UNKNOWN_MESSAGES[cause])
        elif self.cancel_requested_at is not None:
            self._cancelled(now, CancelOutcome.CANCELLED)
        elif self.attempt < MAX_ATTEMPTS and now < self.expires_at:
            self.attempt += 1
            self._wait_again()
        else:
            status = Status.TIMED_OUT if cause is UnknownFate.SILENT else Status.FAILED
            attempts = "attempt" if self.attempt == 1 else "attempts"
            self._end(status, now, cause.value, f"{_CAUSES[cause]}; gave up after {self.attempt} {attempts}")

    # --- session

    def lose_session(self, now: datetime) -> None:
        """The session that carries it is gone; its fate is decided after a grace, should the vehicle not return."""
        self._require(Status.IN_PROGRESS)
        if self.session_lost_at is None:
            self.session_lost_at = now

    def take_up(self, connector_id: str, session_epoch: int, now: datetime) -> None:
        """The vehicle still holds it and is back: go on where it was; the time it was away does not count."""
        self._require(Status.IN_PROGRESS)
        if self.session_lost_at is not None and self.deadline_at is not None:
            self.deadline_at += now - self.session_lost_at
        if session_epoch != self.session_epoch:
            # Of a stream the timeout is the gap between answers, which begins anew.
            whole = self.stream_duration_ms > 0
            at_least = now + (self.timeout if whole else min(self.timeout, timedelta(seconds=_RETURN_SECONDS)))
            self.deadline_at = max(self.deadline_at or at_least, at_least)
        self.connector_id = connector_id
        self.session_epoch = session_epoch
        self.session_lost_at = None

    # --- cancel and expiry

    def cancel(self, requested_by: str, now: datetime) -> CancelOutcome:
        """What can truthfully be said at once: prevented, cancelled (after attempts that the vehicle had), too late, or
        requested (then it is up to the vehicle)."""
        if self.status.terminal:
            return CancelOutcome.TOO_LATE
        if self.cancel_requested_at is None:
            self.cancel_requested_at = now
            self.cancel_requested_by = requested_by
        if self.status in WAITING:
            return self._cancel_before_next_attempt(now)
        if not self.cancel_outcome:
            self.cancel_outcome = CancelOutcome.REQUESTED
            self.revision += 1
        return CancelOutcome.REQUESTED

    def expire(self, now: datetime, code: str, message: str) -> None:
        """Never handed over in time. A dispatch that is still on its way is fenced: its claim will be refused."""
        self._require(*WAITING)
        if now < self.expires_at:
            raise IllegalTransition(f"{self.command_id} expires only at {self.expires_at.isoformat()}")
        self._end(Status.EXPIRED, now, code, message)

    # --- questions

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)

    @property
    def cancel_pending(self) -> bool:
        return self.status is Status.IN_PROGRESS and self.cancel_requested_at is not None

    def wants_evidence(self, attempt: int) -> bool:
        """Whether the vehicle may still work on that attempt, which counts no more: what it then says is kept."""
        return attempt < self.attempt or (attempt == self.attempt and self.error_code in _FATE_UNKNOWN)

    # --- what transitions share

    def _wait_again(self) -> None:
        self.status = Status.PENDING
        self._let_go()
        self.revision += 1

    def _let_go(self) -> None:
        self.connector_id = None
        self.session_lost_at = None
        self.deadline_at = None
        self.progress_nrc = 0
        if not self.status.terminal:
            self.results_recorded = 0

    def _end(self, status: Status, now: datetime, code: str = "", message: str = "", nrc: int = 0) -> None:
        self.status = status
        self.completed_at = now
        self.error_code, self.error_message, self.nrc = code, message, nrc
        self._let_go()
        self.revision += 1

    def _cancelled(self, now: datetime, outcome: CancelOutcome) -> None:
        self.cancel_outcome = outcome
        self._end(Status.CANCELLED, now, "CANCELLED", f"cancelled by {self.cancel_requested_by}")

    def _cancel_before_next_attempt(self, now: datetime) -> CancelOutcome:
        outcome = CancelOutcome.PREVENTED if self.attempt == 1 else CancelOutcome.CANCELLED
        self._cancelled(now, outcome)
        return outcome

    def _settle_cancel(self, outcome: CancelOutcome) -> None:
        if self.cancel_requested_at is not None:
            self.cancel_outcome = outcome

    def _require(self, *allowed: Status) -> None:
        if self.status not in allowed:
            raise IllegalTransition(f"{self.command_id} is {self.status}, needs {' or '.join(allowed)}")


_FATE_UNKNOWN = {"OUTCOME_UNKNOWN", *(cause.value for cause in UnknownFate)}
_CAUSES = {
    UnknownFate.SILENT: "the vehicle gave no answer within the timeout",
    UnknownFate.CONNECTION_LOST: "the connection to the vehicle was lost",
}
_UNKNOWN_MESSAGES = {
    cause: f"{text} after the command was handed over; it may or may not have taken effect"
    for cause, text in _CAUSES.items()
}
