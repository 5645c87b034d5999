"""Results: validated once, in order, never more on the way than the window, and kept until acknowledged."""

import pytest

from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService
from tests.unit.vehicle_connector.ids import C1, C2
from tests.unit.vehicle_connector.scripted_vehicle import VIN, ScriptedVehicle, finished, hello, response
from vehicle_connector import command_service_stream

OTHER_VIN = "WDD0987654321ZYXW"


async def _running(world: World, *command_ids: str) -> ScriptedVehicle:
    vehicle = await world.vehicle()
    for command_id in command_ids:
        await world.dispatch.command(command_id, VIN)
    await until(lambda: len(vehicle.handed) == len(command_ids))
    return vehicle


async def _failed_with(world: World, command_id: str) -> Outcome:
    await until(lambda: world.service.outcome(command_id))
    outcome = world.service.outcome(command_id)
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
    return outcome


@pytest.mark.parametrize(
    "text", ["", "no json", "[1]", '"text"', '{"a":NaN}', '{"a":1} {"b":2}', '{"a":"%s"}' % ("x" * 256 * 1024)]
)
async def test_a_bad_response_ends_its_command_and_harms_nothing_else(world: World, text: str) -> None:
    vehicle = await _running(world, C1, C2)
    await vehicle.update(response(C1, 1), response(C1, 2, text), response(C2, 1), response(C1, 3))
    outcome = await _failed_with(world, C1)
    assert "response 2" in outcome.message
    assert len(outcome.message) < 1000
    assert outcome.unreadable[: 128 * 1024] == text[: 128 * 1024]
    assert len(outcome.unreadable) < 128 * 1024 + 100
    await until(lambda: [cancel.command_id for cancel in vehicle.cancels] == [C1])
    await until(lambda: C1 in vehicle.closed)
    assert [result.number for result in world.service.results(C1)] == [1, 2]
    await vehicle.finish(C2, 2)
    await until(lambda: C2 in vehicle.closed)
    assert not vehicle.ended


async def test_a_response_that_is_not_utf_8_ends_its_command_only(world: World) -> None:
    vehicle = await _running(world, C1, C2)
    message = session_pb2.FromVehicle(updates=[response(C1, 1, '{"a":"??"}'), response(C2, 1)])
    await vehicle.send(message.SerializeToString().replace(b"??", b"\xff\xfe"))
    outcome = await _failed_with(world, C1)
    assert outcome.unreadable == 'not UTF-8: {"a":"\\xff\\xfe"}'
    await vehicle.finish(C2, 2)
    await until(lambda: C2 in vehicle.closed)


async def test_an_update_of_an_unknown_kind_ends_its_command(world: World) -> None:
    vehicle = await _running(world, C1)
    await vehicle.update(session_pb2.CommandUpdate(command_id=C1, attempt=1, number=1))
    await _failed_with(world, C1)


async def test_what_is_no_message_at_all_ends_the_session(world: World) -> None:
    vehicle = await world.vehicle()
    await vehicle.send(b"\xff\xff\xff\xff")
    await until(lambda: vehicle.ended and world.service.closed)


async def test_duplicate_updates_are_dropped(world: World) -> None:
    vehicle = await _running(world, C1)
    await vehicle.update(response(C1, 1, '{"a":1}'), response(C1, 1, '{"a":1}'), response(C1, 2, '{"a":2}'))
    await vehicle.update(response(C1, 2, '{"a":2}'), finished(C1, 3), finished(C1, 3))
    await until(lambda: C1 in vehicle.closed)
    assert [result.response for result in world.service.results(C1)] == ['{"a":1}', '{"a":2}', ""]
    assert len(world.service.arrived) == 3


async def test_a_gap_in_the_numbers_ends_the_command(world: World) -> None:
    vehicle = await _running(world, C1)
    await vehicle.update(response(C1, 1), response(C1, 3))
    outcome = await _failed_with(world, C1)
    assert "update 3 came when 2 was due" in outcome.message


