"""An agent between a real connector and a simulated vehicle, over real sockets: in this process or in its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from service_kit.lifecycle import Lifecycle
from service_kit.vehicle_credential import vehicle_credential
from tests.support.system import ROOT
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import Worlds, worlds
from tests.unit.vehicle_connector.scripted_vehicle import CREDENTIAL_SECRET
from tests.unit.vehicle_links.doip.conftest import VIN, Bench, Relay, Witness
from vehicle_agent.composition import compose
from vehicle_agent.settings import Settings
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript

__all__ = ["worlds"]


@dataclass
class AgentBench(Bench):
    """`bench.relay` is between agent and vehicle, `bench.uplink` between agent and connector."""

    uplink: Relay = field(kw_only=True)
    state_dir: Path = field(kw_only=True)

    def settings(self, **more: object) -> dict[str, Any]:
        return {
            "connector_address": f"127.0.0.1:{self.uplink.port}",
            "vehicle_vin": VIN,
            "vehicle_credential": vehicle_credential(CREDENTIAL_SECRET, VIN),
            "doip_address": f"127.0.0.1:{self.relay.port}",
            "state_dir": str(self.state_dir),
            "redial_max_seconds": 0.1,
            "reconnect_max_seconds": 0.2,
            "drain_seconds": 1,
            **more,
        }

    @asynccontextmanager
    async def agent(self, **more: object) -> AsyncIterator[Lifecycle]:
        """In this process, and online."""
        sessions = self.sessions
        async with compose(Settings(**self.settings(**more))) as running:
            await self.redialled(sessions)
            yield running

    @asynccontextmanager
    async def process(self, **more: object) -> AsyncIterator["AgentProcess"]:
        """A process of its own, and online."""
        sessions = self.sessions
        process = AgentProcess(await started(self.settings(**more)))
        try:
            await self.redialled(sessions)
            yield process
        finally:
            await process.kill()


class AgentProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def resident_bytes(self) -> int:
        memory: int = psutil.Process(self._process.pid).memory_info().rss
        return memory

    async def kill(self) -> None:
        """As kill -9 does, or a loss of power."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def terminate(self) -> int:
        """As systemd does; the exit code."""
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 30)

    async def line_with(self, text: str) -> str:
        """What it says until then is passed over."""
        assert self._process.stderr is not None
        async with asyncio.timeout(30):
            while text not in (line := (await self._process.stderr.readline()).decode()):
                assert line, f"it ended without {text}"
        return line

    async def output(self) -> str:
        """All it said, or says after that line, once it has ended."""
        _, errors = await asyncio.wait_for(self._process.communicate(), 30)
        return errors.decode()

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode


async def started(settings: Mapping[str, Any], stderr: Any = None) -> asyncio.subprocess.Process:
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "services"), "LOG_FORMAT": "json"}
    environment = {name.upper(): str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vehicle_agent", env=ours | environment, stderr=stderr
    )


AgentBenches = Callable[..., AbstractAsyncContextManager[AgentBench]]


@pytest.fixture
def benches(worlds: Worlds, tmp_path: Path) -> AgentBenches:
    @asynccontextmanager
    async def bench_of(**settings: Any) -> AsyncIterator[AgentBench]:
        async with AsyncExitStack() as stack:
            vehicle, faults = VehicleModel(VehicleSpec(VIN)), FaultScript()
            witness = Witness(vehicle)
            entity = DoipEntity(VIN, witness, faults)
            await entity.start("127.0.0.1", 0)
            stack.push_async_callback(entity.stop)
            world = await stack.enter_async_context(worlds(**settings))
            relays = [Relay(entity.port), Relay(world.connector.session_port)]
            for relay in relays:
                await relay.start()
                stack.push_async_callback(relay.stop)
            yield AgentBench(
                world, entity, witness, faults, relays[0], vehicle, uplink=relays[1], state_dir=tmp_path / "state"
            )

    return bench_of


@pytest.fixture
async def bench(benches: AgentBenches) -> AsyncIterator[AgentBench]:
    async with benches() as made:
        yield made


async def offline(bench: AgentBench, sessions: int) -> None:
    """So many sessions have ended."""
    await until(lambda: len(bench.world.service.closed) >= sessions)
