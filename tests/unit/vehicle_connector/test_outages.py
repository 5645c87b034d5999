"""The command service goes away and comes back: nothing is lost, nothing is sent twice that was recorded."""

from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService, vehicle_id_of
from tests.unit.vehicle_connector.ids import C1, C2
from tests.unit.vehicle_connector.scripted_vehicle import VIN, ScriptedVehicle, finished, response


async def _handed_over(world: World, *command_ids: str) -> ScriptedVehicle:
    vehicle = await world.vehicle()
    for command_id in command_ids:
        await world.dispatch.command(command_id, VIN)
    await until(lambda: len(vehicle.handed) == len(command_ids))
    return vehicle


async def _away(world: World) -> None:
    await world.service.stop()
    await until(lambda: not world.connector.ready)


async def _back(world: World) -> None:
    await world.service.start()
    await until(lambda: world.connector.ready)


async def test_results_of_an_outage_are_sent_when_it_is_over(world: World) -> None:
    vehicle = await _handed_over(world, C1, C2)
    await vehicle.update(response(C1, 1, '{"n":1}'), response(C2, 1))
    await until(lambda: world.service.results(C1) and world.service.results(C2))
    await _away(world)
    await vehicle.update(response(C1, 2, '{"n":2}'), response(C1, 3, '{"n":3}'), finished(C1, 4))
    await _back(world)
    registration = world.service.registrations[-1]
    assert {(command.command_id, command.attempt) for command in registration.commands} == {(C1, 1), (C2, 1)}
    assert [(session.vehicle_id, session.session_epoch) for session in registration.sessions] == [
        (vehicle_id_of(VIN), 1)
    ]
    await until(lambda: C1 in vehicle.closed)
    assert [result.response for result in world.service.results(C1)] == ['{"n":1}', '{"n":2}', '{"n":3}', ""]
    await vehicle.finish(C2, 2)
    await until(lambda: C2 in vehicle.closed)
    assert not vehicle.ended


async def test_what_was_recorded_but_not_acknowledged_is_not_sent_again(world: World) -> None:
    vehicle = await _handed_over(world, C1)
    world.service.recording = False
    await vehicle.update(response(C1, 1), response(C1, 2), response(C1, 3))
    await until(lambda: len(world.service.arrived) == 3)
    await _away(world)
    # It had recorded two of them before it went away.
    world.service.recorded[C1, 1] = world.service.arrived[:2]
    world.service.arrived = []
    world.service.recording = True
    await _back(world)
    await vehicle.finish(C1, 4)
    await until(lambda: C1 in vehicle.closed)
    assert [result.number for result in world.service.arrived] == [3, 4]


async def test_during_an_outage_the_vehicle_is_slowed_down_and_nothing_is_dropped(worlds: Worlds) -> None:
    async with worlds(result_window=4) as world:
        vehicle = await _handed_over(world, C1)
        await _away(world)
        await vehicle.update(*[response(C1, number) for number in range(1, 5)])
        await _back(world)
        await until(lambda: vehicle.credits)
        assert vehicle.credits[-1].allowed >= 6
        await vehicle.update(response(C1, 5), finished(C1, 6))
        await until(lambda: C1 in vehicle.closed)
        assert len(world.service.results(C1)) == 6


async def test_a_vehicle_whose_credit_was_used_up_gets_more_where_only_the_acknowledgements_were_lost(
    worlds: Worlds,
) -> None:
    async with worlds(result_window=4) as world:
        vehicle = await _handed_over(world, C1)
        world.service.recording = False
        await vehicle.update(*[response(C1, number) for number in range(1, 5)])
        await until(lambda: len(world.service.arrived) == 4)
        await _away(world)
        world.service.recorded[C1, 1] = world.service.arrived[:]
        world.service.recording = True
        await _back(world)
        await until(lambda: vehicle.credits)
        assert (vehicle.credits[-1].recorded, vehicle.credits[-1].allowed) == (4, 8)
        await vehicle.update(response(C1, 5), finished(C1, 6))
        await until(lambda: C1 in vehicle.closed)
        assert len(world.service.results(C1)) == 6