async def test_a_vehicle_speaks_only_for_its_own_commands(world: World) -> None:
    vehicle = await _running(world, C1)
    other = await world.vehicle(hello(OTHER_VIN))
    await other.update(response(C1, 1, '{"from":"other"}'), finished(C1, 2))
    await until(lambda: C1 in other.closed)
    await vehicle.update(response(C1, 1, '{"from":"own"}'), finished(C1, 2))
    await until(lambda: C1 in vehicle.closed)
    assert world.service.results(C1)[0].response == '{"from":"own"}'


async def test_a_negative_response_fails_the_command_with_its_nrc(world: World) -> None:
    vehicle = await _running(world, C1)
    await vehicle.finish(C1, 1, session_pb2.Finished.FAILED, code="NEGATIVE_RESPONSE", message="no\0", nrc=0x22)
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert (outcome.kind, outcome.code, outcome.nrc) == (Outcome.FAILED, "NEGATIVE_RESPONSE", 0x22)
    assert outcome.message == "no�"


async def test_a_code_that_is_none_is_replaced(world: World) -> None:
    vehicle = await _running(world, C1)
    await vehicle.finish(C1, 1, session_pb2.Finished.FAILED, code="<script>")
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert outcome.code == "VEHICLE_ERROR"


async def test_credit_follows_what_is_recorded(worlds: Worlds) -> None:
    service = FakeCommandService(recording=False)
    async with worlds(service, result_window=4) as world:
        vehicle = await _running(world, C1)
        assert vehicle.executes[0].initial_credit == 4
        await vehicle.update(*[response(C1, number) for number in range(1, 5)])
        await until(lambda: len(service.arrived) == 4)
        assert vehicle.credits == []
        service.acknowledge(C1, 1)  # not worth a message yet
        service.acknowledge(C1, 3)
        await until(lambda: vehicle.credits)
        assert (vehicle.credits[0].recorded, vehicle.credits[0].allowed) == (3, 7)
        await vehicle.update(*[response(C1, number) for number in range(5, 8)])
        await until(lambda: len(service.arrived) == 7)
        assert vehicle.cancels == []


async def test_a_vehicle_that_sends_without_credit_is_stopped(worlds: Worlds) -> None:
    """The buffer of a command is bounded whatever its vehicle does."""
    service = FakeCommandService(recording=False)
    async with worlds(service, result_window=4) as world:
        vehicle = await _running(world, C1)
        await vehicle.update(*[response(C1, number) for number in range(1, 100)])
        await until(lambda: len(service.arrived) == 5)
        assert service.arrived[4].outcome.code == "BAD_VEHICLE_RESPONSE"
        assert [cancel.command_id for cancel in vehicle.cancels] == [C1]


async def test_many_large_results_go_in_several_messages(world: World) -> None:
    """gRPC takes messages of a limited size only."""
    vehicle = await _running(world, C1)
    text = '{"a":"%s"}' % ("x" * 200_000)
    await vehicle.update(*[response(C1, number, text) for number in range(1, 33)])
    await vehicle.finish(C1, 33)
    await until(lambda: C1 in vehicle.closed)
    assert [result.number for result in world.service.results(C1)] == list(range(1, 34))
    assert max(message.ByteSize() for message in world.service.messages) < 2 * 1024 * 1024


def test_what_nobody_could_read_counts_against_the_size_of_a_message() -> None:
    waiting = [wire.Result(number=n, outcome=wire.Outcome(unreadable="\N{EURO SIGN}" * 65_536)) for n in range(1, 60)]
    sent = []
    while waiting:
        now, waiting = command_service_stream._split(waiting)
        assert wire.FromConnector(results=now).ByteSize() < 2 * 1024 * 1024
        sent += [result.number for result in now]
    assert sent == list(range(1, 60))


async def test_updates_of_a_command_nobody_waits_for_are_answered_with_closed(world: World) -> None:
    vehicle = await world.vehicle()
    await vehicle.respond(C1, 1)
    await until(lambda: vehicle.closed == {C1})
    assert world.service.arrived == []


async def test_an_attempt_that_the_service_closes_is_let_go_of(world: World) -> None:
    vehicle = await _running(world, C1)
    world.service.acknowledge(C1, 0, closed=True)
    await until(lambda: C1 in vehicle.closed)
