"""Vehicles that must be dialled: each by one connector, and by another when that is gone."""

import asyncio

from command_service.domain.vehicle import Ecu
from command_service.use_cases.assign_vehicles import spread
from command_service.use_cases.vehicle_sessions import Hello, SessionEnd, SessionOpened
from service_kit.errors import Conflict
from tests.integration.command_service.world import ADMIN, VINS, World


async def dialled(world: World, vin: str = VINS[0], kind: str = "doip", address: str = "192.0.2.7") -> str:
    return (await world.vehicles.create(ADMIN, vin, "Mercedes", "E-Class", 2024, kind, address)).vehicle_id


async def attach(world: World, connector: str) -> None:
    await world.sessions.register_connector(connector, "", [], [])


async def who_dials(world: World, *connectors: str) -> dict[str, list[str]]:
    found = await world.assign.of_connectors(connectors)
    return {connector: [one.vin for one in assigned] for connector, assigned in found.items()}


def hello(connector: str, kind: str = "doip") -> Hello:
    return Hello(connector, VINS[0], [], link_kind=kind)


def test_the_one_that_dials_the_fewest_gets_the_next() -> None:
    assert spread(["v1", "v2", "v3"], {"a": 2, "b": 0}) == {"v1": "b", "v2": "b", "v3": "a"}
    assert spread(["v1"], {}) == {}


async def test_a_vehicle_that_is_to_be_dialled_gets_a_connector(world: World) -> None:
    await dialled(world)
    await world.vehicle(VINS[1])  # dials in
    assert await world.assign.assign_unassigned() == 0  # there is no connector yet
    await attach(world, "c1")
    assert await world.assign.assign_unassigned() == 1
    assert await world.assign.assign_unassigned() == 0
    (assignment,) = (await world.assign.of_connectors(["c1"]))["c1"]
    assert (assignment.vin, assignment.link_kind, assignment.address) == (VINS[0], "doip", "192.0.2.7")


async def test_vehicles_are_spread_over_the_connectors(world: World) -> None:
    for number in range(6):
        await dialled(world, f"WDD12345678900{number:03d}")
    await attach(world, "c1")
    await attach(world, "c2")
    await world.assign.assign_unassigned()
    assert sorted(map(len, (await who_dials(world, "c1", "c2")).values())) == [3, 3]


async def test_only_the_connector_that_was_told_to_opens_the_session(world: World) -> None:
    vehicle_id = await dialled(world)
    await attach(world, "c1")
    await attach(world, "c2")
    await world.assign.assign_unassigned()
    (dials,) = (await who_dials(world, "c1", "c2")).keys()
    other = "c1" if dials == "c2" else "c2"
    refused, mismatch, opened = await world.sessions.open([hello(other), hello(dials, "session"), hello(dials)])
    assert isinstance(refused, Conflict)
    assert refused.code == "NOT_ASSIGNED"
    assert isinstance(mismatch, Conflict)
    assert mismatch.code == "LINK_MISMATCH"
    assert isinstance(opened, SessionOpened)
    assert (await world.vehicles.get(vehicle_id)).connector_id == dials


async def test_what_was_dialled_keeps_the_ecus_that_are_known(world: World) -> None:
    vehicle_id = await dialled(world)
    await attach(world, "c1")
    await world.assign.assign_unassigned()
    async with world.storage.transaction() as uow:
        vehicle = (await uow.vehicles.lock([vehicle_id]))[vehicle_id]
        vehicle.ecus = [Ecu(0x10, "ECM")]
        await uow.vehicles.update([vehicle])
        await uow.commit()
    await world.sessions.open([hello("c1")])
    assert (await world.vehicles.get(vehicle_id)).ecus == [Ecu(0x10, "ECM")]


async def test_a_vehicle_that_dials_in_is_not_taken_by_a_dialler(world: World) -> None:
    await world.vehicle()
    await attach(world, "c1")
    (refused,) = await world.sessions.open([hello("c1")])
    assert isinstance(refused, Conflict)
    assert refused.code == "LINK_MISMATCH"


async def test_another_dials_when_the_connector_is_gone(world: World) -> None:
    gone = world.with_limits(lease_seconds=0.5, lease_grace_seconds=0.0)
    await dialled(world)
    await attach(gone, "c1")
    await world.assign.assign_unassigned()
    await asyncio.sleep(0.6)
    await attach(world, "c2")
    assert await world.assign.assign_unassigned() == 0  # the lapsed one may still come back
    await gone.recover.drop_lapsed_connectors()
    assert await world.assign.assign_unassigned() == 1
    assert await who_dials(world, "c1", "c2") == {"c2": [VINS[0]]}


async def test_a_draining_connector_is_relieved_once_it_has_let_go(world: World) -> None:
    vehicle_id = await dialled(world)
    await attach(world, "c1")
    await world.assign.assign_unassigned()
    (opened,) = await world.sessions.open([hello("c1")])
    assert isinstance(opened, SessionOpened)
    await world.sessions.renew_leases([("c1", True)])
    await attach(world, "c2")
    assert await world.assign.assign_unassigned() == 0
    await world.sessions.close([SessionEnd("c1", vehicle_id, opened.session_epoch)])
    assert await world.assign.assign_unassigned() == 1
    assert await who_dials(world, "c1", "c2") == {"c2": [VINS[0]]}


async def test_what_is_deleted_or_dials_in_now_is_nobodys(world: World) -> None:
    first, second = await dialled(world), await dialled(world, VINS[1], "sovd", "https://192.0.2.8")
    await attach(world, "c1")
    await world.assign.assign_unassigned()
    assert await who_dials(world, "c1") == {"c1": [VINS[0], VINS[1]]}
    await world.vehicles.delete(ADMIN, first)
    await world.vehicles.update(ADMIN, second, link=("session", ""))
    assert await who_dials(world, "c1") == {}
    await world.vehicles.update(ADMIN, second, link=("doip", "192.0.2.9"))
    assert [one.address for one in (await world.assign.of_connectors(["c1"]))["c1"]] == ["192.0.2.9"]