async def test_a_claim_without_an_answer_is_asked_again_on_the_next_stream(worlds: Worlds) -> None:
    service = FakeCommandService(granting=False)
    async with worlds(service) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: service.claims)
        await _away(world)
        await world.dispatch.command(C2, VIN)  # taken off the queue while nobody can be asked
        service.granting = True
        await _back(world)
        await until(lambda: set(vehicle.handed) == {C1, C2})
        assert [claim.command_id for claim in service.claims].count(C1) == 2
        assert await world.dead_letters() == []


async def test_a_stream_that_the_service_ends_is_opened_again(world: World) -> None:
    vehicle = await _handed_over(world, C1)
    world.service.end_stream()
    await until(lambda: len(world.service.registrations) == 2)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)


async def test_a_service_that_does_not_answer_renewals_is_left_for_another_stream(worlds: Worlds) -> None:
    service = FakeCommandService(renewing=False)
    async with worlds(service, lease_renewal_seconds=0.05):
        await until(lambda: len(service.registrations) > 1)
        assert len(service.renewals) >= 3


async def test_a_command_that_is_not_wanted_any_more_is_dropped(world: World) -> None:
    vehicle = await _handed_over(world, C1)
    await _away(world)
    await vehicle.respond(C1, 1)
    world.service.take_ups[C1, 1] = wire.TakeUp(command_id=C1, attempt=1)
    await _back(world)
    await until(lambda: C1 in vehicle.closed)
    assert world.service.arrived == []


async def test_a_cancel_of_the_outage_comes_with_the_take_up(world: World) -> None:
    vehicle = await _handed_over(world, C1)
    await _away(world)
    world.service.take_ups[C1, 1] = wire.TakeUp(
        command_id=C1, attempt=1, wanted=True, next_number=1, timeout_ms=60_000, cancel_requested=True
    )
    await _back(world)
    await until(lambda: [cancel.command_id for cancel in vehicle.cancels] == [C1])


async def test_a_session_that_was_superseded_during_the_outage_is_closed(world: World) -> None:
    vehicle = await world.vehicle()
    await _away(world)
    world.service.superseded = [wire.OpenSession(vehicle_id=vehicle_id_of(VIN), session_epoch=1)]
    await _back(world)
    await until(lambda: vehicle.ended)


async def test_a_vehicle_that_left_during_the_outage_is_reported_gone(world: World) -> None:
    vehicle = await world.vehicle()
    await _away(world)
    vehicle.break_off()
    await _back(world)
    await until(
        lambda: [(end.vehicle_id, end.reason) for end in world.service.closed] == [(vehicle_id_of(VIN), "closed")]
    )


async def test_vehicles_cannot_come_while_the_service_is_away(world: World) -> None:
    await _away(world)
    vehicle = await world.vehicle()
    assert vehicle.refusal.code == "NOT_READY"
    assert vehicle.refusal.retry_after_ms > 0
    await _back(world)
    assert (await world.vehicle()).welcome.session_epoch == 1


async def test_what_the_vehicle_does_not_know_yet_survives_an_outage_of_both(world: World) -> None:
    """Session and stream are lost; the results that only the connector has are recorded all the same."""
    vehicle = await _handed_over(world, C1)
    await _away(world)
    await vehicle.update(response(C1, 1), finished(C1, 2))
    await vehicle.goodbye()
    await until(lambda: vehicle.ended)
    await _back(world)
    await until(lambda: world.service.outcome(C1))
    assert [result.number for result in world.service.results(C1)] == [1, 2]
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert outcome.kind == Outcome.COMPLETED


async def test_a_hello_that_the_service_never_answered_is_refused(world: World) -> None:
    world.service.answer_session = False
    connecting = world.vehicle_soon()
    await until(lambda: world.service.opened)
    await world.service.stop()
    vehicle = await connecting
    assert vehicle.refusal.code == "NOT_READY"
