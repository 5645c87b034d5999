"""Timeouts that the connector enforces, and cancels in every phase of a command."""

from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService
from tests.unit.vehicle_connector.ids import C1, C2
from tests.unit.vehicle_connector.scripted_vehicle import VIN, ScriptedVehicle, finished, hello, response


async def _handed_over(world: World, command_id: str = C1, **fields: object) -> ScriptedVehicle:
    vehicle = await world.vehicle()
    await world.dispatch.command(command_id, VIN, **fields)
    await until(lambda: vehicle.handed == [command_id])
    return vehicle


def _kind(world: World, command_id: str = C1) -> "Outcome.Kind.ValueType | None":
    outcome = world.service.outcome(command_id)
    return outcome.kind if outcome else None


# --- timeouts


async def test_a_silent_vehicle_times_out_and_is_asked_to_stop(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=50)
    await vehicle.respond(C1, 1)
    await until(lambda: _kind(world) == Outcome.TIMED_OUT)
    assert [result.number for result in world.service.results(C1)] == [1, 2]
    await until(lambda: [cancel.command_id for cancel in vehicle.cancels] == [C1])


async def test_late_answers_are_still_sent_as_evidence(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=50)
    await vehicle.respond(C1, 1)
    await until(lambda: _kind(world) == Outcome.TIMED_OUT)
    await vehicle.update(response(C1, 2, '{"late":true}'), finished(C1, 3))
    await until(lambda: C1 in vehicle.closed)
    numbered = [(result.number, result.WhichOneof("kind")) for result in world.service.results(C1)]
    assert numbered == [(1, "response"), (2, "outcome"), (3, "response"), (4, "outcome")]


async def test_evidence_is_taken_also_when_the_service_has_closed_the_attempt(worlds: Worlds) -> None:
    service = FakeCommandService(recording=False)
    async with worlds(service) as world:
        vehicle = await _handed_over(world, timeout_ms=50)
        await until(lambda: service.arrived)
        service.acknowledge(C1, 1, closed=True)
        await vehicle.update(response(C1, 1), finished(C1, 2))
        await until(lambda: len(service.arrived) == 3)
        service.acknowledge(C1, 3, closed=True)
        await until(lambda: C1 in vehicle.closed)


async def test_a_vehicle_that_leaves_after_its_timeout_is_not_waited_for(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=50)
    await until(lambda: _kind(world) == Outcome.TIMED_OUT)
    vehicle.break_off()
    await until(lambda: world.service.closed)
    world.service.end_stream()
    await until(lambda: len(world.service.registrations) == 2)
    assert list(world.service.registrations[-1].commands) == []


async def test_evidence_is_not_awaited_for_ever(worlds: Worlds) -> None:
    async with worlds(evidence_seconds=0.1) as world:
        vehicle = await _handed_over(world, timeout_ms=50)
        await until(lambda: C1 in vehicle.closed)
        assert _kind(world) == Outcome.TIMED_OUT


async def test_a_bad_late_answer_is_evidence_and_the_last_of_it(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=50)
    await until(lambda: _kind(world) == Outcome.TIMED_OUT)
    await vehicle.respond(C1, 1, "no json")
    await until(lambda: C1 in vehicle.closed)
    late = world.service.results(C1)[1].outcome
    assert (late.kind, late.code, late.unreadable) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE", "no json")
    await vehicle.respond(C1, 2)
    await until(lambda: sum(credit.closed for credit in vehicle.credits) > 1)
    assert len(world.service.results(C1)) == 2


async def test_credit_after_a_timeout_is_in_the_vehicles_numbers(worlds: Worlds) -> None:
    service = FakeCommandService(recording=False)
    async with worlds(service, result_window=2) as world:
        vehicle = await _handed_over(world, timeout_ms=50)
        await until(lambda: service.arrived)
        await vehicle.update(response(C1, 1), response(C1, 2))
        await until(lambda: len(service.arrived) == 3)
        service.acknowledge(C1, 3)
        await until(lambda: vehicle.credits)
        assert (vehicle.credits[0].recorded, vehicle.credits[0].allowed) == (2, 4)


async def test_progress_does_not_extend_the_timeout(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=150)
    number = 0
    while _kind(world) is None:
        number += 1
        pending = session_pb2.Pending(nrc=0x78)
        await vehicle.update(session_pb2.CommandUpdate(command_id=C1, attempt=1, number=number, pending=pending))
        await until(lambda: len(world.service.results(C1)) >= number)  # noqa: B023  awaited at once
    assert _kind(world) == Outcome.TIMED_OUT


