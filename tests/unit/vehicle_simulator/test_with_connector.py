"""Simulated vehicles on the real connector: both sides of the session protocol mean the same, whatever goes wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome, Result
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds, worlds
from tests.unit.vehicle_connector.scripted_vehicle import CREDENTIAL_SECRET
from tests.unit.vehicle_simulator.conftest import QUICK
from vehicle_session.connections import Connections
from vehicle_simulator.faults import FaultScript, parse_fault
from vehicle_simulator.fleet import Fleet, demo_fleet
from vehicle_simulator.ledger import ExecutionLedger, executions, read_ledger

__all__ = ["worlds"]

VIN = demo_fleet()[0].vin
FIRST, SECOND = (f"01890000-0000-7000-8000-00000000000{number}" for number in (1, 2))


@pytest.fixture
async def world(worlds: Worlds) -> AsyncIterator[World]:
    async with worlds() as made:
        yield made


@pytest.fixture
async def fleet(world: World, tmp_path: Path) -> AsyncIterator[Fleet]:
    vehicles = Fleet(
        demo_fleet()[:1],
        Connections(f"127.0.0.1:{world.connector.session_port}"),
        ExecutionLedger(tmp_path / "ledger"),
        credential_secret=CREDENTIAL_SECRET,
        faults=FaultScript(),
        policy=QUICK,
    )
    vehicles.start_vehicle(VIN)
    await vehicles.wait_connected()
    yield vehicles
    await vehicles.close()


async def _results(world: World, command_id: str = FIRST) -> list[Result]:
    await until(lambda: world.service.outcome(command_id))
    return world.service.results(command_id)


def _responses(results: list[Result]) -> int:
    assert [result.number for result in results] == list(range(1, len(results) + 1))
    return sum(result.HasField("response") for result in results)


async def test_the_main_job(world: World, fleet: Fleet) -> None:
    await world.dispatch.command(FIRST, VIN)
    results = await _results(world)
    assert _responses(results) == 3
    assert results[-1].outcome.kind == Outcome.COMPLETED
    await until(lambda: not fleet[VIN].session.executions.held)


@pytest.mark.parametrize(
    "fault",
    [
        "slow:seconds=0.05,between=0.02",
        "duplicate",
        "pending:pending=2",
        "disconnect:after=0,times=1",
        "disconnect:after=1,times=1",
        "disconnect:after=3,times=1",
    ],
)
async def test_faults_that_lose_and_repeat_nothing(world: World, fleet: Fleet, fault: str) -> None:
    fleet.faults.add(parse_fault(fault))
    await world.dispatch.command(FIRST, VIN)
    results = await _results(world)
    assert _responses(results) == 3
    assert results[-1].outcome.kind == Outcome.COMPLETED


async def test_a_negative_response_comes_with_its_code(world: World, fleet: Fleet) -> None:
    fleet.faults.add(parse_fault("negative:pending=1,nrc=0x22"))
    await world.dispatch.command(FIRST, VIN)
    progress, last = await _results(world)
    assert progress.progress.nrc == 0x78
    assert (last.outcome.kind, last.outcome.code, last.outcome.nrc) == (Outcome.FAILED, "NEGATIVE_RESPONSE", 0x22)


async def test_garbage_is_a_bad_vehicle_response(world: World, fleet: Fleet) -> None:
    fleet.faults.add(parse_fault("garbage:times=1"))
    await world.dispatch.command(FIRST, VIN)
    (last,) = await _results(world)
    assert last.outcome.code == "BAD_VEHICLE_RESPONSE"
    await world.dispatch.command(SECOND, VIN)
    assert _responses(await _results(world, SECOND)) == 3


async def test_a_silent_vehicle_times_out(world: World, fleet: Fleet) -> None:
    fleet.faults.add(parse_fault("silent"))
    await world.dispatch.command(FIRST, VIN, timeout_ms=100)
    (last,) = await _results(world)
    assert last.outcome.kind == Outcome.TIMED_OUT


async def test_a_long_stream_passes_a_small_window_in_order(world: World, fleet: Fleet) -> None:
    params = '{"ecuAddress":"0x10","dataIds":["0xF40C","0xF405","0xF40D"],"interval_ms":10,"duration_s":1}'
    await world.dispatch.command(
        FIRST, VIN, command_name="StreamDataByID", command_params=params, stream_duration_ms=1000
    )
    results = await _results(world)
    assert _responses(results) == 300
    assert results[-1].outcome.kind == Outcome.COMPLETED


async def test_a_cancelled_stream_ends_cancelled(world: World, fleet: Fleet) -> None:
    params = '{"ecuAddress":"0x10","dataIds":["0xF40C"],"interval_ms":10,"duration_s":60}'
    await world.dispatch.command(
        FIRST, VIN, command_name="StreamDataByID", command_params=params, stream_duration_ms=60_000
    )
    await until(lambda: len(world.service.results(FIRST)) > 3)
    await world.dispatch.cancel(FIRST)
    assert (await _results(world))[-1].outcome.kind == Outcome.CANCELLED


async def test_a_vehicle_that_forgot_never_executes_twice(world: World, fleet: Fleet, tmp_path: Path) -> None:
    fleet.faults.add(parse_fault("forget:after=0,times=1"))
    await world.dispatch.command(FIRST, VIN, command_name="ClearDTC", repeatable=False)
    await until(lambda: len(world.service.opened) == 2)
    await world.dispatch.command(FIRST, VIN, command_name="ClearDTC", repeatable=False, session_epoch=2)
    await world.dispatch.command(SECOND, VIN, session_epoch=2)
    await _results(world, SECOND)
    assert executions(read_ledger(tmp_path / "ledger"))[FIRST] == 1
