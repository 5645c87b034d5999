"""Preconditions: read from the vehicle after the claim; the command leaves only when all of them hold."""

import json
from typing import Any

import pytest

from command_service.use_cases.limits import Limits
from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World
from tests.unit.vehicle_connector.ids import C1, C2
from tests.unit.vehicle_connector.scripted_vehicle import VIN, ScriptedVehicle, hello
from vehicle_connector import attempt, preconditions
from vehicle_connector.lease import Lease

SPEED = wire.Reading(ecu_address=0x10, data_id=0xF40D, scale=1)
STATIONARY = wire.Precondition(name="vehicle speed", comparison="=", value=0, unit="km/h", reading=SPEED)
VOLTAGE = wire.Precondition(
    name="supply voltage",
    comparison=">=",
    value=11.5,
    unit="V",
    reading=wire.Reading(ecu_address=0x40, data_id=0x2301, scale=0.001),
)


async def _clear(world: World, *conditions: wire.Precondition, command_id: str = C1, **fields: Any) -> None:
    await world.dispatch.command(
        command_id, VIN, command_name="ClearDTC", repeatable=False, preconditions=conditions, **fields
    )


async def _tell(vehicle: ScriptedVehicle, execute: session_pb2.Execute, **response: Any) -> None:
    await vehicle.respond(execute.command_id, 1, json.dumps(response))
    await vehicle.finish(execute.command_id, 2)


async def _reads(vehicle: ScriptedVehicle, count: int) -> list[session_pb2.Execute]:
    await until(lambda: len(vehicle.executes) == count)
    assert all(execute.command_name == "ReadDataByID" and execute.repeatable for execute in vehicle.executes)
    return list(vehicle.executes)


async def _outcome(world: World, command_id: str = C1) -> wire.Outcome:
    await until(lambda: world.service.outcome(command_id))
    outcome = world.service.outcome(command_id)
    assert outcome is not None
    return outcome


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "READING_SECONDS", 0.2)


async def test_all_hold_and_the_command_leaves(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY, VOLTAGE)
    speed, voltage = await _reads(vehicle, 2)
    assert json.loads(speed.command_params) == {"ecuAddress": "0x10", "dataId": "0xF40D"}
    assert json.loads(voltage.command_params) == {"ecuAddress": "0x40", "dataId": "0x2301"}
    await _tell(vehicle, speed, id="0xF40D", raw="0x00")
    await _tell(vehicle, voltage, id="0x2301", raw="0x2EE0", value=12.0, unit="V")
    await until(lambda: vehicle.handed[-1] == C1)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)
    assert (await _outcome(world)).kind == wire.Outcome.COMPLETED
    # The reads are the connector's own: it lets go of them, and the command service never hears of them.
    assert {speed.command_id, voltage.command_id} <= vehicle.closed
    assert {claim.command_id for claim in world.service.claims} == {C1}
    assert {result.command_id for result in world.service.arrived} == {C1}


async def test_one_that_does_not_hold_refuses_and_says_which(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY, VOLTAGE)
    speed, voltage = await _reads(vehicle, 2)
    await _tell(vehicle, voltage, raw="0x2710")
    await _tell(vehicle, speed, raw="0x0C")
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.FAILED, "PRECONDITION_FAILED")
    assert outcome.message == (
        "vehicle speed is 12 km/h, must be 0 km/h; supply voltage is 10 V, must be at least 11.5 V"
    )
    await world.dispatch.command(C2, VIN)
    await until(lambda: C2 in vehicle.handed)
    assert C1 not in vehicle.handed


@pytest.mark.parametrize(
    ("reading", "response", "value"),
    [
        ({"scale": 1}, {"raw": "0x0102"}, 0x0102),
        ({"scale": 1, "offset": -40}, {"raw": "0x5A"}, 50),
        ({"scale": 1, "mask": 0x06}, {"raw": "0xFD"}, 4),
        ({"scale": 0.001}, {"value": 12.5, "raw": ""}, 12.5),
        ({"scale": 1}, {"value": "12.5"}, 12.5),
        ({"scale": 1}, {"value": True}, 1),
    ],
)
async def test_how_a_value_is_read(
    world: World, reading: dict[str, Any], response: dict[str, Any], value: float
) -> None:
    vehicle = await world.vehicle()
    reading = {"ecu_address": 0x10, "data_id": 0x1234, **reading}
    await _clear(
        world,
        wire.Precondition(name="n", comparison="!=", value=value, reading=wire.Reading(**reading)),
    )
    (read,) = await _reads(vehicle, 1)
    await _tell(vehicle, read, **response)
    assert (await _outcome(world)).message == f"n is {value:g}, must not be {value:g}"


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [("=", [5]), ("!=", [4, 6]), ("<", [4]), ("<=", [4, 5]), (">", [6]), (">=", [5, 6]), ("~", [])],
)
async def test_comparisons(world: World, comparison: str, holds: list[int]) -> None:
    vehicle = await world.vehicle()
    for number, value in enumerate((4, 5, 6)):
        command_id = f"{C1[:-1]}{number}"
        seen = len(vehicle.executes)
        precondition = wire.Precondition(name="n", comparison=comparison, value=5, reading=SPEED)
        await _clear(world, precondition, command_id=command_id)
        await until(lambda seen=seen: len(vehicle.executes) == seen + 1)  # type: ignore[misc]
        await _tell(vehicle, vehicle.executes[-1], raw=f"0x{value:02X}")
        if value in holds:
            await until(lambda command_id=command_id: command_id in vehicle.handed)  # type: ignore[misc]
        else:
            assert (await _outcome(world, command_id)).code == "PRECONDITION_FAILED"


