"""A command service and a connector with mutual TLS for vehicles, all on real sockets."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
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
from sovd_protos.audit.v1 import audit_pb2, audit_pb2_grpc
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.identity.v1 import identity_pb2 as pb
from sovd_protos.identity.v1 import identity_pb2_grpc
from sovd_protos.session.v1 import session_pb2, session_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc
from tests.support.certificates import CertificateFiles
from tests.support.waiting import until, until_it
from vehicle_connector.composition import VehicleConnector
from vehicle_session.enrolment import VehicleIdentity
from vehicle_session.identity_folder import IdentityFolder
from vehicle_simulator.composition import compose as compose_simulator
from vehicle_simulator.settings import Settings as SimulatorSettings

VIN, OTHER_VIN = "WDD1234567890ABCD", "WDD0987654321ZYXW"
TOKEN = "a-service-token-for-tests-only"
ADMIN = command_pb2.Actor(user_id="9b2f2f0e-3c7e-4f0f-9f0c-0d6f0a4f3c11", username="admin", role="admin")
COMMON: dict[str, Any] = {"service_token": TOKEN, "metrics_port": 0, "drain_seconds": 1, "rabbitmq_url": "amqp://none"}


@dataclass
class System:
    """What a test talks to; `identities` is what the gateway calls."""

    files: CertificateFiles
    directory: Path
    connector: VehicleConnector
    vehicles: Any
    commands: Any
    identities: Any
    audit: Any
    _stack: AsyncExitStack

    async def add_vehicle(self, vin: str = VIN) -> str:
        request = vehicle_pb2.CreateVehicleRequest(vin=vin, make="M", model="E", year=2024, actor=ADMIN)
        return str((await self.vehicles.CreateVehicle(request)).vehicle_id)

    async def vehicle(self, vehicle_id: str) -> vehicle_pb2.Vehicle:
        found: vehicle_pb2.Vehicle = await self.vehicles.GetVehicle(
            vehicle_pb2.GetVehicleRequest(vehicle_id=vehicle_id)
        )
        return found

    async def until_status(self, vehicle_id: str, status: str, seconds: float = 20) -> None:
        async def is_so() -> bool:
            return (await self.vehicle(vehicle_id)).connection_status == status

        await until_it(is_so, seconds)

    async def is_turned_away(self, vehicle_id: str) -> bool:
        return (await self.vehicle(vehicle_id)).HasField("link_problem")

    async def code(self, vehicle_id: str) -> str:
        request = pb.CreateEnrolmentCodeRequest(vehicle_id=vehicle_id, actor=ADMIN)
        return str((await self.identities.CreateEnrolmentCode(request)).code)

    async def certificates(self, vehicle_id: str) -> list[pb.Certificate]:
        return list(
            (await self.identities.ListCertificates(pb.ListCertificatesRequest(vehicle_id=vehicle_id))).certificates
        )

    async def revoke(self, vehicle_id: str, serial: str = "") -> None:
        await self.identities.RevokeCertificates(
            pb.RevokeCertificatesRequest(vehicle_id=vehicle_id, serial=serial, actor=ADMIN)
        )

    async def audited(self, action: str) -> list[tuple[audit_pb2.AuditEntry, dict[str, Any]]]:
        """Entries with their details, newest first."""
        found = await self.audit.ListAudit(audit_pb2.ListAuditRequest(action=action))
        return [(entry, json.loads(entry.details_json)) for entry in found.entries]

    def identity(self, vin: str = VIN) -> VehicleIdentity:
        """The vehicle's own side; its folder is `directory/vin`."""
        folder = IdentityFolder(self.directory / vin, vin)
        folder.trust(self.files.server_ca.read_bytes())
        return VehicleIdentity(
            folder, f"localhost:{self.connector.session_port}", f"localhost:{self.connector.enrolment_port}"
        )

    async def enrolled(self, vehicle_id: str, vin: str = VIN) -> VehicleIdentity:
        identity = self.identity(vin)
        await identity.prepare(await self.code(vehicle_id))
        return identity

    async def start_simulator(self, code: str = "", vin: str = VIN) -> None:
        """As `sovd simulate --identity-dir … --enrolment-code …`, until the test ends."""
        settings = SimulatorSettings(
            vehicles=0,
            vins=(vin,),
            connector_address=f"localhost:{self.connector.session_port}",
            enrolment_address=f"localhost:{self.connector.enrolment_port}",
            identity_dir=self.directory,
            enrolment_code=SecretStr(code),
            grpc_tls_ca_file=self.files.server_ca,
            drain_seconds=1,
        )
        await self._stack.enter_async_context(compose_simulator(settings))

    async def enrol_raw(self, request: pb.EnrolRequest) -> pb.IssuedCertificate:
        """At the connector's enrolment port."""
        credentials = grpc.ssl_channel_credentials(self.files.server_ca.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{self.connector.enrolment_port}", credentials) as channel:
            issued: pb.IssuedCertificate = await identity_pb2_grpc.EnrolmentServiceStub(channel).Enrol(request)
            return issued

    async def read_dtc(self, vehicle_id: str) -> command_pb2.Command:
        submission = command_pb2.Submission(
            command_id=str(uuid4()),
            vehicle_id=vehicle_id,
            command_name="ReadDTC",
            command_params='{"ecuAddress":"0x10"}',
            actor=ADMIN,
        )
        await self.commands.SubmitCommands(command_pb2.SubmitCommandsRequest(submissions=[submission]))
        request = command_pb2.GetCommandRequest(command_id=submission.command_id)

        async def ended() -> bool:
            return bool((await self.commands.GetCommand(request)).completed_at_us)

        await until_it(ended, 30)
        command: command_pb2.Command = await self.commands.GetCommand(request)
        return command


async def hello_from(identity: VehicleIdentity, vin: str) -> session_pb2.ToVehicle:
    """What the connector answers to a vehicle that says this VIN; the session ends with it."""
    channel = identity.connections.open()
    try:
        call = session_pb2_grpc.VehicleSessionServiceStub(channel).OpenSession(None)
        await call.write(session_pb2.FromVehicle(hello=session_pb2.Hello(protocol_version=1, vin=vin)))
        answer = await call.read()
        assert isinstance(answer, session_pb2.ToVehicle), answer
        call.cancel()
        return answer
    finally:
        await identity.connections.release(channel)


Systems = Callable[..., AbstractAsyncContextManager[System]]


@pytest.fixture
def systems(tmp_path: Path) -> Systems:
    """Makes a system with settings of its own for the command service."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[System]:
        async with AsyncExitStack() as stack:
            yield await _start(stack, tmp_path, settings)

    return make


@pytest.fixture
async def system(systems: Systems) -> AsyncIterator[System]:
    async with systems() as made:
        yield made


async def _start(stack: AsyncExitStack, directory: Path, given: dict[str, Any]) -> System:
    files = CertificateFiles.make(directory)
    broker, live = MemoryBroker(), InMemoryLiveEvents()
    stack.push_async_callback(live.close)
    url = f"sqlite:///{directory / 'commands.db'}"
    await upgrade(url, "command_service.storage.migrations", "command_service")
    settings = command_service.settings.Settings(
        **COMMON,
        **{"vehicle_ca_cert_file": files.vehicle_ca, "vehicle_ca_key_file": files.vehicle_ca_key, **given},
        database_url=url,
        redis_url="redis://none",
        grpc_host="127.0.0.1",
        grpc_port=0,
    )
    service = await stack.enter_async_context(
        command_service.composition.compose(settings, messaging=_messaging(stack, broker), live_events=live)
    )
    connector = await stack.enter_async_context(_connector(service.port, files, _messaging(stack, broker)))
    await until(lambda: connector.ready)
    channel = open_channel(f"127.0.0.1:{service.port}", TOKEN)
    stack.push_async_callback(channel.close)
    vehicles = await stack.enter_async_context(AsyncExitStack())  # they leave first
    return System(
        files,
        directory,
        connector,
        vehicle_pb2_grpc.VehicleServiceStub(channel),
        command_pb2_grpc.CommandServiceStub(channel),
        identity_pb2_grpc.IdentityServiceStub(channel),
        audit_pb2_grpc.AuditServiceStub(channel),
        vehicles,
    )


def _messaging(stack: AsyncExitStack, broker: MemoryBroker) -> MemoryMessaging:
    messaging = MemoryMessaging(broker)
    stack.push_async_callback(messaging.close)
    return messaging


def _connector(
    port: int, files: CertificateFiles, messaging: MemoryMessaging
) -> AbstractAsyncContextManager[VehicleConnector]:
    settings = vehicle_connector.settings.Settings(
        **COMMON,
        environment="production",
        command_service_address=f"127.0.0.1:{port}",
        session_host="127.0.0.1",
        session_port=0,
        enrolment_port=0,
        health_port=0,
        vehicle_tls_cert_file=files.server_cert,
        vehicle_tls_key_file=files.server_key,
        vehicle_ca_file=files.vehicle_ca,
        lease_renewal_seconds=0.2,
        heartbeat_interval_seconds=0.1,
        reconnect_max_seconds=0.2,
        move_spread_seconds=0.1,
    )
    return vehicle_connector.composition.compose(settings, messaging=messaging)
