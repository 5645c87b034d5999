"""A connector as the simulator sees it: a real gRPC server whose every move the test makes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc

from service_kit.grpc_tls import GrpcTls
from sovd_protos.session.v1 import session_pb2_grpc
from sovd_protos.session.v1.session_pb2 import (
    CommandUpdate,
    Credit,
    Execute,
    FromVehicle,
    Hello,
    Refusal,
    Resume,
    ToVehicle,
    Welcome,
)

Key = tuple[str, int]


class FakeSession:
    """One session a vehicle has opened."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.messages: list[FromVehicle] = []
        self.ended = False
        self._outgoing: asyncio.Queue[ToVehicle | None] = asyncio.Queue()
        self._changed = asyncio.Condition()

    @property
    def updates(self) -> list[CommandUpdate]:
        return [update for message in self.messages for update in message.updates]

    @property
    def numbers(self) -> list[int]:
        return [update.number for update in self.updates]

    @property
    def responses(self) -> list[str]:
        return [update.response for update in self.updates if update.HasField("response")]

    def send(self, *, move_ms: int | None = None, **lists: object) -> None:
        message = ToVehicle(**lists)  # type: ignore[arg-type]
        if move_ms is not None:
            message.move.reconnect_after_ms = move_ms
        self._outgoing.put_nowait(message)

    def execute(
        self,
        name: str,
        params: str = '{"ecuAddress":"0x10"}',
        *,
        command_id: str = "c1",
        credit: int = 100,
        **more: object,
    ) -> None:
        repeatable = name.startswith(("Read", "Stream"))
        fields = {"attempt": 1, "repeatable": repeatable, "initial_credit": credit, **more}
        execute = Execute(command_id=command_id, command_name=name, command_params=params, **fields)  # type: ignore[arg-type]
        self.send(execute=[execute])

    def credit(self, recorded: int, allowed: int = 0, *, command_id: str = "c1", closed: bool = False) -> None:
        self.send(credit=[Credit(command_id=command_id, attempt=1, recorded=recorded, allowed=allowed, closed=closed)])

    def close(self) -> None:
        """The connector ends the stream."""
        self._outgoing.put_nowait(None)

    async def until(self, holds: "Callable[[FakeSession], bool]") -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: holds(self))

    async def finished(self, count: int = 1) -> CommandUpdate:
        """The last update of so many commands."""
        await self.until(lambda session: sum(update.HasField("finished") for update in session.updates) >= count)
        return [update for update in self.updates if update.HasField("finished")][-1]

    async def end(self) -> None:
        await self.until(lambda session: session.ended)

    async def notify(self, message: FromVehicle | None) -> None:
        async with self._changed:
            if message is None:
                self.ended = True
            else:
                self.messages.append(message)
            self._changed.notify_all()

    async def outgoing(self) -> AsyncIterator[ToVehicle]:
        while (message := await self._outgoing.get()) is not None:
            yield message


class FakeConnector(session_pb2_grpc.VehicleSessionServiceServicer):
    """Welcomes every vehicle unless `refusal` is set; `resumes` are its answers to held commands (default: from 1)."""

    def __init__(self, address: str = "127.0.0.1:0", *, tls: GrpcTls | None = None, listen: bool = True) -> None:
        self.refusal: Refusal | None = None
        self.heartbeat_ms = 60_000
        self.resumes: dict[Key, Resume] = {}
        self.peers: list[str] = []
        self.hellos = 0
        self._hello = asyncio.Condition()
        self._sessions: asyncio.Queue[FakeSession] = asyncio.Queue()
        self._server = grpc.aio.server()
        session_pb2_grpc.add_VehicleSessionServiceServicer_to_server(self, self._server)
        self._tls = tls
        self.address = f"127.0.0.1:{self._listen(address)}" if listen else address
        self._listening = listen

    def _listen(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._tls.server_credentials())

    async def start(self) -> None:
        if not self._listening:
            self._listen(self.address)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def session(self) -> FakeSession:
        """The next session a vehicle opens."""
        async with asyncio.timeout(10):
            return await self._sessions.get()

    async def hello_count(self, count: int) -> None:
        async with self._hello:
            await self._hello.wait_for(lambda: self.hellos >= count)

    def resume_from(self, next_number: int, *, credit: int = 100, wanted: bool = True, command_id: str = "c1") -> None:
        self.resumes[command_id, 1] = Resume(
            command_id=command_id, attempt=1, wanted=wanted, next_number=next_number, initial_credit=credit
        )

    async def OpenSession(
        self, request_iterator: AsyncIterator[FromVehicle], context: grpc.aio.ServicerContext[FromVehicle, ToVehicle]
    ) -> AsyncIterator[ToVehicle]:
        hello = (await anext(request_iterator)).hello
        async with self._hello:
            self.hellos += 1
            self._hello.notify_all()
        self.peers.append(context.peer())
        if self.refusal is not None:
            yield ToVehicle(refusal=self.refusal)
            return
        session = FakeSession(hello)
        yield ToVehicle(welcome=self._welcome(hello))
        self._sessions.put_nowait(session)
        reader = asyncio.create_task(_read(request_iterator, session))
        try:
            async for message in session.outgoing():
                yield message
        finally:
            reader.cancel()

    def _welcome(self, hello: Hello) -> Welcome:
        held = [(command.command_id, command.attempt) for command in hello.held]
        resumes = [
            self.resumes.get(
                key, Resume(command_id=key[0], attempt=key[1], wanted=True, next_number=1, initial_credit=100)
            )
            for key in held
        ]
        return Welcome(session_epoch=self.hellos, heartbeat_interval_ms=self.heartbeat_ms, resume=resumes)


async def _read(messages: AsyncIterator[FromVehicle], session: FakeSession) -> None:
    try:
        async for message in messages:
            await session.notify(message)
    finally:
        session.close()
        await asyncio.shield(session.notify(None))
