"""Vehicles with their sessions, and connectors with their leases, in storage; on both databases."""

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.vehicle import ConnectionStatus, Ecu, LinkKind, LinkProblem, Vehicle
from command_service.storage import SqlStorage
from command_service.use_cases.cursors import encode_cursor
from command_service.use_cases.ports import AlreadyStored, ConnectorLease
from service_kit.errors import InvalidInput
from tests.integration.command_service.rows import NOW, a_vehicle, new_id, online, store
from tests.integration.command_service.world import World


async def _stored(storage: SqlStorage, vehicle_id: str) -> Vehicle | None:
    async with storage.reading() as uow:
        return (await uow.vehicles.get([vehicle_id])).get(vehicle_id)


async def _update(storage: SqlStorage, *vehicles: Vehicle) -> None:
    async with storage.transaction() as uow:
        await uow.vehicles.update(vehicles)
        await uow.commit()


async def _page(
    storage: SqlStorage, search: str = "", status: str = "", limit: int = 100, after: tuple[str, str] | None = None
) -> list[str]:
    async with storage.reading() as uow:
        return [vehicle.vin for vehicle in await uow.vehicles.page(search, status, limit, after)]


async def test_a_vehicle_comes_back_as_it_went(storage: SqlStorage) -> None:
    vehicle = a_vehicle(link_kind=LinkKind.DOIP, link_address="192.0.2.7:13400")
    await store(storage, vehicles=[vehicle])
    assert await _stored(storage, vehicle.vehicle_id) == vehicle
    online(vehicle).make = "Škoda \x00"
    vehicle.model, vehicle.year, vehicle.session_epoch = "Octavia", 1959, 2**40
    vehicle.lock = DiagnosticLock("8b0f0c62", "Jürgen \x00", NOW, NOW + timedelta(hours=1))
    vehicle.link_problem = LinkProblem("refused by \x00", NOW)
    await _update(storage, vehicle)
    found = await _stored(storage, vehicle.vehicle_id)
    assert found is not None
    assert found.lock == replace(vehicle.lock, owner="Jürgen \ufffd")
    assert found.link_problem == LinkProblem("refused by \ufffd", NOW)
    assert (found.make, found.model, found.year) == ("Škoda \ufffd", "Octavia", 1959)
    assert (found.connection_status, found.session_epoch) == (ConnectionStatus.ONLINE, 2**40)
    assert found.ecus == [Ecu(0x10, "Engine"), Ecu(0x18DA10F1, "Gateway")]


async def test_a_vin_is_free_again_once_its_vehicle_is_deleted(storage: SqlStorage) -> None:
    first, second = a_vehicle(), a_vehicle()
    await store(storage, vehicles=[first])
    with pytest.raises(AlreadyStored):
        await store(storage, vehicles=[second])
    first.deleted_at = NOW
    await _update(storage, first)
    await store(storage, vehicles=[second])
    async with storage.transaction() as uow:
        both = [first.vehicle_id, second.vehicle_id]
        assert set(await uow.vehicles.get(both)) == {second.vehicle_id}
        assert set(await uow.vehicles.lock(both)) == {second.vehicle_id}
        assert await uow.vehicles.vins([*both, new_id(), "nonsense"]) == dict.fromkeys(both, first.vin)
        by_vin = await uow.vehicles.by_vin([first.vin, "OTHER", "\x00"])
    assert {vin: vehicle.vehicle_id for vin, vehicle in by_vin.items()} == {first.vin: second.vehicle_id}


