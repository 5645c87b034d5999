"""Preconditions over every link: a simulated vehicle, the connector, a command that would change the vehicle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr

from service_kit.vehicle_credential import vehicle_credential
from sovd_protos.connector.v1 import connector_pb2 as wire
from tests.integration.sovd.bench import address_of
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds, worlds
from tests.unit.vehicle_connector.fake_command_service import vehicle_id_of
from tests.unit.vehicle_connector.ids import C1, C2
from tests.unit.vehicle_connector.scripted_vehicle import CREDENTIAL_SECRET
from tests.unit.vehicle_simulator.conftest import QUICK
from vehicle_agent.composition import compose
from vehicle_agent.settings import Settings
from vehicle_connector import preconditions
from vehicle_session.connections import Connections
from vehicle_simulator.data_identifiers import IGNITION_ID, PARKED, SUPPLY_VOLTAGE_ID, VEHICLE_SPEED_ID
from vehicle_simulator.ecus import ENGINE_ADDRESS, VehicleModel
from vehicle_simulator.faults import FaultScript, parse_fault
from vehicle_simulator.fleet import DoipPorts, Fleet, demo_fleet
from vehicle_simulator.ledger import ExecutionLedger
from vehicle_simulator.sovd.server import SovdServer

__all__ = ["worlds"]

SPEC = demo_fleet()[0]
VIN = SPEC.vin


def _condition(
    name: str, comparison: str, value: float, unit: str, data_id: int, scale: float = 1
) -> wire.Precondition:
    reading = wire.Reading(ecu_address=ENGINE_ADDRESS, data_id=data_id, scale=scale)
    return wire.Precondition(name=name, comparison=comparison, value=value, unit=unit, reading=reading)


CONDITIONS = [
    _condition("vehicle speed", "=", 0, "km/h", VEHICLE_SPEED_ID),
    _condition("ignition", "=", 1, "", IGNITION_ID),
    _condition("supply voltage", ">=", 11.5, "V", SUPPLY_VOLTAGE_ID, 0.001),
]


@dataclass
class Vehicle:
    """A simulated vehicle that is online, by whatever link."""

    world: World
    model: VehicleModel
    faults: FaultScript

    @property
    def faults_stored(self) -> int:
        return len(self.model.ecu(ENGINE_ADDRESS).memory.read(ENGINE_ADDRESS, 0xFF))

    async def clear(self, command_id: str = C1, dispatch_number: int = 1) -> wire.Outcome:
        await self.world.dispatch.command(
            command_id,
            VIN,
            command_name="ClearDTC",
            repeatable=False,
            preconditions=CONDITIONS,
            dispatch_number=dispatch_number,
            session_epoch=len(self.world.service.opened),
        )
        await until(lambda: self.world.service.outcome(command_id))
        outcome = self.world.service.outcome(command_id)
        assert outcome is not None
        return outcome


async def _dials_in(world: World, fleet: Fleet, stack: AsyncExitStack) -> None:
    fleet.start_vehicle(VIN)
    await fleet.wait_connected()


async def _by_doip(world: World, fleet: Fleet, stack: AsyncExitStack) -> None:
    entity = fleet[VIN].doip
    assert entity is not None
    await entity.start("127.0.0.1", 0)
    _assign(world, "doip", f"127.0.0.1:{entity.port}")


async def _by_agent(world: World, fleet: Fleet, stack: AsyncExitStack) -> None:
    entity = fleet[VIN].doip
    assert entity is not None
    await entity.start("127.0.0.1", 0)
    agent = Settings(
        connector_address=f"127.0.0.1:{world.connector.session_port}",
        vehicle_vin=VIN,
        vehicle_credential=SecretStr(vehicle_credential(CREDENTIAL_SECRET, VIN)),
        doip_address=f"127.0.0.1:{entity.port}",
        state_dir=Path(stack.enter_context(TemporaryDirectory())),
        drain_seconds=1,
    )
    await stack.enter_async_context(compose(agent))


async def _by_sovd(world: World, fleet: Fleet, stack: AsyncExitStack) -> None:
    server = SovdServer({VIN: fleet[VIN].model}, fleet.ledger, fleet.faults, port=0)
    await stack.enter_async_context(_served(server))
    _assign(world, "sovd", address_of(server))


@asynccontextmanager
async def _served(server: SovdServer) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        await server.close()
        await serving


def _assign(world: World, kind: str, address: str) -> None:
    world.service.assign(wire.DialledVehicle(vehicle_id=vehicle_id_of(VIN), vin=VIN, link_kind=kind, address=address))


@pytest.fixture(params=[_dials_in, _by_doip, _by_sovd, _by_agent], ids=["session", "doip", "sovd", "agent"])
async def vehicle(request: pytest.FixtureRequest, worlds: Worlds, tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(worlds(redial_max_seconds=0.05))
        fleet = Fleet(
            [SPEC],
            Connections(f"127.0.0.1:{world.connector.session_port}"),
            ExecutionLedger(tmp_path / "ledger"),
            credential_secret=CREDENTIAL_SECRET,
            policy=QUICK,
            doip=DoipPorts("127.0.0.1", 0),
        )
        stack.push_async_callback(fleet.close)
        await request.param(world, fleet, stack)
        await until(lambda: world.service.opened)
        yield Vehicle(world, fleet[VIN].model, fleet.faults)


async def test_a_parked_vehicle_gets_it(vehicle: Vehicle) -> None:
    assert vehicle.faults_stored == 2
    assert (await vehicle.clear()).kind == wire.Outcome.COMPLETED
    assert vehicle.faults_stored == 0


async def test_one_that_moves_is_not_changed_until_it_stands(vehicle: Vehicle) -> None:
    vehicle.model.measured = {**PARKED, VEHICLE_SPEED_ID: 12}
    outcome = await vehicle.clear()
    assert (outcome.kind, outcome.code) == (wire.Outcome.FAILED, "PRECONDITION_FAILED")
    assert outcome.message == "vehicle speed is 12 km/h, must be 0 km/h"
    assert vehicle.faults_stored == 2
    vehicle.model.measured = PARKED
    assert (await vehicle.clear(C2)).kind == wire.Outcome.COMPLETED
    assert vehicle.faults_stored == 0


async def test_all_that_is_wrong_is_said(vehicle: Vehicle) -> None:
    vehicle.model.measured = {**PARKED, IGNITION_ID: 0, SUPPLY_VOLTAGE_ID: 11.2}
    outcome = await vehicle.clear()
    assert outcome.message == "ignition is 0, must be 1; supply voltage is 11.2 V, must be at least 11.5 V"
    assert vehicle.faults_stored == 2


@pytest.mark.parametrize("fault", ["silent:command=ReadDataByID", "negative:command=ReadDataByID,nrc=0x22"])
async def test_one_that_does_not_tell_is_not_changed(
    vehicle: Vehicle, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconditions, "READING_SECONDS", 0.5)
    vehicle.faults.add(parse_fault(fault))
    outcome = await vehicle.clear()
    assert (outcome.kind, outcome.code) == (wire.Outcome.FAILED, "PRECONDITION_UNKNOWN")
    assert "vehicle speed could not be read" in outcome.message
    assert vehicle.faults_stored == 2


async def test_one_whose_connection_breaks_meanwhile_is_not_changed(
    vehicle: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconditions, "READING_SECONDS", 1.0)
    vehicle.faults.add(parse_fault("disconnect:command=ReadDataByID,after=0,times=1"))
    outcome = await vehicle.clear()
    # Where the session goes with the connection it waits for the vehicle; HTTP has no session that would.
    assert outcome.code in ("SESSION_LOST", "PRECONDITION_UNKNOWN")
    assert (outcome.kind == wire.Outcome.NOT_HANDED_OVER) == (outcome.code == "SESSION_LOST")
    assert vehicle.faults_stored == 2


async def test_it_has_its_turn_behind_what_runs_on_the_ecu(vehicle: Vehicle) -> None:
    vehicle.faults.add(parse_fault("slow:command=ReadDTC,seconds=0.3,times=1"))
    await vehicle.world.dispatch.command(C2, VIN, session_epoch=len(vehicle.world.service.opened))
    assert (await vehicle.clear()).kind == wire.Outcome.COMPLETED
    await until(lambda: vehicle.world.service.outcome(C2))
    assert vehicle.faults_stored == 0