async def test_what_nobody_can_read_refuses(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, wire.Precondition(name="ignition", comparison="=", value=1))
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.FAILED, "PRECONDITION_UNKNOWN")
    assert outcome.message == "ignition could not be read: nobody has said where this vehicle keeps it"
    assert vehicle.executes == []


async def test_a_vehicle_that_cannot_be_asked_refuses(world: World) -> None:
    await world.vehicle(hello(capabilities=["ClearDTC"]))
    await _clear(world, STATIONARY)
    assert (await _outcome(world)).message.endswith("the vehicle does not support ReadDataByID")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ('["no object"]', "the vehicle's answer is not a JSON object"),
        ('{"id":"0xF40D"}', "the vehicle's answer holds no number"),
        ('{"value":"fast"}', "the vehicle's answer holds no number"),
        ('{"value":"nan"}', "the vehicle's answer holds no number"),
        ('{"raw":7,"value":[1]}', "the vehicle's answer holds no number"),
        ('{"raw":"0x' + "00" * 9 + '"}', "the vehicle's answer holds no number"),
    ],
)
async def test_an_answer_that_makes_no_sense_refuses(world: World, response: str, reason: str) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    await vehicle.respond(read.command_id, 1, response)
    await vehicle.finish(read.command_id, 2)
    outcome = await _outcome(world)
    assert (outcome.code, reason in outcome.message) == ("PRECONDITION_UNKNOWN", True), outcome.message


async def test_an_ecu_that_says_no_refuses_and_says_why(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    failed = session_pb2.Finished.FAILED
    await vehicle.finish(read.command_id, 1, failed, code="NEGATIVE_RESPONSE", message="requestOutOfRange", nrc=0x31)
    outcome = await _outcome(world)
    assert outcome.message == "vehicle speed could not be read: requestOutOfRange"
    assert outcome.code == "PRECONDITION_UNKNOWN"


@pytest.mark.usefixtures("impatient")
async def test_a_silent_vehicle_refuses_and_gets_nothing_later(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    outcome = await _outcome(world)
    assert outcome.code == "PRECONDITION_UNKNOWN"
    assert outcome.message == "vehicle speed could not be read: the vehicle did not tell within 0.2 s"
    await until(lambda: read.command_id in {cancel.command_id for cancel in vehicle.cancels})
    await _tell(vehicle, read, raw="0x00")  # too late
    await world.dispatch.command(C2, VIN)
    await until(lambda: C2 in vehicle.handed)
    assert C1 not in vehicle.handed


async def test_a_vehicle_that_goes_away_meanwhile_gets_it_when_it_is_back(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    vehicle.break_off()
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.NOT_HANDED_OVER, "SESSION_LOST")
    # It is back with the read that it holds: nobody wants that, and its answer decides nothing.
    back = await world.vehicle(hello(held=[session_pb2.HeldCommand(command_id=read.command_id, attempt=1)]))
    world.service.recorded.clear()
    await _clear(world, STATIONARY, dispatch_number=2, session_epoch=2)
    (again,) = await _reads(back, 1)
    await _tell(back, read, raw="0x0C")
    await _tell(back, again, raw="0x00")
    await until(lambda: back.handed[-1] == C1)


async def test_a_cancel_meanwhile_prevents_it(world: World) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    await world.dispatch.cancel(C1)
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.NOT_HANDED_OVER, "CANCEL_REQUESTED")
    await _tell(vehicle, read, raw="0x00")
    await world.dispatch.command(C2, VIN)
    await until(lambda: C2 in vehicle.handed)
    assert C1 not in vehicle.handed


async def test_a_lease_that_lapses_meanwhile_hands_nothing_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    vehicle = await world.vehicle()
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    monkeypatch.setattr(Lease, "may_hand_over", lambda lease: False)
    await _tell(vehicle, read, raw="0x00")
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.NOT_HANDED_OVER, "LEASE_LAPSED")
    assert C1 not in vehicle.handed


async def test_values_that_have_grown_old_are_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "FRESH_SECONDS", 0.2)
    vehicle = await world.vehicle(hello(max_commands=1))
    await _clear(world, STATIONARY)
    (read,) = await _reads(vehicle, 1)
    await world.dispatch.command(C2, VIN)  # takes the vehicle's only place once the read has gone
    await until(lambda: C2 in {claim.command_id for claim in world.service.claims})
    await _tell(vehicle, read, raw="0x00")
    outcome = await _outcome(world)
    assert (outcome.kind, outcome.code) == (wire.Outcome.NOT_HANDED_OVER, "VEHICLE_BUSY")
    assert vehicle.handed == [read.command_id, C2]


def test_they_take_no_longer_than_the_command_service_waits() -> None:
    assert preconditions.READING_SECONDS + preconditions.FRESH_SECONDS <= attempt.HAND_OVER_SECONDS
    assert Limits().deadline_grace_seconds > attempt.HAND_OVER_SECONDS
