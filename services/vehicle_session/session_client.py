"""The vehicle's side of the session protocol. It knows nothing of what executes the commands."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import grpc

from service_kit.logging import get_logger
from sovd_protos.session.v1 import session_pb2_grpc
from sovd_protos.session.v1.session_pb2 import Execute, FromVehicle, Heartbeat, Hello, Refusal, ToVehicle, Welcome
from sovd_protos.vehicle.v1.vehicle_pb2 import Ecu
from vehicle_session.connections import Connections
from vehicle_session.executions import Executions, Executor
from vehicle_session.hand_overs import HandOvers

PROTOCOL_VERSION = 1
# Bytes of updates in one message, about; a gRPC server takes 4 MiB unless told otherwise.
MOST_PER_MESSAGE = 1024 * 1024
GOODBYE_SECONDS = 1.0

Call = grpc.aio.StreamStreamCall[FromVehicle, ToVehicle]

_log = get_logger(__name__)
_random = random.Random()  # noqa: S311  spreads reconnects


@dataclass(frozen=True, slots=True)
class Identity:
    """What the vehicle says of itself in its hello."""

    vin: str
    credential: str
    ecus: Sequence[Ecu] = ()
    software_version: str = ""
    max_commands: int = 64


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """Exponential backoff with full jitter; slowly where trying again helps only once somebody changes something."""

    first_seconds: float = 1.0
    most_seconds: float = 30.0
    refused_seconds: float = 60.0
    hello_seconds: float = 10.0

    def after_failures(self, failures: int) -> float:
        return _random.uniform(0, self.longest_after(failures))

    def longest_after(self, failures: int) -> float:
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(failures, 16))

    def after_refusal(self, retry_after_ms: int) -> float:
        return _random.uniform(1, 1.5) * (retry_after_ms / 1000 or self.refused_seconds)


class SessionClient:
    """Keeps one session, executes what it is handed, and keeps every update until it is recorded.

    `gate` bounds how many vehicles of a process say hello at the same time.
    """

    def __init__(
        self,
        identity: Identity,
        executor: Executor,
        hand_overs: HandOvers,
        connections: Connections,
        gate: asyncio.Semaphore,
        policy: ReconnectPolicy,
    ) -> None:
        self.identity = identity
        self.connected = asyncio.Event()
        self.session_epoch = 0
        self.executions = Executions(identity.vin, executor, hand_overs, self._flush_soon)
        self._connections = connections
        self._gate = gate
        self._policy = policy
        self._runner: asyncio.Task[None] | None = None
        self._call: Call | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._flush_waiters: list[asyncio.Future[None]] = []
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._move_timer: asyncio.TimerHandle | None = None
        self._heartbeats = 0
        self._heartbeat_due = False
        self._goodbye = False
        self._failures = 0
        # In a row, and each over sooner than the pause after so many failures may last: as if they had not come about.
        self._short_sessions = 0
        self._opened_at = 0.0
        self._pause: float | None = None
        self._refused_with = ""

    def start(self) -> "asyncio.Task[None]":
        """Connect and stay connected, until stop. The task ends by itself only when the vehicle is broken."""
        self._goodbye = False
        self._runner = asyncio.create_task(self._run())
        return self._runner

    async def leave(self) -> None:
        """Say goodbye and end the session. What is held stays held; `start` takes it up again."""
        self._goodbye = True
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if self._call is not None:
            self._flush_soon()
            await asyncio.wait([runner], timeout=GOODBYE_SECONDS)
        runner.cancel()
        await asyncio.wait([runner])

    async def stop(self) -> None:
        """Leave, and lose what is held, as when a vehicle is switched off."""
        await self.leave()
        self.executions.forget_all()

    def drop_connection(self, seconds: float | None = None) -> None:
        """The connection breaks; what is held stays held, and the vehicle reconnects, after `seconds` if given."""
        self._pause = seconds
        if self._call is not None:
            self._call.cancel()

    def restart(self, seconds: float = 0.0) -> None:
        """The vehicle loses its memory: the connection breaks and nothing is held; it is back after `seconds`."""
        self.executions.forget_all()
        self.drop_connection(seconds)

    async def flushed(self, command: Execute) -> None:
        """Until everything the command has said so far is sent."""
        key = (command.command_id, command.attempt)
        while self._flusher is not None or not self.executions.is_sent(key):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flush_waiters.append(waiter)
            await waiter

    # --- the session ---

    async def _run(self) -> None:
        while not self._goodbye:
            await self._one_session()
            if not self._goodbye:
                await asyncio.sleep(self._next_delay())

    def _next_delay(self) -> float:
        delay, self._pause = self._pause, None
        return self._policy.after_failures(self._failures) if delay is None else delay

    async def _one_session(self) -> None:
        channel = self._connections.open()
        try:
            call, message = await self._say_hello(channel)
            if message.HasField("refusal"):
                self._refused(message.refusal)
                return
            self._opened(call, message.welcome)
            await self._receive(call, message)
        except (grpc.RpcError, _SessionEnded, TimeoutError, asyncio.InvalidStateError) as error:
            self._lost(error)
        except asyncio.CancelledError:
            if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                raise
            # Otherwise it is the call that was cancelled: drop_connection.
        finally:
            self._closed()
            await self._connections.release(channel)

    async def _say_hello(self, channel: grpc.aio.Channel) -> tuple[Call, ToVehicle]:
        async with self._gate, asyncio.timeout(self._policy.hello_seconds):
            call: Call = session_pb2_grpc.VehicleSessionServiceStub(channel).OpenSession(None)
            await call.write(FromVehicle(hello=self._hello()))
            return call, await _read(call)

    def _hello(self) -> Hello:
        identity = self.identity
        return Hello(
            protocol_version=PROTOCOL_VERSION,
            vin=identity.vin,
            credential=identity.credential,
            ecus=identity.ecus,
            held=self.executions.announced(),
            software_version=identity.software_version,
            max_commands=identity.max_commands,
        )

    def _refused(self, refusal: Refusal) -> None:
        self._pause = self._policy.after_refusal(refusal.retry_after_ms)
        if refusal.code != self._refused_with:
            self._refused_with = refusal.code
            _log.warning("vehicle_refused", vin=self.identity.vin, code=refusal.code, reason=refusal.message)

    def _opened(self, call: Call, welcome: Welcome) -> None:
        self._call = call
        self._failures = 0
        self._opened_at = time.monotonic()
        self._refused_with = ""
        self.session_epoch = welcome.session_epoch
        for resume in welcome.resume:
            self.executions.resume(resume)
        if welcome.heartbeat_interval_ms:
            interval = welcome.heartbeat_interval_ms / 1000
            # The first one at a time of its own, so that a fleet does not beat as one.
            self._beat_in(_random.uniform(0, interval), interval)
        self.connected.set()
        self._flush_soon()

    def _lost(self, error: Exception) -> None:
        if self._call is not None:
            lasted = time.monotonic() - self._opened_at
            too_soon = not self._goodbye and lasted < self._policy.longest_after(self._short_sessions)
            self._failures = self._short_sessions = self._short_sessions + 1 if too_soon else 0
            return
        self._failures += 1
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        self._connections.report_failure(reason or "no answer to the hello in time")

    def _closed(self) -> None:
        self.connected.clear()
        self._call = None
        for timer in (self._heartbeat_timer, self._move_timer):
            if timer is not None:
                timer.cancel()
        self.executions.suspend()

    def _beat_in(self, seconds: float, interval: float) -> None:
        self._heartbeat_timer = asyncio.get_running_loop().call_later(seconds, self._beat, interval)

    def _beat(self, interval: float) -> None:
        self._heartbeat_due = True
        self._flush_soon()
        self._beat_in(interval, interval)

    # --- what arrives ---

    async def _receive(self, call: Call, message: ToVehicle) -> None:
        while True:
            if message.execute:
                self.executions.take(message.execute)
            for cancel in message.cancel:
                self.executions.cancel(cancel)
            for credit in message.credit:
                self.executions.credit(credit)
            if message.HasField("move"):
                self._move_in(message.move.reconnect_after_ms / 1000)
            message = await _read(call)

    def _move_in(self, seconds: float) -> None:
        """Until then it goes on here: what it has said may still be recorded."""
        self._move_timer = asyncio.get_running_loop().call_later(seconds, self.drop_connection)

    # --- what is sent: all that is ready in one message, one message at a time ---

    def _flush_soon(self) -> None:
        if self._flusher is None and self._call is not None:
            self._flusher = asyncio.create_task(self._flush(self._call))

    async def _flush(self, call: Call) -> None:
        try:
            while call is self._call and (message := self._next_message()) is not None:
                await self._send(call, message)
                if message.goodbye:
                    await call.done_writing()
                    return
        except (grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            call.cancel()  # the reader sees that it is over, and what was not recorded is sent again
        finally:
            self._flusher = None
            self._wake_flush_waiters()
            if self._call is not call:  # a new session began meanwhile
                self._flush_soon()

    def _wake_flush_waiters(self) -> None:
        waiters, self._flush_waiters = self._flush_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _next_message(self) -> FromVehicle | None:
        updates = self.executions.next_updates(MOST_PER_MESSAGE)
        if not updates and not self._heartbeat_due and not self._goodbye:
            return None
        message = FromVehicle(updates=updates, goodbye=self._goodbye)
        if self._heartbeat_due:
            self._heartbeat_due = False
            self._heartbeats += 1
            message.heartbeat.CopyFrom(Heartbeat(number=self._heartbeats))
        return message

    async def _send(self, call: Call, message: FromVehicle) -> None:
        await call.write(message)


class _SessionEnded(Exception):
    """The connector closed the stream."""


async def _read(call: Call) -> ToVehicle:
    message = await call.read()
    if not isinstance(message, ToVehicle):
        raise _SessionEnded("the connector closed the session")
    return message
