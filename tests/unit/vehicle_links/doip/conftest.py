"""A running connector that dials a simulated vehicle through a relay which can be cut between any two bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY

from sovd_protos.connector.v1 import connector_pb2 as wire
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import vehicle_id_of
from tests.unit.vehicle_connector.ids import command_id
from vehicle_links.doip import functional
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers, command_of
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript, parse_fault

VIN = "WDD1234567890ABCD"
NOT_REPEATABLE = frozenset(("ClearDTC", "WriteDataByID", "RoutineControl", "ECUReset"))
Json = dict[str, Any]


class Witness(UdsServers):
    """Remembers what each ECU was asked and what it answered: positively is executed."""

    def __init__(self, vehicle: VehicleModel) -> None:
        super().__init__(vehicle)
        self.answers: list[tuple[bytes, bytes | None]] = []
        # ECUs that refuse whatever they are asked, with the NRC.
        self.refusing: dict[int, int] = {}
        # What an ECU's answers become on their way.
        self.spoil: Callable[[bytes], bytes] | None = None

    def answer(self, address: int, request: bytes, now: float, *, functional: bool = False) -> bytes | None:
        if address in self.refusing and request[0] != 0x3E:
            answer: bytes | None = bytes((0x7F, request[0], self.refusing[address]))
        else:
            answer = super().answer(address, request, now, functional=functional)
        self.answers.append((request, answer))
        return self.spoil(answer) if self.spoil and answer and request[0] != 0x3E else answer

    def executed(self, command_name: str) -> int:
        return sum(
            command_of(request) == command_name and answer is not None and answer[:1] != b"\x7f"
            for request, answer in self.answers
        )


class Relay:
    """Relays TCP on loopback; `cut_after` bytes more in one direction both sides see the connection break."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._target_port = target_port
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._relaying: set[asyncio.Task[None] | None] = set()
        # Replaces what comes by it, in each direction.
        self.corrupt: dict[str, Any] = {}
        self.delay_s = 0.0
        self.byte_by_byte = False
        # What passed, piece by piece, with its direction.
        self.recorded: list[tuple[str, bytes]] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        # Also those that were just being dialled: no socket is left open.
        relaying = [task for task in self._relaying if task is not None]
        for task in relaying:
            task.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)
        await asyncio.sleep(0)

    def cut(self) -> None:
        self.cuts += 1
        self._left = {"up": None, "down": None}
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    def cut_after(self, direction: str, count: int) -> None:
        self._left[direction] = count

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._relaying.add(task)
        try:
            await self._relay(reader, writer)
        finally:
            self._relaying.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, target_writer]
        await asyncio.gather(self._pump("up", reader, target_writer), self._pump("down", target_reader, writer))
        writer.transport.abort()
        target_writer.transport.abort()

    async def _pump(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if corrupt := self.corrupt.get(direction):
                    data = corrupt(data)
                self.recorded.append((direction, data))
                left = self._left[direction]
                for piece in _bytes_of(data) if self.byte_by_byte else [data if left is None else data[:left]]:
                    writer.write(piece)
                    await asyncio.sleep(0)
                if left is not None:
                    self._left[direction] = left - len(data)
                    if left <= len(data):
                        await asyncio.sleep(0)
                        self.cut()
        except OSError:
            pass
        finally:
            writer.transport.abort()


def _bytes_of(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@dataclass
class Bench:
    """What a test talks to."""

    world: World
    entity: DoipEntity
    witness: Witness
    faults: FaultScript
    relay: Relay
    vehicle: VehicleModel
    numbers: list[str] = field(default_factory=list)

    def script(self, fault: str) -> None:
        self.faults.add(parse_fault(fault))

    @property
    def sessions(self) -> int:
        return len(self.world.service.opened)

    async def online(self) -> None:
        await until(lambda: REGISTRY.get_sample_value("sovd_vehicles_connected") == 1, 10)

    async def redialled(self, sessions: int) -> None:
        """There has been another session since there were so many, and only the last is open."""
        await until(lambda: self.sessions > sessions and len(self.world.service.closed) == self.sessions - 1)
        await self.online()

    async def dispatch(self, name: str, *, timeout_ms: int = 5_000, **params: Any) -> str:
        """Its command_id."""
        self.numbers.append(name)
        new = command_id(f"doip-{len(self.numbers)}")
        await self.world.dispatch.command(
            new,
            VIN,
            command_name=name,
            command_params=json.dumps({"ecuAddress": "0x10"} | params),
            repeatable=name not in NOT_REPEATABLE,
            timeout_ms=timeout_ms,
            session_epoch=self.sessions,
            stream_duration_ms=int(params.get("duration_s", 0) * 1000),
        )
        return new

    async def outcome(self, command: str, seconds: float = 10) -> wire.Outcome:
        await until(lambda: self.world.service.outcome(command), seconds)
        outcome = self.world.service.outcome(command)
        assert outcome is not None
        return outcome

    def responses(self, command: str) -> list[Json]:
        return [json.loads(one.response) for one in self.world.service.results(command) if one.HasField("response")]

    def progress(self, command: str) -> list[int]:
        return [one.progress.nrc for one in self.world.service.results(command) if one.HasField("progress")]

    async def run(self, name: str, **params: Any) -> tuple[list[Json], wire.Outcome]:
        command = await self.dispatch(name, **params)
        outcome = await self.outcome(command)
        return self.responses(command), outcome

    async def completed(self, name: str, **params: Any) -> list[Json]:
        responses, outcome = await self.run(name, **params)
        assert outcome.kind == wire.Outcome.COMPLETED, outcome
        return responses


@asynccontextmanager
async def bench_of(
    worlds: Worlds, settings: Mapping[str, Any] | None = None, *, address: str = ""
) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        vehicle, faults = VehicleModel(VehicleSpec(VIN)), FaultScript()
        witness = Witness(vehicle)
        entity = DoipEntity(VIN, witness, faults)
        await entity.start("127.0.0.1", 0)
        stack.push_async_callback(entity.stop)
        relay = Relay(entity.port)
        await relay.start()
        world = await stack.enter_async_context(worlds(**({"redial_max_seconds": 0.05} | dict(settings or {}))))
        stack.push_async_callback(relay.stop)
        bench = Bench(world, entity, witness, faults, relay, vehicle)
        world.service.assign(dialled(address or f"127.0.0.1:{relay.port}"))
        await bench.online()
        yield bench


def dialled(address: str, vin: str = VIN, kind: str = "doip") -> wire.DialledVehicle:
    return wire.DialledVehicle(vehicle_id=vehicle_id_of(vin), vin=vin, link_kind=kind, address=address)


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated ECUs need no second to answer."""
    monkeypatch.setattr(functional, "_WINDOW_SECONDS", 0.25)


@pytest.fixture
async def bench(worlds: Worlds) -> AsyncIterator[Bench]:
    async with bench_of(worlds) as made:
        yield made
