"""The one stream to the command service: registration, lease, sessions, claims and results, and the answers to them.

When it breaks it is opened again, with backoff and jitter, and the connector registers anew: it presents its sessions
and commands, learns what is wanted, and sends again what was not answered.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from service_kit.backoff import Backoff
from service_kit.logging import get_logger
from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from vehicle_connector.lease import Lease
from vehicle_connector.stream_writer import StreamWriter

_log = get_logger(__name__)

_ANSWER_SECONDS = 10.0
# A message carries at most about that much of results; gRPC has a limit.
_MAX_MESSAGE_BYTES = 1024 * 1024
# So many reasons at most in one message, for the same reason.
_MAX_REASONS = 1000
# The other side is taken for dead when so many renewals in a row have no answer.
_UNANSWERED_RENEWALS = 3

ClaimKey = tuple[str, int]


class NotAttached(Exception):
    """The command service is away, or went away before it answered."""


class _Broken(Exception):
    """The stream ended or makes no sense."""


class Holder(Protocol):
    """What the connector presents, and where answers that nobody awaits go."""

    def registration(self) -> wire.Registration: ...

    def registered(self, answer: wire.Registered) -> Iterable[wire.Result]:
        """Returns the results to send (again)."""

    def sessions_seen(self) -> Iterable[wire.SessionSeen]: ...

    def superseded(self, sessions: Iterable[wire.OpenSession]) -> None:
        """The vehicle has a newer session, or is no longer let in."""

    def vehicles_not_reached(self) -> Iterable[wire.VehicleNotReached]:
        """Said on every new stream: what was said on the last one may be lost."""

    def acknowledged(self, acks: Iterable[wire.ResultAck]) -> None: ...

    def assigned(self, assignments: wire.Assignments) -> None:
        """The vehicles to dial."""

    def attached(self, attached: bool) -> None: ...


@dataclass(slots=True)
class _PendingClaim:
    claim: wire.Claim
    answer: "asyncio.Future[wire.ClaimAnswer]"


@dataclass(slots=True)
class _Outbox:
    """What waits for the next message."""

    renewal: bool = False
    opened: list[wire.SessionOpened] = field(default_factory=list)
    closed: list[wire.SessionClosed] = field(default_factory=list)
    seen: list[wire.SessionSeen] = field(default_factory=list)
    claims: list[wire.Claim] = field(default_factory=list)
    results: list[wire.Result] = field(default_factory=list)
    not_reached: list[wire.VehicleNotReached] = field(default_factory=list)

    def __bool__(self) -> bool:
        others = self.opened or self.closed or self.seen or self.not_reached
        return bool(self.renewal or self.results or self.claims or others)


class CommandServiceStream:
    """Callers see calls and futures; how many streams it took to answer them is not their business."""

    def __init__(self, channel: grpc.aio.Channel, lease: Lease, *, renew_seconds: float, reconnect_max_seconds: float):
        self._stub = ConnectorServiceStub(channel)
        self._lease = lease
        self._renew_seconds = renew_seconds
        self._reconnect_max_seconds = reconnect_max_seconds
        self._draining = False
        self._writer: StreamWriter[wire.FromConnector] | None = None
        self._outbox = _Outbox()
        self._claims: dict[ClaimKey, _PendingClaim] = {}
        self._openings: dict[int, asyncio.Future[wire.SessionAnswer]] = {}
        self._last_request_id = 0
        self._last_nonce = 0
        self._abandoned = False
        # When each unanswered renewal was sent.
        self._renewals: dict[int, float] = {}
        self._reported = ""

    @property
    def attached(self) -> bool:
        return self._writer is not None

    # --- what callers want

    def claim(self, claim: wire.Claim) -> "asyncio.Future[wire.ClaimAnswer]":
        """Asked again on every new stream until it is answered. Fails with NotAttached only after `abandon_claims`."""
        if self._abandoned:
            refused: asyncio.Future[wire.ClaimAnswer] = asyncio.get_running_loop().create_future()
            refused.set_exception(NotAttached())
            return refused
        key = claim.command_id, claim.dispatch_number
        pending = self._claims.get(key)
        if pending is None:
            pending = _PendingClaim(claim, asyncio.get_running_loop().create_future())
            self._claims[key] = pending
            if self.attached:
                self._outbox.claims.append(claim)
                self._wake()
        # A second delivery of the same message waits for the same answer.
        return asyncio.shield(pending.answer)

    def abandon_claims(self) -> None:
        """The connector stops, and no answer came."""
        self._abandoned = True
        for pending in self._claims.values():
            pending.answer.set_exception(NotAttached())
            pending.answer.exception()  # it may be that nobody awaits it any more
        self._claims.clear()

    def send(self, result: wire.Result) -> None:
        """The result is kept by its attempt: while no stream is up, it is sent when there is one again."""
        if self.attached:
            self._outbox.results.append(result)
            self._wake()

    async def open_session(self, opened: wire.SessionOpened) -> wire.SessionAnswer:
        """Raises NotAttached when there is no answer; a session that is granted too late is closed at once."""
        if not self.attached:
            raise NotAttached
        self._last_request_id += 1
        request_id = opened.request_id = self._last_request_id
        answer: asyncio.Future[wire.SessionAnswer] = asyncio.get_running_loop().create_future()
        self._openings[request_id] = answer
        self._outbox.opened.append(opened)
        self._wake()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            self._give_back(answer)
            raise NotAttached from None
        except asyncio.CancelledError:
            self._give_back(answer)
            raise
        finally:
            self._openings.pop(request_id, None)

    def session_closed(self, vehicle_id: str, session_epoch: int, reason: str) -> None:
        self._outbox.closed.append(
            wire.SessionClosed(vehicle_id=vehicle_id, session_epoch=session_epoch, reason=reason)
        )
        self._wake()

    def vehicle_not_reached(self, not_reached: wire.VehicleNotReached) -> None:
        """While no stream is up, the holder says it when there is one again."""
        if self.attached:
            self._outbox.not_reached.append(not_reached)
            self._wake()

    def announce_draining(self) -> None:
        self._draining = True
        self._outbox.renewal = True
        self._wake()

    async def flushed(self) -> None:
        """Returns when nothing is waiting to be written, or there is no stream to write it to."""
        while self._writer is not None and self._outbox and await self._writer.flush():
            pass

    # --- the stream

    async def run(self, holder: Holder) -> None:
        """Keeps a stream open, for as long as the connector lives."""
        backoff = Backoff(limit=self._reconnect_max_seconds)
        while True:
            try:
                await self._attach(holder, backoff)
            except _FAILURES as error:
                self._report(error)
            await asyncio.sleep(backoff.pause())

    async def _attach(self, holder: Holder, backoff: Backoff) -> None:
        call: _Call = self._stub.Attach(None)
        try:
            sent_at = self._lease.now()
            async with asyncio.timeout(_ANSWER_SECONDS):
                await call.write(wire.FromConnector(registration=holder.registration()))
                first = await _read(call)
            if not first.HasField("registered"):
                raise _Broken("the first message was no answer to the registration")
            self._lease.granted(sent_at, first.registered.lease_ms)
            self._begin(call, holder.registered(first.registered), holder.vehicles_not_reached())
            holder.attached(True)
            backoff.reset()
            await self._receive(call, first, holder)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise _Broken("the command service does not answer") from None  # this side cancelled the call
        finally:
            call.cancel()
            if self._writer is not None:
                self._end()
                holder.attached(False)

    def _begin(
        self, call: "_Call", results: Iterable[wire.Result], not_reached: Iterable[wire.VehicleNotReached]
    ) -> None:
        _log.info("command_service_attached")
        self._reported = ""
        self._outbox.results = list(results)
        self._outbox.not_reached = list(not_reached)
        self._outbox.claims = [pending.claim for pending in self._claims.values()]
        self._outbox.renewal = self._draining
        self._renewals.clear()
        self._writer = StreamWriter(call.write, self._take, call.cancel)
        self._wake()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        # What is kept elsewhere is sent again from there; the end of a session is not.
        self._outbox = _Outbox(closed=self._outbox.closed)
        for answer in self._openings.values():
            if not answer.done():
                answer.set_exception(NotAttached())
        self._openings.clear()

    async def _receive(self, call: "_Call", first: wire.ToConnector, holder: Holder) -> None:
        renewing = asyncio.create_task(self._renew(call, holder))
        try:
            message = first
            while True:
                self._on_message(message, holder)
                message = await _read(call)
        finally:
            renewing.cancel()

    async def _renew(self, call: "_Call", holder: Holder) -> None:
        try:
            while len(self._renewals) < _UNANSWERED_RENEWALS:
                await asyncio.sleep(self._renew_seconds)
                self._outbox.renewal = True
                self._outbox.seen.extend(holder.sessions_seen())
                self._wake()
        finally:
            call.cancel()

    def _on_message(self, message: wire.ToConnector, holder: Holder) -> None:
        if message.HasField("lease_granted"):
            sent_at = self._renewals.pop(message.lease_granted.nonce, None)
            if sent_at is not None:
                self._lease.granted(sent_at, message.lease_granted.lease_ms)
        # Before claims: a command that was not handed over may have been dispatched again.
        if message.result_acks:
            holder.acknowledged(message.result_acks)
        if message.HasField("assignments"):
            holder.assigned(message.assignments)
        if message.superseded:
            holder.superseded(message.superseded)
        for session in message.session_answers:
            self._on_session_answer(session)
        for claim in message.claim_answers:
            pending = self._claims.pop((claim.command_id, claim.dispatch_number), None)
            if pending is not None:
                pending.answer.set_result(claim)

    def _on_session_answer(self, answer: wire.SessionAnswer) -> None:
        waiting = self._openings.get(answer.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        else:  # the vehicle has gone or given up meanwhile
            self._close_unused(answer)

    def _give_back(self, answer: "asyncio.Future[wire.SessionAnswer]") -> None:
        """It may have come at the very moment when nobody was waiting any more."""
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            self._close_unused(answer.result())

    def _close_unused(self, answer: wire.SessionAnswer) -> None:
        if not answer.error_code:
            self.session_closed(answer.vehicle_id, answer.session_epoch, "closed")

    def _wake(self) -> None:
        if self._writer is not None:
            self._writer.wake()

    def _take(self) -> wire.FromConnector | None:
        box = self._outbox
        if not box:
            return None
        results, later = _split(box.results)
        message = wire.FromConnector(
            lease_renewal=self._renewal() if box.renewal else None,
            sessions_opened=box.opened,
            sessions_closed=box.closed,
            sessions_seen=box.seen,
            claims=box.claims,
            results=results,
            vehicles_not_reached=box.not_reached[:_MAX_REASONS],
        )
        self._outbox = _Outbox(results=later, not_reached=box.not_reached[_MAX_REASONS:])
        return message

    def _renewal(self) -> wire.LeaseRenewal:
        self._last_nonce += 1
        self._renewals[self._last_nonce] = self._lease.now()
        return wire.LeaseRenewal(nonce=self._last_nonce, draining=self._draining)

    def _report(self, error: Exception) -> None:
        """Once for each new reason, not for each try."""
        reason = f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
        reason = reason or type(error).__name__
        if reason != self._reported:
            _log.warning("command_service_away", reason=reason)
        self._reported = reason


_Call = grpc.aio.StreamStreamCall[wire.FromConnector, wire.ToConnector]
_FAILURES = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError, _Broken)


async def _read(call: "_Call") -> wire.ToConnector:
    message = await call.read()
    if not isinstance(message, wire.ToConnector):
        raise _Broken("the command service ended the stream")
    return message


def _is_cancelled() -> bool:
    """This task, as opposed to a call of it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _split(results: list[wire.Result]) -> tuple[list[wire.Result], list[wire.Result]]:
    """What goes with the next message, and what has to wait for the one after it."""
    size = 0
    for position, result in enumerate(results):
        size += result.ByteSize()
        if size > _MAX_MESSAGE_BYTES:
            return results[: position + 1], results[position + 1 :]
    return results, []
