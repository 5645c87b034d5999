"""What scans find is kept with the vehicle, together with the response that tells of it."""

import json

import pytest

from command_service.domain.vehicle import Ecu
from command_service.use_cases.vehicle_sessions import Hello
from tests.integration.command_service.world import DONE, VINS, World


def found(address: str, **said: object) -> str:
    return json.dumps({"ecuAddress": address, **said})


async def scanned(world: World, vehicle_id: str, *responses: str) -> None:
    command = await world.handed_over(vehicle_id, "ScanECUs", command_params="{}")
    await world.results(command, *responses, json.dumps({"count": len(responses)}), DONE)


async def test_what_a_scan_finds_is_shown_with_the_vehicle(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await scanned(world, vehicle_id, found("0x10", name="ECM", part_number="A1", vin=VINS[1]), found("0x0018"))
    vehicle = await world.vehicles.get(vehicle_id)
    assert [(ecu.address, ecu.name, dict(ecu.facts)) for ecu in vehicle.ecus] == [
        (0x10, "ECM", {"part_number": "A1", "vin": VINS[1]}),
        (0x18, "", {}),
    ]
    (listed,), _ = await world.vehicles.page("", "", 10, "")
    assert listed.ecus == vehicle.ecus
    assert all(ecu.seen_at is not None for ecu in vehicle.ecus)


async def test_a_later_scan_replaces_what_it_finds_again_and_keeps_the_rest(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await scanned(world, vehicle_id, found("0x10", part_number="A1", serial_number="S1"), found("0x18", name="TCM"))
    (first, other) = (await world.vehicles.get(vehicle_id)).ecus
    await scanned(world, vehicle_id, found("0x10", part_number="A2"))
    (second, same) = (await world.vehicles.get(vehicle_id)).ecus
    assert (dict(second.facts), same) == ({"part_number": "A2"}, other)
    assert first.seen_at is not None
    assert second.seen_at is not None
    assert second.seen_at > first.seen_at


async def test_the_vehicle_names_its_ecus_and_scans_add_to_them(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await scanned(world, vehicle_id, found("0x10", name="ENGINE-V6", part_number="A1"), found("0x18", name="TCM"))
    await world.sessions.open([Hello("c1", VINS[0], [Ecu(0x10, "Engine"), Ecu(0x28, "ABS"), Ecu(0x18, "")])])
    ecus = (await world.vehicles.get(vehicle_id)).ecus
    assert [(ecu.address, ecu.name, dict(ecu.facts)) for ecu in ecus] == [
        (0x10, "Engine", {"part_number": "A1"}),
        (0x18, "TCM", {}),
        (0x28, "ABS", {}),
    ]


async def test_of_a_scan_that_fails_what_it_found_is_kept(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    command = await world.handed_over(vehicle_id, "ScanECUs", command_params="{}")
    for _ in range(2):  # a result that comes again changes nothing
        await world.results(command, found("0x10", name="ECM"))
    assert [ecu.name for ecu in (await world.vehicles.get(vehicle_id)).ecus] == ["ECM"]


@pytest.mark.parametrize(
    "nonsense",
    ['{"ecuAddress":16}', '{"ecuAddress":"sixteen"}', '{"ecuAddress":"0x123456789"}', "{}", '{"name":"ECM"}'],
)
async def test_what_makes_no_sense_is_only_on_the_command(world: World, nonsense: str) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await scanned(world, vehicle_id, nonsense, found("0x10", name=7, part_number="\x00A", vin="V" * 5000))
    (ecu,) = (await world.vehicles.get(vehicle_id)).ecus
    assert (ecu.address, ecu.name, len(ecu.facts["vin"])) == (0x10, "", 100)


async def test_other_commands_tell_nothing_of_ecus(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await world.results(await world.handed_over(vehicle_id), found("0x10", name="ECM"), DONE)
    assert (await world.vehicles.get(vehicle_id)).ecus == []
