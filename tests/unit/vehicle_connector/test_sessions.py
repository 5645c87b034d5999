"""Sessions: who is let in, who is the newest, who is silent, and what a vehicle that comes back goes on with."""

import asyncio
from uuid import uuid4

import grpc
import pytest

from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from sovd_protos.session.v1 import session_pb2
from sovd_protos.session.v1.session_pb2_grpc import VehicleSessionServiceStub
from sovd_protos.vehicle.v1.vehicle_pb2 import Ecu
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import vehicle_id_of
from tests.unit.vehicle_connector.ids import C1
from tests.unit.vehicle_connector.scripted_vehicle import VIN, ScriptedVehicle, finished, hello, response
from vehicle_connector import command_service_stream, sessions
from vehicle_connector.session_link import server as session_server

HELD = session_pb2.HeldCommand(command_id=C1, attempt=1)


async def _reasons(world: World, count: int = 1) -> list[str]:
    await until(lambda: len(world.service.closed) >= count)
    return [end.reason for end in world.service.closed]


# --- hello


async def test_a_vehicle_is_welcomed_and_announced(world: World) -> None:
    vehicle = await world.vehicle(hello(ecus=[Ecu(address=0x10, name="Engine")]))
    assert vehicle.welcome.session_epoch == 1
    assert vehicle.welcome.connector_id == world.connector.connector_id
    assert vehicle.welcome.heartbeat_interval_ms == 10_000
    opened = world.service.opened[0]
    assert (opened.vin, opened.ecus[0].address, opened.ecus[0].name) == (VIN, 0x10, "Engine")


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (hello(protocol_version=2), "UNSUPPORTED_PROTOCOL"),
        (session_pb2.Hello(), "UNSUPPORTED_PROTOCOL"),
        (hello(credential="wrong"), "BAD_CREDENTIAL"),
        (hello(credential="fälschlich"), "BAD_CREDENTIAL"),
        (hello("not a VIN"), "UNKNOWN_VEHICLE"),
        (hello("WDD0000000000NONE"), "UNKNOWN_VEHICLE"),
    ],
)
async def test_a_vehicle_that_does_not_belong_here_is_sent_away(
    world: World, first: session_pb2.Hello, code: str
) -> None:
    world.service.unknown_vins = {"WDD0000000000NONE"}
    vehicle = await world.vehicle(first)
    assert vehicle.refusal.code == code
    assert vehicle.refusal.retry_after_ms == 0
    await until(lambda: vehicle.ended)


async def test_a_stream_that_does_not_begin_with_a_hello_is_sent_away(world: World) -> None:
    vehicle = await world.vehicle(raw=session_pb2.FromVehicle(goodbye=True).SerializeToString())
    assert vehicle.refusal.code == "UNSUPPORTED_PROTOCOL"
    vehicle = await world.vehicle(raw=b"\xff\xff\xff")
    assert vehicle.refusal.code == "UNSUPPORTED_PROTOCOL"


async def test_a_session_that_is_granted_too_late_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_service_stream, "_ANSWER_SECONDS", 0.05)
    world.service.answer_session = False
    vehicle = await world.vehicle()
    assert vehicle.refusal.code == "NOT_READY"
    answer = world.service.session_answer(world.service.opened[0])
    world.service.send(wire.ToConnector(session_answers=[answer]))
    assert await _reasons(world) == ["closed"]


async def test_a_vehicle_that_left_before_its_welcome_has_no_session(world: World) -> None:
    world.service.answer_session = False
    connecting = world.vehicle_soon()
    await until(lambda: world.service.opened)
    connecting.cancel()
    await asyncio.wait([connecting])
    answer = world.service.session_answer(world.service.opened[0])
    world.service.send(wire.ToConnector(session_answers=[answer]))
    assert await _reasons(world) == ["closed"]


async def test_a_vehicle_that_never_says_hello_is_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_server, "_HELLO_SECONDS", 0.05)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.connector.session_port}") as channel:
        call = VehicleSessionServiceStub(channel).OpenSession(None)
        answer = await call.read()
    assert isinstance(answer, session_pb2.ToVehicle)
    assert answer.refusal.code == "UNSUPPORTED_PROTOCOL"


# --- ends


