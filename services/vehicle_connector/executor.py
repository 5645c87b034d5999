"""All attempts at this connector: what it was granted, what its vehicles hold, what is not recorded yet."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

from service_kit.logging import command_context, get_logger
from service_kit.tracing import ActiveSpan
from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector.attempt import Attempt, Phase
from vehicle_connector.lease import Lease
from vehicle_connector.preconditions import PreconditionChecks
from vehicle_links.vehicle_link import AttemptKey, Update, VehicleCommand, VehicleLink

_log = get_logger(__name__)

# The broker may deliver twice: a grant is remembered for much longer than a second delivery can take.
_REMEMBERED_GRANTS = 20_000
_REMEMBERED_CANCELS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    window: int
    evidence_seconds: float
    suspended_seconds: float


class Executor:
    """Hands commands to links, takes their updates, and keeps results until they are acknowledged."""

    def __init__(self, lease: Lease, limits: Limits, send: Callable[[wire.Result], None]) -> None:
        self.window = limits.window
        self.evidence_seconds = limits.evidence_seconds
        self.suspended_seconds = limits.suspended_seconds
        self.unacknowledged = 0
        self._send = send
        self._lease = lease
        self._draining = False
        self._links: dict[str, VehicleLink] = {}
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._by_vehicle: dict[str, dict[AttemptKey, Attempt]] = {}
        self._granted: OrderedDict[str, int] = OrderedDict()
        self._cancels: OrderedDict[AttemptKey, None] = OrderedDict()
        # Taken up as if nothing were recorded, which the service also says of attempts that are evidence only: their
        # vehicles may have forgotten what was recorded when they still counted.
        self._joining: dict[AttemptKey, wire.TakeUp] = {}
        self._checks = PreconditionChecks(limits.window, self.reason_to_hold_back)
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def in_flight(self) -> int:
        return len(self._attempts)

    # --- to the vehicles

    def hand_over(
        self,
        dispatched: wire.DispatchedCommand,
        attempt_number: int,
        span: ActiveSpan | None,
        *,
        expires_in_ms: int = 0,
    ) -> None:
        """A claim was granted. Acted upon once, however often the broker delivers and the service grants."""
        if not self._is_first_grant(dispatched.command_id, dispatched.dispatch_number):
            return
        expires_at = time.monotonic() + expires_in_ms / 1000 if expires_in_ms else math.inf
        start = partial(self._start, self._new_attempt(dispatched, attempt_number, span, expires_at), dispatched)
        known = self._attempts.get((dispatched.command_id, attempt_number))
        if known is None:
            start()
        elif known.handed_over:
            with command_context(dispatched.command_id, dispatched.traceparent):
                _log.error("granted_again", attempt=attempt_number)
        else:
            # It was not handed over and that is recorded, but not acknowledged here: an acknowledgement that is still
            # on its way must not be taken for one of the new try.
            known.successor = start

    def cancel(self, command_id: str, attempt_number: int) -> None:
        """Remembered, too: the claim, or a new dispatch of the same attempt, may be on the way."""
        key = command_id, attempt_number
        self._cancels[key] = None
        if len(self._cancels) > _REMEMBERED_CANCELS:
            self._cancels.popitem(last=False)
        attempt = self._attempts.get(key)
        if attempt is not None:
            attempt.cancel()

    def stop_handing_over(self) -> None:
        """For good: the connector is draining."""
        self._draining = True
        for attempt in list(self._attempts.values()):
            if attempt.phase is Phase.WAITING:
                attempt.begin()

    # --- from the vehicles

    def link_opened(
        self, link: VehicleLink, held: Collection[AttemptKey], take_ups: Iterable[wire.TakeUp]
    ) -> list[tuple[wire.TakeUp, int]]:
        """The vehicle is back with what it holds; what it does not hold is forgotten here.

        Returns what becomes of each held command, with the number of the update the vehicle goes on from.
        """
        self._links[link.vehicle_id] = link
        for attempt in list(self._by_vehicle.get(link.vehicle_id, {}).values()):
            if attempt.phase is Phase.SUSPENDED and attempt.key not in held:
                attempt.abandon()
        return [(take_up, self._resume(link, take_up)) for take_up in take_ups]

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None:
        attempt = self._attempts.get(key)
        if attempt is None or attempt.vehicle_id != link.vehicle_id:
            if not self._checks.on_update(link, key, update):
                link.release(key)
            return
        if self._joining and (take_up := self._joining.pop(key, None)):
            take_up.next_number = update.number
            attempt.resume(link, take_up)
        attempt.on_update(update)

    def on_link_lost(self, link: VehicleLink) -> None:
        if self._links.get(link.vehicle_id) is link:
            del self._links[link.vehicle_id]
        for attempt in list(self._by_vehicle.get(link.vehicle_id, {}).values()):
            attempt.lose_link(link)

    # --- with the command service

    def open_commands(self) -> list[wire.OpenCommand]:
        return [wire.OpenCommand(command_id=command_id, attempt=attempt) for command_id, attempt in self._attempts]

    def open_sessions(self) -> list[wire.OpenSession]:
        return [
            wire.OpenSession(vehicle_id=link.vehicle_id, session_epoch=link.session_epoch)
            for link in self._links.values()
        ]

    def taken_up(self, take_ups: Iterable[wire.TakeUp]) -> list[wire.Result]:
        """The command service is back and says what it wants: the results to send (again)."""
        for take_up in take_ups:
            attempt = self._attempts.get((take_up.command_id, take_up.attempt))
            if attempt is None:
                continue
            if take_up.wanted:
                attempt.take_up(take_up)
            else:
                self.forget(attempt)
        return [result for attempt in self._attempts.values() for result in attempt.buffer]

    def acknowledged(self, acks: Iterable[wire.ResultAck]) -> None:
        for ack in acks:
            attempt = self._attempts.get((ack.command_id, ack.attempt))
            if attempt is not None:
                attempt.acknowledge(ack.number, ack.closed)

    async def settled(self) -> None:
        """Returns when every result is acknowledged."""
        await self._settled.wait()

    # --- for attempts

    def reason_to_hold_back(self, expires_at: float = math.inf) -> tuple[str, str] | None:
        if self._draining:
            return "DRAINING", "The connector is stopping."
        if not self._lease.may_hand_over():
            return "LEASE_LAPSED", "The connector's lease lapsed before the command was handed over."
        if time.monotonic() >= expires_at:
            return "EXPIRED", "The command expired before it was handed over."
        return None

    def send(self, result: wire.Result) -> None:
        self.unacknowledged += 1
        self._settled.clear()
        self._send(result)

    def let_go_of(self, results: int) -> None:
        self.unacknowledged -= results
        if not self.unacknowledged:
            self._settled.set()

    def forget(self, attempt: Attempt) -> None:
        attempt.drop()
        del self._attempts[attempt.key]
        self._joining.pop(attempt.key, None)
        others = self._by_vehicle[attempt.vehicle_id]
        del others[attempt.key]
        if not others:
            del self._by_vehicle[attempt.vehicle_id]
        if attempt.successor is not None:
            attempt.successor()

    # --- inside

    def _is_first_grant(self, command_id: str, dispatch_number: int) -> bool:
        if dispatch_number <= self._granted.get(command_id, -1):
            return False
        self._granted[command_id] = dispatch_number
        self._granted.move_to_end(command_id)
        if len(self._granted) > _REMEMBERED_GRANTS:
            self._granted.popitem(last=False)
        return True

    def _start(self, attempt: Attempt, dispatched: wire.DispatchedCommand) -> None:
        self._add(attempt)
        link = self._links.get(dispatched.vehicle_id)
        hold_back = self.reason_to_hold_back()
        if attempt.key in self._cancels:
            attempt.cancel()
        elif hold_back is not None:
            attempt.not_handed_over(*hold_back)
        elif link is None or link.session_epoch != dispatched.session_epoch:
            attempt.not_handed_over("SESSION_LOST", "The vehicle's session ended before the command was handed over.")
        elif not link.supports(dispatched.command_name):
            attempt.refuse("UNSUPPORTED_COMMAND", f"The vehicle does not support {dispatched.command_name}.")
        elif dispatched.preconditions:
            self._checks.start(attempt, link, dispatched.preconditions)
        else:
            attempt.hand_over_to(link)

    def _new_attempt(
        self, dispatched: wire.DispatchedCommand, number: int, span: ActiveSpan | None, expires_at: float
    ) -> Attempt:
        command = VehicleCommand(
            dispatched.command_id,
            number,
            dispatched.command_name,
            dispatched.command_params,
            dispatched.timeout_ms,
            dispatched.repeatable,
            dispatched.traceparent if span is None else span.traceparent,
            self.window,
        )
        return Attempt(
            self,
            command,
            dispatched.vehicle_id,
            dispatch_number=dispatched.dispatch_number,
            expires_at=expires_at,
            stream_seconds=dispatched.stream_duration_ms / 1000,
            span=span,
        )

    def _resume(self, link: VehicleLink, take_up: wire.TakeUp) -> int:
        key = take_up.command_id, take_up.attempt
        attempt = self._attempts.get(key)
        if not take_up.wanted:
            if attempt is not None:
                self.forget(attempt)
            return 0
        if attempt is None:
            attempt = self._adopted(link, take_up)
            self._add(attempt)
            if take_up.next_number == 1:
                self._joining[key] = take_up
        return attempt.resume(link, take_up)

    def _adopted(self, link: VehicleLink, take_up: wire.TakeUp) -> Attempt:
        """It was handed over by another connector, or by this one long ago."""
        command = VehicleCommand(
            take_up.command_id,
            take_up.attempt,
            take_up.command_name,
            command_params="",
            timeout_ms=take_up.timeout_ms,
            repeatable=False,
            traceparent=take_up.traceparent,
            initial_credit=self.window,
        )
        return Attempt(self, command, link.vehicle_id, stream_seconds=take_up.stream_duration_ms / 1000)

    def _add(self, attempt: Attempt) -> None:
        self._attempts[attempt.key] = attempt
        self._by_vehicle.setdefault(attempt.vehicle_id, {})[attempt.key] = attempt
