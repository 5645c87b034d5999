"""A vehicle that does what the test says, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service_kit.vehicle_credential import vehicle_credential
from sovd_protos.session.v1 import session_pb2 as wire

CREDENTIAL_SECRET = "credential-secret-of-the-tests"
VIN = "WDD1234567890ABCD"

_METHOD = "/sovd_protos.session.v1.VehicleSessionService/OpenSession"


def hello(vin: str = VIN, **fields: Any) -> wire.Hello:
    return wire.Hello(
        **{"protocol_version": 1, "vin": vin, "credential": vehicle_credential(CREDENTIAL_SECRET, vin), **fields}
    )


class ScriptedVehicle:
    """One session. What comes down is collected; nothing is answered by itself."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.welcome = wire.Welcome()
        self.refusal = wire.Refusal()
        self.executes: list[wire.Execute] = []
        self.cancels: list[wire.Cancel] = []
        self.credits: list[wire.Credit] = []
        self.moves: list[wire.Move] = []
        self.ended = False

    async def start(self, first: wire.FromVehicle | bytes) -> None:
        await self.send(first)
        answer = await self._call.read()
        if isinstance(answer, wire.ToVehicle):
            self.welcome, self.refusal = answer.welcome, answer.refusal

    async def read(self) -> None:
        """Until the session ends."""
        try:
            while isinstance(message := await self._call.read(), wire.ToVehicle):
                self.executes.extend(message.execute)
                self.cancels.extend(message.cancel)
                self.credits.extend(message.credit)
                if message.HasField("move"):
                    self.moves.append(message.move)
        except grpc.aio.AioRpcError:
            pass
        finally:
            self.ended = True

    async def send(self, message: wire.FromVehicle | bytes) -> None:
        await self._call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def update(self, *updates: wire.CommandUpdate) -> None:
        await self.send(wire.FromVehicle(updates=updates))

    async def respond(self, command_id: str, number: int, text: str = '{"a":1}', attempt: int = 1) -> None:
        await self.update(response(command_id, number, text, attempt))

    async def finish(self, command_id: str, number: int, kind: Any = wire.Finished.COMPLETED, **fields: Any) -> None:
        await self.update(finished(command_id, number, kind, **fields))

    async def goodbye(self) -> None:
        await self.send(wire.FromVehicle(goodbye=True))

    def break_off(self) -> None:
        self._call.cancel()

    @property
    def handed(self) -> list[str]:
        return [execute.command_id for execute in self.executes]

    @property
    def closed(self) -> set[str]:
        return {credit.command_id for credit in self.credits if credit.closed}


def response(command_id: str, number: int, text: str = '{"a":1}', attempt: int = 1) -> wire.CommandUpdate:
    return wire.CommandUpdate(command_id=command_id, attempt=attempt, number=number, response=text)


def finished(
    command_id: str, number: int, kind: Any = wire.Finished.COMPLETED, attempt: int = 1, **fields: Any
) -> wire.CommandUpdate:
    end = wire.Finished(kind=kind, **fields)
    return wire.CommandUpdate(command_id=command_id, attempt=attempt, number=number, finished=end)


@asynccontextmanager
async def connected_vehicle(
    port: int, first: wire.Hello | None = None, raw: bytes | None = None
) -> AsyncIterator[ScriptedVehicle]:
    """Over a connection of its own. It has said hello, or `raw`, and has the answer."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_stream(_METHOD, request_serializer=None, response_deserializer=wire.ToVehicle.FromString)(
            None
        )
        vehicle = ScriptedVehicle(call)
        await vehicle.start(raw or wire.FromVehicle(hello=first or hello()))
        reading = asyncio.create_task(vehicle.read())
        try:
            yield vehicle
        finally:
            call.cancel()
            reading.cancel()
            await asyncio.wait([reading])
