"""The execution ledger: on disk before the effect, and remembered beyond a restart."""

import json
from pathlib import Path

import pytest

from sovd_protos.session.v1.session_pb2 import Cancel, Execute, Finished
from tests.unit.vehicle_simulator.conftest import running_fleet
from tests.unit.vehicle_simulator.fake_connector import FakeConnector
from vehicle_simulator.fleet import Fleet
from vehicle_simulator.ledger import ExecutionLedger, executions, hand_overs, read_ledger

VIN = "WDD1234567890ABCD"
WRITE = '{"ecuAddress":"0x10","dataId":"0xF198","value":"0x41"}'


def _events(file: Path) -> list[tuple[str, str]]:
    return [(entry.command_id, entry.event) for entry in read_ledger(file)]


async def test_it_tells_what_was_handed_over_and_done(
    connector: FakeConnector, fleet: Fleet, ledger_file: Path
) -> None:
    session = await connector.session()
    session.execute("WriteDataByID", WRITE)
    await session.finished()
    received, executed, finished = read_ledger(ledger_file)
    assert (received.vin, received.command_id, received.attempt) == (VIN, "c1", 1)
    assert (received.command_name, received.command_params, received.repeatable) == ("WriteDataByID", WRITE, False)
    assert [entry.event for entry in (received, executed, finished)] == ["received", "executed", "finished"]
    assert finished.outcome == "COMPLETED"
    assert received.at <= executed.at <= finished.at
    assert finished.at - received.at < 10_000_000


async def test_it_is_written_before_the_command_executes(connector: FakeConnector, ledger_file: Path) -> None:
    async with running_fleet(connector, ledger=ledger_file, faults="pending:pending=1,seconds=60") as fleet:
        session = await connector.session()
        session.execute("ClearDTC")
        await session.until(lambda seen: len(seen.updates) == 1)
        assert len(fleet[VIN].model.ecu(0x10).memory) == 2
        assert _events(ledger_file) == [("c1", "received"), ("c1", "executed")]


async def test_a_command_in_flight_that_comes_again_is_not_executed_again(
    connector: FakeConnector, fleet: Fleet, ledger_file: Path
) -> None:
    session = await connector.session()
    session.execute("ClearDTC", credit=1)
    session.execute("ClearDTC", credit=5)
    await session.finished()
    assert [number for number in session.numbers if number == 2] == [2]
    entries = read_ledger(ledger_file)
    assert hand_overs(entries) == {"c1": 2}
    assert executions(entries) == {"c1": 1}


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_restarted_vehicle_refuses_what_it_was_handed_before(
    connector: FakeConnector, ledger_file: Path, attempt: int
) -> None:
    async with running_fleet(connector, ledger=ledger_file):
        session = await connector.session()
        session.execute("ClearDTC")
        await session.finished()
    async with running_fleet(connector, ledger=ledger_file) as fleet:
        session = await connector.session()
        session.execute("ClearDTC", attempt=attempt)
        refused = await session.finished()
        assert (refused.number, refused.attempt) == (1, attempt)
        assert (refused.finished.kind, refused.finished.code) == (Finished.FAILED, "ALREADY_EXECUTED")
        assert len(fleet[VIN].model.ecu(0x10).memory) == 2
    entries = read_ledger(ledger_file)
    assert [entry.event for entry in entries] == ["received", "executed", "finished", "received", "refused_duplicate"]
    assert hand_overs(entries) == {"c1": 2}
    assert executions(entries) == {"c1": 1}


async def test_a_vehicle_that_forgot_refuses_as_well(connector: FakeConnector, ledger_file: Path) -> None:
    async with running_fleet(connector, ledger=ledger_file, faults="forget:after=0,times=1"):
        session = await connector.session()
        session.execute("ClearDTC")
        await session.end()
        again = await connector.session()
        again.execute("ClearDTC")
        assert (await again.finished()).finished.code == "ALREADY_EXECUTED"


async def test_a_repeatable_command_may_come_again(connector: FakeConnector, ledger_file: Path) -> None:
    for _ in range(2):
        async with running_fleet(connector, ledger=ledger_file):
            session = await connector.session()
            session.execute("ReadDTC")
            assert (await session.finished()).finished.kind == Finished.COMPLETED
    assert executions(read_ledger(ledger_file)) == {"c1": 2}


async def test_it_tells_of_a_cancelled_command(connector: FakeConnector, ledger_file: Path) -> None:
    async with running_fleet(connector, ledger=ledger_file, latency_s=60):
        session = await connector.session()
        session.execute("ClearDTC")
        session.send(cancel=[Cancel(command_id="c1", attempt=1)])
        await session.finished()
    assert _events(ledger_file) == [("c1", "received"), ("c1", "executed"), ("c1", "cancelled")]


async def test_one_file_for_the_whole_fleet(ledger_file: Path) -> None:
    first, second = ExecutionLedger(ledger_file), ExecutionLedger(ledger_file, fsync=True)
    first.admit("VIN1", [_execute("a"), _execute("b")])
    second.admit("VIN2", [_execute("c")])
    first.close()
    second.close()
    assert {entry.vin for entry in read_ledger(ledger_file)} == {"VIN1", "VIN2"}
    third = ExecutionLedger(ledger_file)
    assert third.admit("VIN1", [_execute("a"), _execute("b"), _execute("c"), _execute("d")]) == [False] * 3 + [True]
    third.close()


def test_a_line_cut_off_by_a_crash_does_no_harm(ledger_file: Path) -> None:
    ledger = ExecutionLedger(ledger_file)
    ledger.admit(VIN, [_execute("a")])
    ledger.close()
    ledger_file.write_text(ledger_file.read_text() + json.dumps({"at": 1})[:-3])
    ledger = ExecutionLedger(ledger_file)
    assert ledger.admit(VIN, [_execute("a"), _execute("b")]) == [False, True]
    ledger.close()
    assert [entry.command_id for entry in read_ledger(ledger_file)] == ["a", "a", "a", "a", "b", "b"]


def test_without_a_file_it_remembers_while_it_lives() -> None:
    ledger = ExecutionLedger()
    assert ledger.admit(VIN, [_execute("a"), _execute("a")]) == [True, False]
    ledger.close()


def test_a_full_disk_is_an_error(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ExecutionLedger(ledger_file)
    monkeypatch.setattr("os.write", lambda *_: 1)
    with pytest.raises(OSError, match="is the disk full"):
        ledger.admit(VIN, [_execute("a")])
    ledger.close()


def _execute(command_id: str) -> Execute:
    return Execute(command_id=command_id, attempt=1, command_name="ClearDTC", command_params="{}")
