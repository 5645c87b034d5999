"""One attempt of one command at this connector, from its granted claim to the acknowledgement of its last result."""

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from prometheus_client import Histogram

from service_kit.logging import command_context, get_logger
from service_kit.tracing import ActiveSpan, is_sampled
from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector import metrics
from vehicle_connector.deadline import Deadline
from vehicle_connector.result_buffer import ResultBuffer
from vehicle_connector.vehicle_response import clean_message, clean_nrc, complaint_about, outcome_of
from vehicle_links.vehicle_link import (
    AttemptKey,
    End,
    Finished,
    Progress,
    Response,
    Update,
    VehicleCommand,
    VehicleLink,
)

_log = get_logger(__name__)

# How long a command may wait at its link. The command service counts the timeout from the claim: less than it waits
# beyond that (deadline_grace_seconds), so that the vehicle has all of the timeout.
HAND_OVER_SECONDS = 9.0
# How long a vehicle that had to wait for credit until its time was over may take for the rest: as the command service
# gives one that comes back.
_CATCH_UP_SECONDS = 10.0

_FAILURES = (wire.Outcome.FAILED, wire.Outcome.TIMED_OUT, wire.Outcome.LOST)


class Phase(Enum):
    WAITING = "claimed; the vehicle has certainly not seen it"
    RUNNING = "handed over, or perhaps so"
    SUSPENDED = "its session is lost; the vehicle may come back with it, here or elsewhere"
    OVERDUE = "timed out; what the vehicle still says about it is evidence"
    ENDED = "its outcome is known; the vehicle is not listened to any more"


class Surroundings(Protocol):
    """What an attempt needs of the connector."""

    @property
    def window(self) -> int:
        """Updates that the vehicle may be ahead of what is recorded."""

    @property
    def evidence_seconds(self) -> float: ...

    @property
    def suspended_seconds(self) -> float: ...

    def reason_to_hold_back(self, expires_at: float) -> tuple[str, str] | None:
        """Code and message when what expires then (monotonic clock) may not be handed over now."""

    def send(self, result: wire.Result) -> None: ...

    def let_go_of(self, results: int) -> None:
        """So many buffered results are not kept any more."""

    def forget(self, attempt: "Attempt") -> None: ...