async def test_the_newest_session_of_a_vehicle_wins(world: World) -> None:
    older = await world.vehicle()
    newer = await world.vehicle()
    assert (older.welcome.session_epoch, newer.welcome.session_epoch) == (1, 2)
    await until(lambda: older.ended and world.service.closed)
    assert [(end.session_epoch, end.reason) for end in world.service.closed] == [(1, "superseded")]
    await world.dispatch.command(C1, VIN, session_epoch=2)
    await until(lambda: newer.handed == [C1])


async def test_an_older_session_that_is_granted_after_a_newer_one_is_no_use(world: World) -> None:
    world.service.answer_session = False
    first, second = world.vehicle_soon(), world.vehicle_soon()
    await until(lambda: len(world.service.opened) == 2)
    older, newer = [world.service.session_answer(opened) for opened in world.service.opened]
    world.service.send(wire.ToConnector(session_answers=[newer, older]))
    vehicles = [await first, await second]
    epochs = [vehicle.welcome.session_epoch for vehicle in vehicles]
    assert sorted(epochs) == [0, 2]
    await until(lambda: vehicles[epochs.index(0)].ended)
    assert await _reasons(world) == ["superseded"]
    await world.dispatch.command(C1, VIN, session_epoch=2)
    await until(lambda: vehicles[epochs.index(2)].handed == [C1])


