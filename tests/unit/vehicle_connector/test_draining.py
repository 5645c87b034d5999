"""A connector that is told to stop: no new work, vehicles elsewhere, results delivered."""

import asyncio

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService
from tests.unit.vehicle_connector.ids import C1, C2, C3
from tests.unit.vehicle_connector.scripted_vehicle import VIN, finished, hello, response

OTHER_VIN = "WDD0987654321ZYXW"


def _stop(world: World) -> "asyncio.Task[None]":
    return asyncio.create_task(world.connector.stop())


async def test_vehicles_are_told_to_move_and_their_results_are_delivered(worlds: Worlds) -> None:
    service = FakeCommandService(recording=False)
    async with worlds(service, drain_seconds=10) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: vehicle.handed)
        await vehicle.update(response(C1, 1), finished(C1, 2))
        await until(lambda: len(service.arrived) == 2)
        stopping = _stop(world)
        await until(lambda: vehicle.moves)
        assert vehicle.moves[0].reason == "draining"
        assert vehicle.moves[0].reconnect_after_ms <= 100
        assert not world.connector.ready
        vehicle.break_off()
        await until(lambda: service.closed)
        assert not stopping.done()  # the results are not recorded yet
        service.acknowledge(C1, 2, closed=True)
        await stopping
        assert any(renewal.draining for renewal in service.renewals)


async def test_a_vehicle_that_does_not_move_is_disconnected(world: World) -> None:
    vehicle = await world.vehicle()
    await _stop(world)
    await until(lambda: vehicle.ended)
    assert [end.reason for end in world.service.closed] == ["draining"]


async def test_what_a_vehicle_holds_while_it_is_moved_stays_undecided(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed)
    await _stop(world)
    assert world.service.arrived == []


async def test_what_was_claimed_and_not_handed_over_goes_back(worlds: Worlds) -> None:
    service = FakeCommandService(granting=False)
    async with worlds(service, drain_seconds=10) as world:
        vehicle = await world.vehicle(hello(max_commands=1))
        await world.dispatch.command(C1, VIN)
        await until(lambda: service.claims)
        service.grant(service.claims[0])
        await until(lambda: vehicle.handed == [C1])
        await world.dispatch.command(C2, VIN)  # granted, and waits for room at the vehicle
        await until(lambda: len(service.claims) == 2)
        service.grant(service.claims[1])
        await world.dispatch.command(C3, VIN)  # not even granted yet
        await until(lambda: len(service.claims) == 3)
        stopping = _stop(world)
        await until(lambda: service.outcome(C2))
        service.grant(service.claims[2])
        await stopping
        for command_id in (C2, C3):
            outcome = service.outcome(command_id)
            assert outcome is not None
            assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "DRAINING")
        assert vehicle.handed == [C1]


async def test_no_vehicle_is_let_in_any_more(worlds: Worlds) -> None:
    async with worlds(move_spread_seconds=5, drain_seconds=10) as world:
        staying = await world.vehicle()
        stopping = _stop(world)
        await until(lambda: staying.moves)
        late = await world.vehicle(hello(OTHER_VIN))
        assert late.refusal.code == "NOT_READY"
        staying.break_off()
        await stopping


async def test_a_claim_that_nobody_answers_does_not_hold_up_the_stop(worlds: Worlds) -> None:
    service = FakeCommandService(granting=False)
    async with worlds(service, drain_seconds=30) as world:
        await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: service.claims)
        await service.stop()
        await until(lambda: not world.connector.ready)
        async with asyncio.timeout(5):
            await _stop(world)


async def test_results_that_cannot_be_delivered_hold_up_the_stop_until_its_deadline_only(worlds: Worlds) -> None:
    service = FakeCommandService(recording=False)
    async with worlds(service, drain_seconds=0.3) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: vehicle.handed)
        await vehicle.respond(C1, 1)
        await until(lambda: service.arrived)
        async with asyncio.timeout(5):
            await _stop(world)