async def test_a_stream_times_out_by_the_gap_between_its_answers(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=150, stream_duration_ms=60_000)
    started = world.service.clock()
    number = 0
    while world.service.clock() - started < 0.4:  # far beyond a single gap
        number += 1
        await vehicle.respond(C1, number)
        await until(lambda: len(world.service.results(C1)) >= number)  # noqa: B023  awaited at once
    assert _kind(world) is None
    await until(lambda: _kind(world) == Outcome.TIMED_OUT)


async def test_a_stream_ends_at_its_duration_whatever_comes(world: World) -> None:
    vehicle = await _handed_over(world, timeout_ms=100, stream_duration_ms=100)
    number = 0
    while _kind(world) is None:
        number += 1
        await vehicle.respond(C1, number)
        await until(lambda: len(world.service.results(C1)) >= number)  # noqa: B023  awaited at once
    assert _kind(world) == Outcome.TIMED_OUT


# --- cancels


async def test_a_cancel_reaches_the_vehicle_and_its_confirmation_is_the_outcome(world: World) -> None:
    vehicle = await _handed_over(world)
    await world.dispatch.cancel(C1)
    await until(lambda: vehicle.cancels)
    assert (vehicle.cancels[0].command_id, vehicle.cancels[0].attempt) == (C1, 1)
    await vehicle.finish(C1, 1, session_pb2.Finished.CANCELLED)
    await until(lambda: _kind(world) == Outcome.CANCELLED)


async def test_a_vehicle_that_finished_all_the_same_is_believed(world: World) -> None:
    vehicle = await _handed_over(world)
    await world.dispatch.cancel(C1)
    await until(lambda: vehicle.cancels)
    await vehicle.finish(C1, 1)
    await until(lambda: _kind(world) == Outcome.COMPLETED)


async def test_a_cancel_while_the_claim_is_on_its_way_prevents_the_hand_over(worlds: Worlds) -> None:
    service = FakeCommandService(granting=False)
    async with worlds(service) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: service.claims)
        await world.dispatch.cancel(C1)
        service.grant(service.claims[0])
        await until(lambda: service.outcome(C1))
        outcome = service.outcome(C1)
        assert outcome is not None
        assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "CANCEL_REQUESTED")
        assert vehicle.handed == []


async def test_a_cancel_of_a_command_that_waits_for_the_vehicle_prevents_the_hand_over(world: World) -> None:
    vehicle = await world.vehicle(hello(max_commands=1))
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    await world.dispatch.command(C2, VIN)
    await world.dispatch.cancel(C2)
    await until(lambda: _kind(world, C2) == Outcome.NOT_HANDED_OVER)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)
    assert vehicle.handed == [C1]
    assert vehicle.cancels == []


async def test_a_cancel_of_another_attempt_changes_nothing(world: World) -> None:
    vehicle = await _handed_over(world)
    await world.dispatch.cancel(C1, attempt=2)
    await vehicle.finish(C1, 1)
    await until(lambda: _kind(world) == Outcome.COMPLETED)
    assert vehicle.cancels == []


async def test_a_cancel_after_the_end_changes_nothing(world: World) -> None:
    vehicle = await _handed_over(world)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)
    await world.dispatch.cancel(C1)
    await world.dispatch.command(C2, VIN)
    await until(lambda: C2 in vehicle.handed)
    assert vehicle.cancels == []


async def test_a_cancel_while_the_vehicle_is_away_reaches_it_when_it_is_back(world: World) -> None:
    vehicle = await _handed_over(world, C1)
    vehicle.break_off()
    await until(lambda: world.service.closed)
    await world.dispatch.cancel(C1)
    held = session_pb2.HeldCommand(command_id=C1, attempt=1)
    back = await world.vehicle(hello(held=[held]))
    await until(lambda: [cancel.command_id for cancel in back.cancels] == [C1])


async def test_a_cancel_that_the_service_remembers_comes_with_the_take_up(world: World) -> None:
    take_up = wire.TakeUp(
        command_id=C1, attempt=1, wanted=True, next_number=1, timeout_ms=60_000, cancel_requested=True
    )
    world.service.take_ups[C1, 1] = take_up
    vehicle = await world.vehicle(hello(held=[session_pb2.HeldCommand(command_id=C1, attempt=1)]))
    await until(lambda: [cancel.command_id for cancel in vehicle.cancels] == [C1])
    await vehicle.finish(C1, 1, session_pb2.Finished.CANCELLED)
    await until(lambda: _kind(world, C1) == Outcome.CANCELLED)
