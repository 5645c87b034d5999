"""A vehicle on DoIP behind an agent: the connector knows no difference to one that dials in by itself."""

import asyncio
import sqlite3

import pytest

from service_kit.lifecycle import PartFailed
from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_agent.conftest import AgentBench, AgentBenches, offline
from vehicle_agent.journal import Journal
from vehicle_simulator.doip.entity import DoipEntity

CLEAR = b"\x14\xff\xff\xff"
WRITE = {"dataId": "0x2001", "value": "0x0320"}


async def asked(bench: AgentBench, request: bytes) -> None:
    """The request is on its way to the vehicle."""
    await until(lambda: any(way == "up" and request in data for way, data in bench.relay.recorded))


async def test_the_catalogue(bench: AgentBench) -> None:
    async with bench.agent():
        *faults, count = await bench.completed("ReadDTC")
        assert [fault["display_code"] for fault in faults] == ["P0420-11", "P0171-00"]
        assert count == {"ecuAddress": "0x10", "count": 2}
        assert await bench.completed("ReadDTCDetails", dtcCode="P0420-11")
        await bench.completed("ClearDTC")
        await bench.completed("WriteDataByID", **WRITE)
        (read,) = await bench.completed("ReadDataByID", dataId="0x2001")
        assert read["raw"] == "0x0320"
        assert await bench.completed("RoutineControl", routineId="0x0203", action="start")
        await bench.completed("ECUReset", resetType="soft")
        streamed = await bench.completed("StreamDataByID", dataIds=["0xF40C"], interval_ms=10, duration_s=1)
        assert len(streamed) >= 20


async def test_a_refusal_and_progress_are_what_the_ecu_said(bench: AgentBench) -> None:
    async with bench.agent():
        bench.script("negative:pending=2,nrc=0x22,times=1")
        command = await bench.dispatch("ReadDTC")
        outcome = await bench.outcome(command)
        assert (outcome.code, outcome.nrc) == ("NEGATIVE_RESPONSE", 0x22)
        assert bench.progress(command) == [0x78, 0x78]


async def test_what_makes_no_sense_fails_and_harms_nothing_else(bench: AgentBench) -> None:
    async with bench.agent():
        _, outcome = await bench.run("ReadDTC", ecuAddress="0x123456")
        assert (outcome.kind, outcome.code) == (Outcome.FAILED, "INVALID_PARAMETERS")
        garbage = b"\x59\x02" + bytes(20_000)
        bench.witness.spoil = lambda answer: garbage
        _, outcome = await bench.run("ReadDTC")
        assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
        assert outcome.unreadable == f"0x{garbage.hex().upper()}"
        bench.witness.spoil = None
        await bench.completed("ReadDTC")


async def test_a_long_stream_waits_for_what_is_recorded(benches: AgentBenches) -> None:
    async with benches(result_window=4) as bench, bench.agent():
        streamed = await bench.completed(
            "StreamDataByID", dataIds=["0xF40C", "0xF405", "0xF40D"], interval_ms=10, duration_s=1
        )
        assert len(streamed) >= 40


async def test_a_stream_is_stopped_as_asked_and_a_change_that_is_on_its_way_is_not(bench: AgentBench) -> None:
    async with bench.agent():
        stream = await bench.dispatch("StreamDataByID", dataIds=["0xF40C"], interval_ms=10, duration_s=60)
        await until(lambda: len(bench.responses(stream)) > 3)
        await bench.world.dispatch.cancel(stream)
        assert (await bench.outcome(stream)).kind == Outcome.CANCELLED
        bench.script("slow:seconds=0.4,times=1,command=ClearDTC")
        clear = await bench.dispatch("ClearDTC")
        await asked(bench, CLEAR)
        await bench.world.dispatch.cancel(clear)
        assert (await bench.outcome(clear)).kind == Outcome.COMPLETED
        assert bench.witness.executed("ClearDTC") == 1


async def test_a_silent_ecu_times_out(bench: AgentBench) -> None:
    async with bench.agent():
        bench.script("silent:times=1")
        outcome = await bench.outcome(await bench.dispatch("ReadDTC", timeout_ms=300))
        assert outcome.kind == Outcome.TIMED_OUT
        await bench.completed("ReadDTC")


async def test_it_is_online_only_while_its_vehicle_answers(bench: AgentBench) -> None:
    async with bench.agent():
        await bench.entity.stop()
        await offline(bench, 1)
        await asyncio.sleep(0.3)
        assert bench.sessions == 1
        await bench.entity.start(bench.entity.host, bench.entity.port)
        await bench.redialled(1)
        await bench.completed("ReadDTC")


async def test_a_change_whose_vehicle_breaks_off_is_lost_and_the_connector_hears_so(bench: AgentBench) -> None:
    async with bench.agent():
        bench.script("disconnect:after=0,times=1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        assert (await bench.outcome(command)).kind == Outcome.LOST
        await bench.redialled(1)
        await bench.completed("ReadDTC")
        assert bench.witness.executed("ClearDTC") == 1


async def test_another_vehicle_at_the_address_is_not_brought_online(
    bench: AgentBench, capsys: pytest.CaptureFixture[str]
) -> None:
    other = DoipEntity("WDD0987654321ZYXW", bench.witness, bench.faults)
    # Straight to the vehicle: who it is it says by UDP, on the same port.
    async with bench.agent(doip_address=f"127.0.0.1:{bench.entity.port}"):
        await bench.entity.stop()
        await offline(bench, 1)
        await other.start(bench.entity.host, bench.entity.port)
        try:
            said = ""
            while "another vehicle answers at" not in said:
                await asyncio.sleep(0.02)
                said += capsys.readouterr().out
            assert bench.sessions == 1
        finally:
            await other.stop()


async def test_goodbye_when_it_stops(bench: AgentBench) -> None:
    async with bench.agent():
        pass
    await offline(bench, 1)
    assert [closed.reason for closed in bench.world.service.closed] == ["closed"]
    assert bench.entity.connections == 0


async def test_what_runs_as_it_stops_may_end(bench: AgentBench) -> None:
    async with bench.agent(drain_seconds=5):
        bench.script("slow:seconds=0.3,times=1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        await asked(bench, CLEAR)
    assert (await bench.outcome(command)).kind == Outcome.COMPLETED


async def test_a_journal_that_cannot_be_written_ends_it_before_the_vehicle_sees_anything(
    bench: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with bench.agent() as running:
        monkeypatch.setattr(Journal, "admit", full)
        await bench.dispatch("ClearDTC")
        with pytest.raises(PartFailed) as failed:
            await running.run_until_stopped()
    assert "full" in str(failed.value.__cause__)
    assert bench.witness.executed("ClearDTC") == 0