class Attempt:
    """Its results are numbered 1..n and kept until acknowledged; its timeout runs while its session lives."""

    __slots__ = (
        "_allowed",
        "_connector",
        "_deadline",
        "_expected",
        "_expires_at",
        "_last_moment",
        "_link",
        "_since",
        "_span",
        "_stream_seconds",
        "_timeout_number",
        "_traceparent",
        "buffer",
        "cancel_requested",
        "command",
        "dispatch_number",
        "handed_over",
        "phase",
        "successor",
        "vehicle_id",
    )

    def __init__(
        self,
        connector: Surroundings,
        command: VehicleCommand,
        vehicle_id: str,
        *,
        dispatch_number: int = 0,
        expires_at: float = float("inf"),
        stream_seconds: float = 0,
        span: ActiveSpan | None = None,
    ) -> None:
        self.command = command
        self.vehicle_id = vehicle_id
        self.dispatch_number = dispatch_number
        self._expires_at = expires_at
        self.phase = Phase.WAITING
        self.handed_over = False
        self.cancel_requested = False
        # What to do once this one is let go of.
        self.successor: Callable[[], None] | None = None
        self.buffer = ResultBuffer()
        self._connector = connector
        self._link: VehicleLink | None = None
        # When its stage began: at the link, at the vehicle, or its end that is not recorded yet; 0: none is timed.
        self._since = 0.0
        self._span = span
        self._traceparent = command.traceparent if is_sampled(command.traceparent) else ""
        # The number of the vehicle's next update, and the last one that it may send.
        self._expected, self._allowed = 1, command.initial_credit
        # The number of the outcome that a timeout put in between the vehicle's updates; 0: none.
        self._timeout_number = 0
        # A stream's timeout is the gap between its answers, until its last moment.
        self._stream_seconds, self._last_moment = stream_seconds, 0.0
        self._deadline = Deadline(self._on_deadline)

    @property
    def key(self) -> AttemptKey:
        return self.command.key

    # --- to the vehicle

    def wait_at(self, link: VehicleLink) -> None:
        """It will be handed over to this link, or not at all."""
        self._link = link

    def hand_over_to(self, link: VehicleLink, *, within_seconds: float = float("inf")) -> None:
        """Queue it at the link, which asks `begin` when its turn comes; where that is too late it goes back."""
        self._link = link
        self._since = time.monotonic()
        self._deadline.set(min(self._timeout, within_seconds, HAND_OVER_SECONDS))
        link.execute(self)

    def begin(self) -> bool:
        if self.phase is not Phase.WAITING:
            return False
        if (hold_back := self._connector.reason_to_hold_back(self._expires_at)) is not None:
            self.not_handed_over(*hold_back)
            return False
        self.phase = Phase.RUNNING
        self.handed_over = True
        self._stage_over(metrics.HAND_OVER)
        self._deadline.set(self._timeout)
        if self._stream_seconds:
            self._last_moment = asyncio.get_running_loop().time() + self._stream_seconds + self._timeout
        return True

    def not_handed_over(self, code: str, message: str) -> None:
        """The vehicle has certainly not seen it, and will not."""
        self._link = None
        self._conclude(wire.Outcome(kind=wire.Outcome.NOT_HANDED_OVER, code=code, message=message))

    def refuse(self, code: str, message: str) -> None:
        """It fails for good without the vehicle having seen it."""
        self._conclude(wire.Outcome(kind=wire.Outcome.FAILED, code=code, message=message))

    def cancel(self) -> None:
        """Before the hand-over it is prevented; after it the vehicle is asked, and says what came of it."""
        self.cancel_requested = True
        if self.phase is Phase.WAITING:
            self.not_handed_over("CANCEL_REQUESTED", "Cancelled before it was handed to the vehicle.")
        elif self.phase is Phase.RUNNING and self._link is not None:
            self._link.cancel(self.key)

    # --- from the vehicle

    def on_update(self, update: Update) -> None:
        if update.number < self._expected or self.phase not in (Phase.RUNNING, Phase.OVERDUE):
            return  # seen before, or nobody listens
        if update.number > self._expected:
            self._break_off(update, f"update {update.number} came when {self._expected} was due")
        elif update.number > self._allowed:
            self._break_off(update, f"update {update.number} came without credit")
        else:
            self._expected += 1
            self._take(update)

    def lose_link(self, link: VehicleLink) -> None:
        """Its session is gone. What was handed over may go on at the vehicle; nothing is decided here."""
        if self._link is not link:
            return
        self._link = None
        if self.phase is Phase.WAITING:
            self.not_handed_over("SESSION_LOST", "The vehicle's session ended before the command was handed over.")
        elif self.phase is Phase.RUNNING:
            self.phase = Phase.SUSPENDED
            self._deadline.set(self._connector.suspended_seconds)
        elif self.phase is Phase.OVERDUE:
            self._stop_listening()

    def abandon(self) -> None:
        """The vehicle came back without it: nothing more will come."""
        self._stop_listening()

    def resume(self, link: VehicleLink, take_up: wire.TakeUp) -> int:
        """The vehicle came back with it. Returns the number of the update that the vehicle goes on from."""
        self._connector.let_go_of(self.buffer.skip_to(take_up.next_number))
        # What was acknowledged is safe, also when the vehicle's answers count as evidence from 1 on.
        due = self._update_number(self.buffer.acknowledged + 1)
        self._expected = max(self._expected, due)
        self._allowed = due - 1 + self._connector.window
        self._link = link
        self.handed_over = True
        if self.phase in (Phase.WAITING, Phase.SUSPENDED):
            self.phase = Phase.RUNNING
            self._deadline.set(take_up.timeout_ms / 1000)
            if take_up.cancel_requested or self.cancel_requested:
                self.cancel()
        return due

    # --- from the command service

    def take_up(self, take_up: wire.TakeUp) -> None:
        """The command service is back and says what it has recorded."""
        self._connector.let_go_of(self.buffer.skip_to(take_up.next_number))
        if take_up.cancel_requested and not self.cancel_requested:
            self.cancel()
        self._grant_credit()

    def acknowledge(self, number: int, closed: bool) -> None:
        self._connector.let_go_of(self.buffer.acknowledge(number))
        if closed and self.phase in (Phase.ENDED, Phase.OVERDUE):
            self._stage_over(metrics.RECORDING)
            self._since = 0.0
        if self._is_over(closed):
            self._connector.forget(self)
        else:
            self._grant_credit()

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._end()
        self._connector.let_go_of(len(self.buffer))
        if self._link is not None:
            self._link.release(self.key)
            self._link = None

    # --- inside

    @property
    def _timeout(self) -> float:
        return self.command.timeout_ms / 1000

    def _take(self, update: Update) -> None:
        if isinstance(update, Response):
            complaint = complaint_about(update.text)
            if complaint is not None:
                self._break_off(update, f"response {update.number} is {complaint}", update.text)
                return
            result = self._new_result()
            result.response = update.text
            self._emit(result)
            if self._stream_seconds and self.phase is Phase.RUNNING:
                self._move_gap()
        elif isinstance(update, Progress):
            result = self._new_result()
            result.progress.CopyFrom(wire.Progress(nrc=clean_nrc(update.nrc), message=clean_message(update.message)))
            self._emit(result)
        else:
            self._finish(update)

    def _move_gap(self) -> None:
        seconds = self._timeout
        if self._last_moment:
            seconds = min(seconds, self._last_moment - asyncio.get_running_loop().time())
        self._deadline.set(seconds)

    def _finish(self, finished: Finished) -> None:
        outcome = outcome_of(finished)
        if self.phase is Phase.OVERDUE:
            self._emit_outcome(outcome)
            self._end()
        else:
            self._conclude(outcome)

    def _break_off(self, update: Update, reason: str, unreadable: str = "") -> None:
        """The vehicle does not keep to the protocol; this command ends, nothing else is harmed."""
        with command_context(self.command.command_id, self.command.traceparent):
            _log.warning("bad_vehicle_response", vehicle_id=self.vehicle_id, reason=reason)
        if self._link is not None:
            self._link.cancel(self.key)
        message = f"The vehicle's {reason}"
        self._finish(Finished(update.number, End.FAILED, "BAD_VEHICLE_RESPONSE", message, 0, unreadable))

    def _on_deadline(self) -> None:
        if self.phase is Phase.WAITING:
            self.not_handed_over("VEHICLE_BUSY", "The vehicle took no new command in time.")
        elif self.phase is Phase.RUNNING:
            if self._expected <= self._allowed:  # else it waits for credit, not we for it
                self._time_out()
        elif self.phase is Phase.SUSPENDED and self.buffer:
            self._deadline.set(self._connector.suspended_seconds)
        else:  # long since suspended or overdue
            self._stop_listening()

    def _time_out(self) -> None:
        self._timeout_number = self.buffer.next_number
        message = f"No answer within {self._timeout:g} s."
        self._conclude(wire.Outcome(kind=wire.Outcome.TIMED_OUT, code="VEHICLE_TIMEOUT", message=message))
        self.phase = Phase.OVERDUE
        self._deadline.set(self._connector.evidence_seconds)
        if self._link is not None:
            self._link.cancel(self.key)

    def _conclude(self, outcome: wire.Outcome) -> None:
        self._emit_outcome(outcome)
        metrics.outcomes_of(self._link.kind if self._link else "none", outcome.kind).inc()
        if self.phase is Phase.RUNNING:
            self._stage_over(metrics.VEHICLE)
        else:
            self._since = 0.0
        if self._span is not None:
            self._span.set(outcome=wire.Outcome.Kind.Name(outcome.kind).lower(), code=outcome.code)
            if outcome.kind in _FAILURES:
                self._span.fail(outcome.message)
        self._end()

    def _stage_over(self, seconds: Histogram) -> None:
        """The next begins. What was taken up from elsewhere has none that is timed."""
        if self._since:
            now = time.monotonic()
            seconds.observe(now - self._since)
            self._since = now

    def _stop_listening(self) -> None:
        """Its outcome went out before; what is still kept is let go of when it is acknowledged."""
        self._end()
        if not self.buffer:
            self._connector.forget(self)

    def _end(self) -> None:
        self.phase = Phase.ENDED
        self._deadline.cancel()
        if self._span is not None:
            self._span.end()
            self._span = None

    def _emit_outcome(self, outcome: wire.Outcome) -> None:
        if outcome.kind == wire.Outcome.NOT_HANDED_OVER:
            outcome.dispatch_number = self.dispatch_number
        result = self._new_result()
        result.outcome.CopyFrom(outcome)
        self._emit(result)

    def _new_result(self) -> wire.Result:
        command_id, attempt = self.key
        received_at = time.time_ns() // 1000
        return wire.Result(
            command_id=command_id, attempt=attempt, received_at_us=received_at, traceparent=self._traceparent
        )

    def _emit(self, result: wire.Result) -> None:
        self.buffer.add(result)
        self._connector.send(result)

    def _is_over(self, closed: bool) -> bool:
        if self.phase is Phase.OVERDUE:  # closed, but late answers are still evidence
            return False
        return closed or (self.phase is Phase.ENDED and not self.buffer)

    def _grant_credit(self) -> None:
        if self._link is None or self.phase not in (Phase.RUNNING, Phase.OVERDUE):
            return
        recorded = self._update_number(self.buffer.acknowledged + 1) - 1
        allowed = recorded + self._connector.window
        # Half a window at a time: a message for every single acknowledgement would be one too many.
        if allowed - self._allowed >= self._connector.window // 2:
            self._allowed = allowed
            self._link.grant(self.key, recorded, allowed)
            if not self._deadline.is_set:
                self._catch_up()

    def _catch_up(self) -> None:
        seconds = self._timeout if self._stream_seconds else min(self._timeout, _CATCH_UP_SECONDS)
        self._deadline.set(seconds)
        if self._last_moment:
            self._last_moment = max(self._last_moment, asyncio.get_running_loop().time() + seconds)

    def _update_number(self, result_number: int) -> int:
        """The vehicle's number for a result: after a timeout they are one apart."""
        after_timeout = 0 < self._timeout_number < result_number
        return result_number - 1 if after_timeout else result_number
