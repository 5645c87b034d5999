"""A vehicle with a SOVD server behind an agent; the server's ledger is the witness of what was done."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.integration.sovd.bench import address_of, executed, served
from tests.support.waiting import until
from tests.unit.vehicle_agent.conftest import AgentBench, offline
from tests.unit.vehicle_links.doip.conftest import Relay
from vehicle_simulator.sovd.server import SovdServer


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
async def server(ledger: Path) -> AsyncIterator[SovdServer]:
    async with served(ledger=ledger) as running:
        yield running


async def test_the_catalogue(bench: AgentBench, server: SovdServer) -> None:
    async with bench.agent(doip_address="", sovd_address=address_of(server)):
        *faults, _ = await bench.completed("ReadDTC")
        assert [fault["display_code"] for fault in faults] == ["P0420-11", "P0171-00"]
        await bench.completed("ClearDTC")
        assert await bench.completed("ReadDTC") == [{"ecuAddress": "0x10", "count": 0}]
        (written,) = await bench.completed("WriteDataByID", dataId="0x2001", value="0x0320")
        assert written["raw"] == "0x0320"
        assert await bench.completed("RoutineControl", routineId="0x0203", action="start")
        streamed = await bench.completed("StreamDataByID", dataIds=["0xF40C"], interval_ms=20, duration_s=0.5)
        assert len(streamed) >= 10


async def test_a_server_that_goes_away_ends_the_session(bench: AgentBench, server: SovdServer) -> None:
    async with bench.agent(doip_address="", sovd_address=address_of(server)):
        port = server.port
        await server.close()
        outcome = await bench.outcome(await bench.dispatch("ReadDTC"))
        assert outcome.kind in (Outcome.LOST, Outcome.NOT_HANDED_OVER)
        await offline(bench, 1)
        async with served(port=port):
            await bench.redialled(1)
            await bench.completed("ReadDTC")


async def test_killed_in_the_middle_of_a_change_it_was_done_once(bench: AgentBench, ledger: Path) -> None:
    async with served(ledger=ledger, faults="slow:seconds=0.3,times=1,command=ClearDTC") as server:
        relay = Relay(server.port)
        await relay.start()
        sovd = {"doip_address": "", "sovd_address": address_of(server, port=relay.port)}
        async with bench.process(**sovd) as agent:
            command = await bench.dispatch("ClearDTC")
            await until(lambda: any(b"DELETE " in data for _, data in relay.recorded))
            await agent.kill()
        await until(lambda: executed(ledger, command))
        async with bench.process(**sovd):
            assert (await bench.outcome(command)).kind == Outcome.LOST
            assert await bench.completed("ReadDTC") == [{"ecuAddress": "0x10", "count": 0}]
        assert len(executed(ledger, command)) == 1
        await relay.stop()
