"""A vehicle that is dialled, with two connectors: it sees one connection, and is dialled by the other one in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

import command_service.composition
import command_service.settings
import vehicle_connector.composition
import vehicle_connector.settings
from service_kit.database import upgrade
from service_kit.grpc_channel import open_channel
from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.messaging.memory import MemoryBroker, MemoryMessaging
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc
from tests.support.waiting import until_it
from vehicle_connector.composition import VehicleConnector
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript

VIN = "WDD1234567890ABCD"
TOKEN = "a-service-token-for-tests-only"
ADMIN = command_pb2.Actor(user_id="9b2f2f0e-3c7e-4f0f-9f0c-0d6f0a4f3c11", username="admin", role="admin")
COMMON: dict[str, Any] = {"service_token": TOKEN, "metrics_port": 0, "drain_seconds": 2, "rabbitmq_url": "amqp://none"}


class OneTester(DoipEntity):
    """Remembers how many connections it had at most."""

    most = 0

    def _diagnose(self, *given: Any) -> bool:
        self.most = max(self.most, self.connections)
        return super()._diagnose(*given)


@dataclass
class System:
    vehicles: Any
    commands: Any
    entity: OneTester
    start_connector: Callable[[], Awaitable[VehicleConnector]]

    async def vehicle(self) -> vehicle_pb2.Vehicle:
        page = await self.vehicles.ListVehicles(vehicle_pb2.ListVehiclesRequest(limit=10))
        vehicle: vehicle_pb2.Vehicle = page.vehicles[0]
        return vehicle

    async def until_online(self, seconds: float = 20) -> None:
        async def online() -> bool:
            return (await self.vehicle()).connection_status == "online"

        await until_it(online, seconds)

    async def read_dtc(self) -> command_pb2.Command:
        """Completed, sooner or later."""
        submission = command_pb2.Submission(
            command_id=str(uuid4()),
            vehicle_id=(await self.vehicle()).vehicle_id,
            command_name="ReadDTC",
            command_params=json.dumps({"ecuAddress": "0x10"}),
            actor=ADMIN,
        )
        await self.commands.SubmitCommands(command_pb2.SubmitCommandsRequest(submissions=[submission]))
        request = command_pb2.GetCommandRequest(command_id=submission.command_id)

        async def ended() -> bool:
            return bool((await self.commands.GetCommand(request)).completed_at_us)

        await until_it(ended, 60)
        command: command_pb2.Command = await self.commands.GetCommand(request)
        return command


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        entity = OneTester(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript())
        await entity.start("127.0.0.1", 0)
        stack.push_async_callback(entity.stop)
        broker, live = MemoryBroker(), InMemoryLiveEvents()
        stack.push_async_callback(live.close)
        url = f"sqlite:///{tmp_path / 'commands.db'}"
        await upgrade(url, "command_service.storage.migrations", "command_service")
        settings = command_service.settings.Settings(
            **COMMON,
            database_url=url,
            redis_url="redis://none",
            grpc_host="127.0.0.1",
            grpc_port=0,
            # Half of it is more than the watchdog's pause: else that would count as having stood still.
            lease_seconds=4,
            lease_grace_seconds=0.3,
        )
        messaging = MemoryMessaging(broker)
        stack.push_async_callback(messaging.close)
        service = await stack.enter_async_context(
            command_service.composition.compose(settings, messaging=messaging, live_events=live)
        )
        channel = open_channel(f"127.0.0.1:{service.port}", TOKEN)
        stack.push_async_callback(channel.close)

        async def start_connector() -> VehicleConnector:
            connector: VehicleConnector = await stack.enter_async_context(_connector(service.port, stack, broker))
            return connector

        made = System(
            vehicle_pb2_grpc.VehicleServiceStub(channel),
            command_pb2_grpc.CommandServiceStub(channel),
            entity,
            start_connector,
        )
        facts: dict[str, Any] = {"vin": VIN, "make": "M", "model": "E", "year": 2024, "actor": ADMIN}
        await made.vehicles.CreateVehicle(vehicle_pb2.CreateVehicleRequest(**facts, link=link_to(entity)))
        yield made


def link_to(entity: DoipEntity) -> vehicle_pb2.Link:
    return vehicle_pb2.Link(kind="doip", address=f"127.0.0.1:{entity.port}")


def _connector(port: int, stack: AsyncExitStack, broker: MemoryBroker) -> Any:
    messaging = MemoryMessaging(broker)
    stack.push_async_callback(messaging.close)
    settings = vehicle_connector.settings.Settings(
        **COMMON,
        command_service_address=f"127.0.0.1:{port}",
        vehicle_credential_secret=SecretStr("a-vehicle-secret-for-tests"),
        session_host="127.0.0.1",
        session_port=0,
        health_port=0,
        lease_renewal_seconds=0.2,
        reconnect_max_seconds=0.2,
        redial_max_seconds=0.3,
        move_spread_seconds=0.2,
    )
    return vehicle_connector.composition.compose(settings, messaging=messaging)


async def test_when_its_connector_stops_the_other_one_dials(system: System) -> None:
    first = await system.start_connector()
    await system.until_online()
    assert (await system.read_dtc()).status == "completed"
    await system.start_connector()
    await first.stop()
    command = await system.read_dtc()
    assert (command.status, command.attempt) == ("completed", 1)
    assert system.entity.most == 1


async def test_a_new_address_is_dialled_and_a_deleted_vehicle_is_not(system: System) -> None:
    await system.start_connector()
    await system.until_online()
    vehicle = await system.vehicle()
    other = OneTester(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript())
    await other.start("127.0.0.1", 0)
    change = vehicle_pb2.UpdateVehicleRequest(vehicle_id=vehicle.vehicle_id, actor=ADMIN, link=link_to(other))
    await system.vehicles.UpdateVehicle(change)

    async def moved() -> bool:
        return (other.connections, system.entity.connections) == (1, 0)

    await until_it(moved, 20)
    await system.until_online()
    assert (await system.read_dtc()).status == "completed"
    await system.vehicles.DeleteVehicle(vehicle_pb2.DeleteVehicleRequest(vehicle_id=vehicle.vehicle_id, actor=ADMIN))

    async def let_go() -> bool:
        return other.connections == 0

    await until_it(let_go, 20)
    await asyncio.sleep(0.5)
    assert other.connections == 0
    await other.stop()