async def test_nothing_asked_is_nothing_done(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        assert await uow.vehicles.get([]) == {}
        assert await uow.vehicles.vins([]) == {}
        assert await uow.vehicles.by_vin([]) == {}
        assert await uow.vehicles.lock([]) == {}
        await uow.vehicles.update([])
        await uow.vehicles.touch([])
        assert await uow.connectors.renew([], 10) == set()
        assert await uow.connectors.get([]) == {}


async def test_a_lock_brings_the_clock(storage: SqlStorage) -> None:
    await store(storage, vehicles=[vehicle := a_vehicle()])
    async with storage.transaction() as uow:
        locked = await uow.vehicles.lock([vehicle.vehicle_id, new_id(), "nonsense"])
        now = await uow.clock()
    assert locked == {vehicle.vehicle_id: vehicle}
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


async def test_only_the_newest_session_is_seen(storage: SqlStorage) -> None:
    seen, superseded, unseen = (online(a_vehicle(vin)) for vin in ("SEEN", "SUPERSEDED", "UNSEEN"))
    superseded.session_epoch = 2
    await store(storage, vehicles=[seen, superseded, unseen])
    async with storage.transaction() as uow:
        sessions = [(seen.vehicle_id, 1), (superseded.vehicle_id, 1), (new_id(), 1), ("nonsense", 1)]
        await uow.vehicles.touch([*sessions, *sessions])
        await uow.commit()
    async with storage.reading() as uow:
        found = await uow.vehicles.get([seen.vehicle_id, superseded.vehicle_id, unseen.vehicle_id])
    last_seen = {vehicle.vin: vehicle.last_seen_at for vehicle in found.values()}
    assert last_seen["SEEN"] is not None
    assert datetime.now(UTC) - last_seen["SEEN"] < timedelta(minutes=1)
    assert last_seen["SUPERSEDED"] == last_seen["UNSEEN"] == NOW


async def test_what_a_connector_holds(storage: SqlStorage) -> None:
    ours, theirs, offline, gone = (online(a_vehicle(vin)) for vin in ("OURS", "THEIRS", "OFFLINE", "GONE"))
    theirs.connector_id = "connector-2"
    offline.close_session(1, NOW)
    gone.deleted_at = NOW
    await store(storage, vehicles=[ours, theirs, offline, gone])
    async with storage.reading() as uow:
        assert await uow.vehicles.on_connector("connector-1") == [ours.vehicle_id]
        assert await uow.vehicles.on_connector("connector-3") == []


async def test_the_fleet_is_listed_by_vin_page_by_page(storage: SqlStorage) -> None:
    vins = [f"WDD{letter}" for letter in string.ascii_uppercase] + ["WDD1", "WDDa", "ÄDD"]
    await store(storage, vehicles=[a_vehicle(vin) for vin in reversed(vins)])
    in_order: list[str] = []
    after: tuple[str, str] | None = None
    while True:
        async with storage.reading() as uow:
            page = await uow.vehicles.page("", "", 10, after)
        if not page:
            break
        in_order += [vehicle.vin for vehicle in page]
        after = (page[-1].vin, page[-1].vehicle_id)
    assert in_order == sorted(vins)
    assert await _page(storage, after=("WDDY", "nonsense")) == ["WDDY", "WDDZ", "WDDa", "ÄDD"]


async def test_searching_the_fleet(storage: SqlStorage) -> None:
    vehicles = [
        a_vehicle("WDD100", make="Mercedes", model="E-Class"),
        online(a_vehicle("TMB200", make="ŠKODA", model="Octavia 100%")),
        a_vehicle("VWV300", make="Volkswagen", model="Golf_7"),
        a_vehicle("XXX400", make="Mercedes", model="gone", deleted_at=NOW),
    ]
    await store(storage, vehicles=vehicles)
    expected = {
        "": ["TMB200", "VWV300", "WDD100"],
        "mercedes": ["WDD100"],
        "CLASS": ["WDD100"],
        "škoda": ["TMB200"],
        "00": ["TMB200", "VWV300", "WDD100"],
        "%": ["TMB200"],
        "_": ["VWV300"],
        "100\nmercedes": ["WDD100"],
        "nothing": [],
        "\x00": [],
        "'; DROP TABLE vehicles": [],
    }
    assert {search: await _page(storage, search) for search in expected} == expected
    assert await _page(storage, status="online") == ["TMB200"]
    assert await _page(storage, "mercedes", "offline") == ["WDD100"]
    assert await _page(storage, "mercedes", "online") == []
    assert await _page(storage, limit=2) == ["TMB200", "VWV300"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("vin", "V1 V2 V3 V4"),
        ("-vin", "V4 V3 V2 V1"),
        ("make", "V2 V4 V1 V3"),
        ("-make", "V3 V1 V4 V2"),
        ("model", "V3 V4 V1 V2"),
        ("-model", "V2 V1 V4 V3"),
        ("year", "V4 V1 V3 V2"),
        ("-year", "V2 V3 V1 V4"),
        ("last_seen_at", "V1 V4 V3 V2"),
        ("-last_seen_at", "V2 V3 V4 V1"),
    ],
)
async def test_the_fleet_is_sorted_page_by_page(world: World, sort: str, expected: str) -> None:
    """The cursor of one order is good for no other."""
    vehicles = [
        a_vehicle("V1", make="Mercedes", model="c", year=2001),
        online(a_vehicle("V2", make="audi", model="D", year=2003), now=NOW + timedelta(microseconds=3)),
        online(a_vehicle("V3", make="skoda", model="A", year=2002), now=NOW + timedelta(microseconds=1)),
        online(a_vehicle("V4", make="BMW", model="b", year=2000), now=NOW),
    ]
    await store(world.storage, vehicles=vehicles)
    found, cursor = await world.vehicles.page("", "", 1, "", sort)
    while cursor:
        other = "-vin" if sort == "model" else "model"
        with pytest.raises(InvalidInput, match="cursor"):
            await world.vehicles.page("", "", 1, cursor, other)
        page, cursor = await world.vehicles.page("", "", 1, cursor, sort)
        found += page
    assert " ".join(vehicle.vin for vehicle in found) == expected


