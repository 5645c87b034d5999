"""Scripted faults, each over a real session."""

import asyncio
import json

import pytest

from sovd_protos.session.v1.session_pb2 import Cancel, Finished
from tests.unit.vehicle_simulator.conftest import running_fleet
from tests.unit.vehicle_simulator.fake_connector import FakeConnector
from vehicle_simulator.faults import Fault, FaultKind, FaultScript, parse_fault, parse_faults
from vehicle_simulator.fleet import Fleet, demo_fleet

VIN, OTHER_VIN = (spec.vin for spec in demo_fleet())


async def test_slow_waits_before_and_between_answers(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="slow:seconds=0.1,between=0.05"):
        session = await connector.session()
        clock = asyncio.get_running_loop().time
        begin = clock()
        session.execute("ReadDTC")
        await session.until(lambda seen: len(seen.updates) == 1)
        assert clock() - begin >= 0.1
        await session.finished()
        assert clock() - begin >= 0.25
        assert session.numbers == [1, 2, 3, 4]


async def test_silent_never_answers_not_even_a_cancel(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="silent:command=ClearDTC") as fleet:
        session = await connector.session()
        session.execute("ClearDTC")
        session.send(cancel=[Cancel(command_id="c1", attempt=1)])
        session.execute("ReadDTC", command_id="c2")
        await session.finished()
        assert {update.command_id for update in session.updates} == {"c2"}
        assert ("c1", 1) in fleet[VIN].session.executions.held


async def test_disconnect_in_mid_answer(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="disconnect:after=2,command=ReadDTC,times=1"):
        session = await connector.session()
        connector.resume_from(2)
        session.execute("ReadDTC")
        await session.end()
        assert session.numbers == [1, 2]
        again = await connector.session()
        await again.finished()
        assert again.numbers == [2, 3, 4]
        assert connector.peers[0] != connector.peers[1]
        again.execute("ReadDTC", command_id="c2")
        await again.finished(2)


async def test_disconnect_before_the_first_and_after_the_last_update(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="disconnect:after=0,times=1; disconnect:after=4,times=1") as fleet:
        session = await connector.session()
        session.execute("ReadDTC")
        await session.end()
        assert session.numbers == []
        again = await connector.session()
        await again.finished()
        again.credit(recorded=4)
        again.execute("ReadDTC", command_id="c2")
        await again.end()
        assert again.numbers == [1, 2, 3, 4, 1, 2, 3, 4]
        await connector.session()
        assert fleet[VIN].session.executions.held == [("c2", 1)]


async def test_negative_response_with_pending_first(connector: FakeConnector, fleet: Fleet) -> None:
    fleet.faults.add(parse_fault("negative:nrc=0x22,pending=2"))
    session = await connector.session()
    session.execute("ClearDTC")
    last = (await session.finished()).finished
    assert [update.pending.nrc for update in session.updates[:2]] == [0x78, 0x78]
    assert session.numbers == [1, 2, 3]
    assert (last.kind, last.code, last.nrc) == (Finished.FAILED, "NEGATIVE_RESPONSE", 0x22)
    assert "conditionsNotCorrect" in last.message
    assert len(fleet[VIN].model.ecu(0x10).memory) == 2


async def test_pending_then_the_answer(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="pending:pending=3,seconds=0.01"):
        session = await connector.session()
        session.execute("ReadDTC")
        assert (await session.finished()).number == 7


async def test_duplicate_sends_updates_twice_under_one_number(connector: FakeConnector, fleet: Fleet) -> None:
    fleet.faults.add(Fault(FaultKind.DUPLICATE, times=1))
    session = await connector.session()
    session.execute("ReadDTC")
    await session.until(lambda seen: len(seen.updates) == 8)
    assert session.numbers == [1, 2, 3, 4, 1, 2, 3, 4]
    session.execute("ReadDTC", command_id="c2")
    await session.until(lambda seen: len(seen.updates) == 12)


async def test_forget_restarts_and_holds_nothing(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="forget:after=1,times=1"):
        session = await connector.session()
        session.execute("ReadDTC")
        await session.end()
        assert session.numbers == [1]
        again = await connector.session()
        assert not again.hello.held
        again.execute("ReadDTC")
        await again.finished()


async def test_crash_stays_away_for_a_while(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="crash:after=0,seconds=0.3,times=1"):
        session = await connector.session()
        session.execute("ReadDTC")
        await session.end()
        begin = asyncio.get_running_loop().time()
        again = await connector.session()
        assert asyncio.get_running_loop().time() - begin > 0.2
        assert not again.hello.held


async def test_garbage_is_no_json_object(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="garbage:times=1"):
        session = await connector.session()
        session.execute("ReadDTC")
        await session.finished()
        for response in session.responses:
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(response)


async def test_a_vehicle_can_be_stopped_and_started(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    await fleet.wait_connected()
    await fleet.stop_vehicle(VIN)
    await session.end()
    assert fleet.connected_count == 0
    fleet.start_vehicle(VIN)
    await connector.session()
    await fleet.wait_connected()


def test_faults_befall_only_what_they_name() -> None:
    script = FaultScript(parse_faults(f"slow:vin={VIN},command=ReadDTC; silent:command=ClearDTC,times=2"))
    assert set(script.take(VIN, "ReadDTC")) == {FaultKind.SLOW}
    assert not script.take(OTHER_VIN, "ReadDTC")
    assert set(script.take(OTHER_VIN, "ClearDTC")) == {FaultKind.SILENT}
    assert script.take(VIN, "ClearDTC")
    assert not script.take(VIN, "ClearDTC")
    script.clear()
    assert not script.take(VIN, "ReadDTC")


def test_a_fault_reads_back_from_its_text() -> None:
    fault = Fault(FaultKind.NEGATIVE, vin=VIN, command="ClearDTC", times=2, seconds=0.5, pending=1, nrc=0x31)
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sleepy", "fault 'sleepy' is not known; known are slow"),
        ("slow:second=1", "'second' is not known; known are vin"),
        ("slow:seconds", "not of the form key=value"),
        ("slow:seconds=long", "fault slow:"),
        ("slow:seconds=-1", "cannot be negative"),
    ],
)
def test_a_wrong_fault_says_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_fault(text)
