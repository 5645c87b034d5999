"""Why a vehicle that must be dialled is not reached, on both databases: kept, told of, and forgotten in time. For those
that dial in: test_identities."""

import asyncio
import json

from command_service.domain.events import vehicle_event
from command_service.domain.vehicle import LinkProblem
from command_service.use_cases.unreached_vehicles import NotReached
from command_service.use_cases.vehicle_sessions import Hello
from tests.integration.command_service.test_assignments import attach, dialled, hello
from tests.integration.command_service.world import ADMIN, VINS, World

REFUSED = "192.0.2.7:13400: Connection refused"
SILENT = "192.0.2.7:13400 does not answer within 5 s"


async def assigned(world: World, connector: str = "c1") -> str:
    vehicle_id = await dialled(world)
    await attach(world, connector)
    await world.assign.assign_unassigned()
    return vehicle_id


async def problem(world: World, vehicle_id: str) -> LinkProblem | None:
    return (await world.vehicles.get(vehicle_id)).link_problem


async def test_the_reason_is_kept_with_the_vehicle_and_told_when_it_changes(world: World) -> None:
    vehicle_id = await assigned(world)
    await world.unreached([NotReached("c1", vehicle_id, SILENT), NotReached("c1", vehicle_id, REFUSED)])
    first = await problem(world, vehicle_id)
    assert first is not None
    assert first.reason == REFUSED
    told = [(vehicle_id, "offline")]
    assert world.heard.vehicles == told
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])  # said again on a new stream
    assert (await problem(world, vehicle_id), world.heard.vehicles) == (first, told)
    await world.unreached([NotReached("c1", vehicle_id, SILENT)])
    second = await problem(world, vehicle_id)
    assert second is not None
    assert (second.reason, second.since >= first.since) == (SILENT, True)
    assert world.heard.vehicles == told * 2


async def test_viewers_get_it_with_the_vehicle(world: World) -> None:
    vehicle_id = await assigned(world)
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])
    vehicle = await world.vehicles.get(vehicle_id)
    assert vehicle.link_problem is not None
    told = json.loads(vehicle_event(vehicle, vehicle.link_problem.since))
    assert told["link_problem"] == {"reason": REFUSED, "since": told["at"]}


async def test_it_is_forgotten_once_the_vehicle_is_reached(world: World) -> None:
    vehicle_id = await assigned(world)
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])
    await world.sessions.open([hello("c1")])
    assert await problem(world, vehicle_id) is None
    await world.unreached([NotReached("c1", vehicle_id, SILENT)])  # overtaken on its way
    assert await problem(world, vehicle_id) is None


async def test_only_who_dials_it_can_say(world: World) -> None:
    vehicle_id = await assigned(world)
    await attach(world, "c2")
    await world.unreached([NotReached("c2", vehicle_id, REFUSED), NotReached("c1", "no such vehicle", REFUSED)])
    assert await problem(world, vehicle_id) is None
    await world.vehicles.update(ADMIN, vehicle_id, link=("session", ""))
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])
    assert await problem(world, vehicle_id) is None
    assert world.heard.vehicles == []


async def test_another_address_is_another_matter(world: World) -> None:
    vehicle_id = await assigned(world)
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])
    await world.vehicles.update(ADMIN, vehicle_id, make="Škoda", link=("doip", "192.0.2.7"))
    assert await problem(world, vehicle_id) is not None
    assert (await world.vehicles.update(ADMIN, vehicle_id, link=("doip", "192.0.2.8"))).link_problem is None
    assert await problem(world, vehicle_id) is None
    assert len(world.heard.vehicles) == 2


async def test_it_goes_with_the_connector_that_said_it(world: World) -> None:
    gone = world.with_limits(lease_seconds=0.5, lease_grace_seconds=0.0)
    vehicle_id = await assigned(gone)
    await world.unreached([NotReached("c1", vehicle_id, REFUSED)])
    await asyncio.sleep(0.6)
    await gone.recover.drop_lapsed_connectors()
    assert await problem(world, vehicle_id) is None
    assert gone.heard.vehicles == [(vehicle_id, "offline")]


async def test_a_vehicle_that_dials_in_has_none(world: World) -> None:
    await world.vehicle(VINS[0])
    await attach(world, "c1")
    await world.sessions.open([Hello("c1", VINS[0], [])])
    (vehicle,), _ = await world.vehicles.page("", "", 10, "")
    assert vehicle.link_problem is None