async def test_vehicles_that_are_equal_in_the_order(world: World) -> None:
    vehicles = [a_vehicle(f"V{number}", make="BMW" if number % 2 else "bmw") for number in range(5)]
    await store(world.storage, vehicles=vehicles)
    for sort, expected in (("make", "V0 V1 V2 V3 V4"), ("-last_seen_at", "V4 V3 V2 V1 V0")):
        first, cursor = await world.vehicles.page("", "", 3, "", sort)
        rest, end = await world.vehicles.page("", "", 3, cursor, sort)
        assert (" ".join(vehicle.vin for vehicle in first + rest), end) == (expected, "")


@pytest.mark.parametrize("sort", ["colour", "--vin", "vin,make", "\x00"])
async def test_orders_that_there_are_not(world: World, sort: str) -> None:
    with pytest.raises(InvalidInput, match="sort must be one of vin, make, model, year, last_seen_at"):
        await world.vehicles.page("", "", 10, "", sort)


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("year", "MMXXIV"),
        ("year", "9" * 20),
        ("last_seen_at", "yesterday"),
        ("last_seen_at", "2026-01-31T12:00:00"),
        ("last_seen_at", "0001-01-01T00:00:00+14:00"),
    ],
)
async def test_forged_places(world: World, sort: str, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await world.vehicles.page("", "", 10, encode_cursor(sort, key, new_id()), sort)
    assert caught.value.code == "INVALID_CURSOR"
    for value in ("\x00", "Škoda"):
        assert await world.vehicles.page("", "", 10, encode_cursor("make", value, "nonsense"), "make") == ([], "")


async def test_a_lease_lasts_by_the_databases_clock(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.connectors.register("connector-1", "host:1", 10)
        await uow.connectors.register("connector-2", "host:2", -30)
        await uow.connectors.register("connector-3", "host:3", -5)
        now = await uow.clock()
        await uow.commit()
    async with storage.reading() as uow:
        found = await uow.connectors.get(["connector-1", "connector-2", "nobody"])
        assert sorted(await uow.connectors.lapsed(0)) == ["connector-2", "connector-3"]
        assert await uow.connectors.lapsed(20) == ["connector-2"]
    assert set(found) == {"connector-1", "connector-2"}
    lease = found["connector-1"]
    assert lease == ConnectorLease("connector-1", "host:1", lease.lease_until, draining=False)
    assert timedelta(seconds=5) < lease.lease_until - now < timedelta(seconds=15)


async def test_leases_are_renewed_for_those_that_are_known(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.connectors.register("connector-1", "host:1", -30)
        await uow.connectors.register("connector-2", "host:2", -30)
        known = await uow.connectors.renew([("connector-2", False), ("nobody", True), ("connector-2", True)], 10)
        await uow.connectors.register("connector-1", "elsewhere:1", 10)
        await uow.commit()
    assert known == {"connector-2"}
    async with storage.reading() as uow:
        found = await uow.connectors.get(["connector-1", "connector-2"])
        assert await uow.connectors.lapsed(0) == []
    assert found["connector-1"].address == "elsewhere:1"
    assert [found[name].draining for name in ("connector-1", "connector-2")] == [False, True]


async def test_a_connector_is_removed_once_its_lease_lapsed(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.connectors.register("connector-1", "host:1", -5)
        await uow.connectors.register("connector-2", "host:2", 10)
        assert not await uow.connectors.remove_lapsed("connector-1", 20)
        assert await uow.connectors.remove_lapsed("connector-1", 0)
        assert not await uow.connectors.remove_lapsed("connector-1", 0)
        assert not await uow.connectors.remove_lapsed("connector-2", 0)
        await uow.commit()
    async with storage.reading() as uow:
        assert set(await uow.connectors.get(["connector-1", "connector-2"])) == {"connector-2"}
