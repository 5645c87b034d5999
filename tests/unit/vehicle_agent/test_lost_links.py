"""An agent whose link breaks while something is under way: what it was handed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.unit.vehicle_simulator.fake_connector import FakeConnector, FakeSession
from vehicle_agent.agent import Agent, AgentSession
from vehicle_agent.executor import LinkExecutor
from vehicle_agent.journal import Journal
from vehicle_links.dialled import DialledVehicle, Execution, NotSent
from vehicle_session.connections import Connections
from vehicle_session.session_client import Identity, ReconnectPolicy

VIN = "WDD1234567890ABCD"


class BreakingVehicle:
    """A Dialler and its Connection. The change `c1` goes on for a while after the link has broken."""

    def __init__(self) -> None:
        self.broken = asyncio.Event()
        self.may_end = asyncio.Event()
        self.asked: list[str] = []

    async def dial(self, vehicle: DialledVehicle) -> "BreakingVehicle":
        return self

    async def execute(self, execution: Execution) -> None:
        self.asked.append(execution.command.command_id)
        if self.broken.is_set():
            raise NotSent
        execution.begin()
        await self.may_end.wait()

    async def lost(self) -> str:
        await self.broken.wait()
        return "broken"

    async def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
async def connector() -> AsyncIterator[FakeConnector]:
    fake = FakeConnector()
    await fake.start()
    yield fake
    await fake.stop()


def agent_of(vehicle: BreakingVehicle, connector: FakeConnector, journal: Journal) -> Agent:
    executor = LinkExecutor(VIN)
    policy, connections = ReconnectPolicy(first_seconds=0.02), Connections(connector.address)
    session = AgentSession(Identity(VIN, ""), executor, journal, connections, asyncio.Semaphore(1), policy)
    dialled = DialledVehicle(VIN, VIN, "doip", "")
    return Agent(dialled, vehicle, executor, session, redial_max_seconds=60, drain_seconds=0)


def ended(session: FakeSession) -> list[str]:
    return [update.command_id for update in session.updates if update.HasField("finished")]


async def test_what_was_not_sent_is_given_back_as_the_session_ends_and_not_before(
    connector: FakeConnector, tmp_path: Path
) -> None:
    """Given back at once it would come again at once: a reading would use up its attempts, and one change after the
    other would fail, while the vehicle may be back in a moment."""
    vehicle, journal = BreakingVehicle(), Journal(tmp_path, 86_400)
    agent = agent_of(vehicle, connector, journal)
    running = asyncio.create_task(agent.run())
    session = await connector.session()
    session.execute("ClearDTC", timeout_ms=60_000)
    await until(lambda: vehicle.asked == ["c1"])
    vehicle.broken.set()
    session.execute("ReadDTC", command_id="c2", timeout_ms=60_000)
    await until(lambda: vehicle.asked == ["c1", "c2"])
    vehicle.may_end.set()
    await session.finished(2)
    assert ended(session) == ["c1", "c2"]
    await session.until(lambda seen: seen.messages[-1].goodbye)
    agent.stop()
    await running
    journal.close()
