"""A command service of a few lines: it answers as it is told to and remembers what it got."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from service_kit.grpc_server import create_server
from service_kit.messaging.memory import MemoryMessaging
from service_kit.messaging.port import OutgoingMessage
from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1 import connector_pb2_grpc

SERVICE_TOKEN = "service-token-of-the-tests"

Context = grpc.aio.ServicerContext[wire.FromConnector, wire.ToConnector]


def vehicle_id_of(vin: str) -> str:
    return f"id-{vin}"


@dataclass
class FakeCommandService(connector_pb2_grpc.ConnectorServiceServicer):
    """Grants claims and records results in order, unless told otherwise."""

    lease_ms: int = 10_000
    granting: bool = True
    expires_in_ms: int = 0
    refusal: str = ""
    # Of single commands, by command_id.
    refusals: dict[str, str] = field(default_factory=dict)
    recording: bool = True
    renewing: bool = True
    unknown_vins: set[str] = field(default_factory=set)
    # By (command_id, attempt): what becomes of a command that a vehicle or the connector presents.
    take_ups: dict[tuple[str, int], wire.TakeUp] = field(default_factory=dict)
    superseded: list[wire.OpenSession] = field(default_factory=list)
    answer_session: bool = True

    registrations: list[wire.Registration] = field(default_factory=list)
    renewals: list[wire.LeaseRenewal] = field(default_factory=list)
    opened: list[wire.SessionOpened] = field(default_factory=list)
    closed: list[wire.SessionClosed] = field(default_factory=list)
    seen: list[wire.SessionSeen] = field(default_factory=list)
    not_reached: list[wire.VehicleNotReached] = field(default_factory=list)
    claims: list[wire.Claim] = field(default_factory=list)
    # Everything that arrived, and what of it was recorded: per attempt in order, once.
    arrived: list[wire.Result] = field(default_factory=list)
    recorded: dict[tuple[str, int], list[wire.Result]] = field(default_factory=dict)
    messages: list[wire.FromConnector] = field(default_factory=list)

    _stream: "asyncio.Queue[wire.ToConnector | None] | None" = None
    _epoch: int = 0
    _server: Any = None
    _port: int = 0

    async def start(self) -> str:
        self._server, self._port = create_server(SERVICE_TOKEN, port_address=f"127.0.0.1:{self._port}")
        connector_pb2_grpc.add_ConnectorServiceServicer_to_server(self, self._server)
        await self._server.start()
        return f"127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """All streams break; `start` again listens on the same port."""
        await self._server.stop(None)

    @staticmethod
    def clock() -> float:
        return asyncio.get_running_loop().time()

    @property
    def attached(self) -> bool:
        return self._stream is not None

    def send(self, message: wire.ToConnector) -> None:
        assert self._stream is not None
        self._stream.put_nowait(message)

    def end_stream(self) -> None:
        assert self._stream is not None
        self._stream.put_nowait(None)

    def assign(self, *vehicles: wire.DialledVehicle) -> None:
        self.send(wire.ToConnector(assignments=wire.Assignments(vehicles=vehicles)))

    def grant(self, claim: wire.Claim, attempt: int = 1) -> None:
        answer = wire.ClaimAnswer(
            command_id=claim.command_id,
            dispatch_number=claim.dispatch_number,
            granted=True,
            attempt=attempt,
            expires_in_ms=self.expires_in_ms,
        )
        self.send(wire.ToConnector(claim_answers=[answer]))

    def acknowledge(self, command_id: str, number: int, *, closed: bool = False, attempt: int = 1) -> None:
        ack = wire.ResultAck(command_id=command_id, attempt=attempt, number=number, closed=closed)
        self.send(wire.ToConnector(result_acks=[ack]))

    def results(self, command_id: str, attempt: int = 1) -> list[wire.Result]:
        return self.recorded.get((command_id, attempt), [])

    def outcome(self, command_id: str, attempt: int = 1) -> wire.Outcome | None:
        """The first outcome recorded of the attempt."""
        outcomes = [result.outcome for result in self.results(command_id, attempt) if result.HasField("outcome")]
        return outcomes[0] if outcomes else None

    # --- the service

    async def Attach(self, request_iterator: Any, context: Context) -> AsyncIterator[wire.ToConnector]:
        first = await context.read()
        assert isinstance(first, wire.FromConnector)
        self.registrations.append(first.registration)
        answers: asyncio.Queue[wire.ToConnector | None] = asyncio.Queue()
        answers.put_nowait(wire.ToConnector(registered=self._registered(first.registration)))
        self._stream = answers
        reading = asyncio.create_task(self._read(context))
        try:
            while (message := await answers.get()) is not None:
                yield message
        finally:
            reading.cancel()
            if self._stream is answers:
                self._stream = None

    def _registered(self, registration: wire.Registration) -> wire.Registered:
        return wire.Registered(
            lease_ms=self.lease_ms,
            take_ups=[self._take_up(command) for command in registration.commands],
            superseded=self.superseded,
        )

    def _take_up(self, command: wire.OpenCommand) -> wire.TakeUp:
        key = command.command_id, command.attempt
        known = wire.TakeUp(
            command_id=key[0],
            attempt=key[1],
            wanted=self.outcome(*key) is None,
            next_number=len(self.results(*key)) + 1,
            timeout_ms=60_000,
            command_name="ReadDTC",
        )
        return self.take_ups.get(key, known)

    async def _read(self, context: Context) -> None:
        answers = self._stream
        while isinstance(message := await context.read(), wire.FromConnector):
            self._take(message)
        if answers is not None:
            answers.put_nowait(None)

    def _take(self, message: wire.FromConnector) -> None:
        self.messages.append(message)
        self.closed.extend(message.sessions_closed)
        self.seen.extend(message.sessions_seen)
        self.not_reached.extend(message.vehicles_not_reached)
        if message.HasField("lease_renewal"):
            self.renewals.append(message.lease_renewal)
            if self.renewing:
                granted = wire.LeaseGranted(nonce=message.lease_renewal.nonce, lease_ms=self.lease_ms)
                self.send(wire.ToConnector(lease_granted=granted))
        for opened in message.sessions_opened:
            self.opened.append(opened)
            if self.answer_session:
                self.send(wire.ToConnector(session_answers=[self.session_answer(opened)]))
        for claim in message.claims:
            self.claims.append(claim)
            self._answer_claim(claim)
        for result in message.results:
            self._record(result)

    def session_answer(self, opened: wire.SessionOpened) -> wire.SessionAnswer:
        if opened.vin in self.unknown_vins:
            return wire.SessionAnswer(
                request_id=opened.request_id, error_code="UNKNOWN_VEHICLE", error_message="No such vehicle."
            )
        self._epoch += 1
        return wire.SessionAnswer(
            request_id=opened.request_id,
            vehicle_id=vehicle_id_of(opened.vin),
            session_epoch=self._epoch,
            take_ups=[self._take_up(held) for held in opened.held],
        )

    def _answer_claim(self, claim: wire.Claim) -> None:
        if refusal := self.refusal or self.refusals.get(claim.command_id):
            refused = wire.ClaimAnswer(
                command_id=claim.command_id, dispatch_number=claim.dispatch_number, refusal=refusal
            )
            self.send(wire.ToConnector(claim_answers=[refused]))
        elif self.granting:
            self.grant(claim)

    def _record(self, result: wire.Result) -> None:
        self.arrived.append(result)
        if not self.recording:
            return
        key = result.command_id, result.attempt
        recorded = self.recorded.setdefault(key, [])
        if result.number == len(recorded) + 1:
            recorded.append(result)
        is_end = result.HasField("outcome") and result.outcome.kind != wire.Outcome.TIMED_OUT
        self.acknowledge(key[0], len(recorded), closed=is_end, attempt=key[1])


@dataclass
class Dispatch:
    """Publishes what the command service would."""

    messaging: MemoryMessaging
    connector_id: Callable[[], str]

    async def command(self, command_id: str, vin: str, **fields: Any) -> None:
        await self.together(dispatched_command(command_id, vin, **fields))

    async def together(self, *commands: wire.DispatchedCommand) -> None:
        await self.raw(wire.DispatchedCommands(commands=commands).SerializeToString())

    async def raw(self, body: bytes, queue: str = "connector") -> None:
        message = OutgoingMessage(f"{queue}.{self.connector_id()}", body, "message")
        assert await self.messaging.publish([message]) == [None]

    async def cancel(self, command_id: str, attempt: int = 1) -> None:
        cancel = wire.CancelRequested(command_id=command_id, attempt=attempt)
        await self.raw(wire.ControlMessage(cancel=cancel).SerializeToString(), "control")

    async def supersede(self, vin: str, session_epoch: int) -> None:
        superseded = wire.SessionSuperseded(vehicle_id=vehicle_id_of(vin), session_epoch=session_epoch)
        await self.raw(wire.ControlMessage(superseded=superseded).SerializeToString(), "control")


def dispatched_command(command_id: str, vin: str, **fields: Any) -> wire.DispatchedCommand:
    return wire.DispatchedCommand(
        **{
            "command_id": command_id,
            "dispatch_number": 1,
            "vehicle_id": vehicle_id_of(vin),
            "session_epoch": 1,
            "command_name": "ReadDTC",
            "command_params": '{"ecuAddress":"0x10"}',
            "repeatable": True,
            "timeout_ms": 60_000,
            **fields,
        }
    )