async def test_a_session_that_was_superseded_elsewhere_is_closed(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.supersede(VIN, 1)
    await until(lambda: vehicle.ended)
    assert await _reasons(world) == ["superseded"]


async def test_a_newer_session_than_the_superseded_one_stays(world: World) -> None:
    await world.vehicle()
    newer = await world.vehicle()
    await world.dispatch.supersede(VIN, 1)
    await world.dispatch.command(C1, VIN, session_epoch=2)
    await until(lambda: newer.handed == [C1])
    assert not newer.ended


async def test_a_goodbye_ends_the_session(world: World) -> None:
    vehicle = await world.vehicle()
    await vehicle.goodbye()
    await until(lambda: vehicle.ended)
    assert await _reasons(world) == ["closed"]


async def test_a_vehicle_without_heartbeats_is_offline(worlds: Worlds) -> None:
    async with worlds(heartbeat_timeout_seconds=0.2) as world:
        silent = await world.vehicle()
        beating = await world.vehicle(hello("WDD0987654321ZYXW"))

        async def beats() -> None:
            await beating.send(session_pb2.FromVehicle(heartbeat=session_pb2.Heartbeat(number=1)))

        while not (silent.ended and world.service.closed):
            await beats()
        assert not beating.ended
        assert [(end.vehicle_id, end.reason) for end in world.service.closed] == [
            (vehicle_id_of(VIN), "heartbeat_lost")
        ]


async def test_heartbeats_are_collected_for_the_command_service(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_SEEN_SECONDS", 0)
    vehicle = await world.vehicle()
    await vehicle.send(session_pb2.FromVehicle(heartbeat=session_pb2.Heartbeat(number=1)))
    await until(lambda: world.service.seen)
    assert (world.service.seen[0].vehicle_id, world.service.seen[0].session_epoch) == (vehicle_id_of(VIN), 1)
    before = len(world.service.renewals)
    await until(lambda: len(world.service.renewals) > before + 1)
    assert len(world.service.seen) == 1  # silent since then


# --- coming back


async def _lost(world: World, *updates: session_pb2.CommandUpdate, **fields: object) -> ScriptedVehicle:
    """A vehicle was handed a command, sent some updates and is gone."""
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN, **fields)
    await until(lambda: vehicle.handed == [C1])
    await vehicle.update(*updates)
    await until(lambda: len(world.service.arrived) == len(updates))
    vehicle.break_off()
    await until(lambda: world.service.closed)
    return vehicle


async def test_a_vehicle_that_comes_back_goes_on_where_it_was(world: World) -> None:
    await _lost(world, response(C1, 1, '{"n":1}'))
    vehicle = await world.vehicle(hello(held=[HELD]))
    assert [(held.command_id, held.attempt) for held in world.service.opened[-1].held] == [(C1, 1)]
    resume = vehicle.welcome.resume[0]
    assert (resume.command_id, resume.wanted, resume.next_number, resume.initial_credit) == (C1, True, 2, 64)
    await until(lambda: vehicle.credits)
    assert (vehicle.credits[0].recorded, vehicle.credits[0].allowed) == (1, 65)
    await vehicle.update(response(C1, 2, '{"n":2}'), finished(C1, 3))
    await until(lambda: C1 in vehicle.closed)
    assert [result.response for result in world.service.results(C1)] == ['{"n":1}', '{"n":2}', ""]
    assert vehicle.handed == []


async def test_what_the_vehicle_sends_again_is_recorded_once(world: World) -> None:
    world.service.recording = False
    await _lost(world, response(C1, 1), response(C1, 2))
    vehicle = await world.vehicle(hello(held=[HELD]))
    assert vehicle.welcome.resume[0].next_number == 1  # nothing is recorded: the vehicle must keep it
    await vehicle.update(response(C1, 1), response(C1, 2), finished(C1, 3))
    await until(lambda: len(world.service.arrived) == 3)
    assert [result.number for result in world.service.arrived] == [1, 2, 3]


async def test_a_command_of_another_connector_is_adopted(world: World) -> None:
    world.service.take_ups[C1, 1] = wire.TakeUp(
        command_id=C1, attempt=1, wanted=True, next_number=4, timeout_ms=60_000, command_name="ReadDTC"
    )
    vehicle = await world.vehicle(hello(held=[HELD]))
    assert vehicle.welcome.resume[0].next_number == 4
    await vehicle.update(response(C1, 4), finished(C1, 5))
    await until(lambda: len(world.service.arrived) == 2)
    assert [result.number for result in world.service.arrived] == [4, 5]


async def test_a_resumed_command_times_out_by_what_is_left(world: World) -> None:
    world.service.take_ups[C1, 1] = wire.TakeUp(command_id=C1, attempt=1, wanted=True, next_number=1, timeout_ms=30)
    vehicle = await world.vehicle(hello(held=[HELD]))
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert outcome.kind == Outcome.TIMED_OUT
    await until(lambda: vehicle.cancels)


async def test_the_timeout_does_not_run_while_the_vehicle_is_away(world: World) -> None:
    """What becomes of it is decided by the command service."""
    await _lost(world, timeout_ms=50)
    before = world.service.clock()
    await until(lambda: world.service.clock() > before + 0.15)
    assert world.service.results(C1) == []


async def test_a_held_command_that_nobody_wants_is_dropped(world: World) -> None:
    world.service.take_ups[C1, 1] = wire.TakeUp(command_id=C1, attempt=1)
    vehicle = await world.vehicle(hello(held=[HELD]))
    assert [(resume.command_id, resume.wanted) for resume in vehicle.welcome.resume] == [(C1, False)]


async def test_what_a_vehicle_claims_to_hold_has_an_end(world: World) -> None:
    """It goes with what all other vehicles say, over the one stream that takes no message of any size."""
    held = [session_pb2.HeldCommand(command_id=str(uuid4()), attempt=1) for _ in range(1500)]
    vehicle = await world.vehicle(hello(held=held))
    assert len(world.service.opened[0].held) == len(vehicle.welcome.resume) == 1000


async def test_a_vehicle_that_forgot_its_command_has_that_forgotten_here_too(world: World) -> None:
    await _lost(world)
    await world.vehicle()
    world.service.end_stream()
    await until(lambda: len(world.service.registrations) == 2)
    assert list(world.service.registrations[-1].commands) == []
    assert world.service.results(C1) == []  # its fate is decided elsewhere


async def test_results_of_a_vehicle_that_forgot_them_are_kept_until_they_are_recorded(world: World) -> None:
    world.service.recording = False
    await _lost(world, response(C1, 1), finished(C1, 2))
    await world.vehicle()
    world.service.recording = True
    world.service.end_stream()
    await until(lambda: world.service.outcome(C1))
    assert len(world.service.results(C1)) == 2


async def test_a_command_of_a_vehicle_that_stays_away_is_forgotten_after_a_while(worlds: Worlds) -> None:
    async with worlds(suspended_seconds=0.05) as world:
        await _lost(world)
        registrations = len(world.service.registrations)

        async def presented() -> bool:
            world.service.end_stream()
            nonlocal registrations
            registrations += 1
            await until(lambda: len(world.service.registrations) >= registrations)
            return bool(world.service.registrations[-1].commands)

        while await presented():
            pass
