"""The memory of what only waits: WebSockets in the gateway, vehicle sessions in the connector."""

import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from command_service.domain.vehicle import LinkKind, Vehicle
from command_service.vehicle_ca import VehicleCa
from sovd_protos.session.v1.session_pb2 import Execute
from tests.bench.processes import resident_bytes
from tests.support.certificates import CertificateFiles, certificate_request
from tests.support.local_servers import free_port
from tests.support.system import ADMIN, ManagedProcess, System
from tests.support.waiting import until
from tests.unit.vehicle_connector.fake_command_service import SERVICE_TOKEN, FakeCommandService
from vehicle_agent.executor import LinkExecutor
from vehicle_session.connections import Connections
from vehicle_session.hand_overs import HandOvers
from vehicle_session.session_client import Identity, ReconnectPolicy, SessionClient
from vehicle_simulator.vins import fleet_vins

_SEED = 99
_SETTLED_SECONDS = 3.0
MOST_MEGABYTES = 400
"""What a connector may take for 5,000 idle vehicles, all in all."""


def measure_idle_websockets(system: System, count: int) -> float:
    """Bytes that the gateway holds for each of `count` open WebSockets that nothing happens on."""
    return asyncio.run(_idle_websockets(system, count))


async def _idle_websockets(system: System, count: int) -> float:
    token, gateway = system.token(ADMIN), system.processes["gateway"].pid
    before = resident_bytes(gateway)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(system.url, connector=connector) as session:
        sockets = []
        for _ in range(0, count, 50):
            opening = (session.ws_connect(f"/ws/events?token={token}", compress=0) for _ in range(50))
            sockets += await asyncio.gather(*opening)
        await asyncio.sleep(_SETTLED_SECONDS)
        after = resident_bytes(gateway)
        for socket in sockets:
            await socket.close()
    return (after - before) / len(sockets)


@dataclass(frozen=True)
class IdleVehicles:
    """Bytes that the connector holds for each, and all that it takes with all its vehicles."""

    bytes_each: float
    resident_bytes: int
    vehicles: int


def measure_idle_vehicles(system: System, count: int) -> IdleVehicles:
    """With `count` further vehicles, each with a connection of its own, as agents have."""
    connector = system.processes["vehicle_connector"].pid
    first = system.processes["vehicle_simulator"]
    fleet = ManagedProcess(
        "idle_vehicles",
        "vehicle_simulator",
        {**first.environment, "SEED": str(_SEED), "VEHICLES": str(count)},
        system.directory / "idle_vehicles.log",
    )
    with system.client() as client:
        for vin in fleet_vins(count, _SEED):
            body = {"vin": vin, "make": "Mercedes", "model": "Idle", "year": 2024}
            client.post("/api/v1/vehicles", json=body).raise_for_status()
        before = resident_bytes(connector)
        fleet.start()
        try:
            system.wait_for_vehicles(client, system.vehicles + count, 300)
            time.sleep(_SETTLED_SECONDS)
            after = resident_bytes(connector)
            return IdleVehicles((after - before) / count, after, system.vehicles + count)
        finally:
            fleet.terminate()


def measure_idle_certified_vehicles(count: int) -> IdleVehicles:
    """The same where vehicles are known by certificates: each has a connection of mutual TLS."""
    with tempfile.TemporaryDirectory(prefix="sovd-bench-") as directory:
        return asyncio.run(_idle_certified_vehicles(Path(directory), count))


async def _idle_certified_vehicles(directory: Path, count: int) -> IdleVehicles:
    files, service, port = CertificateFiles.make(directory), FakeCommandService(), free_port()
    environment = {
        "COMMAND_SERVICE_ADDRESS": await service.start(),
        "SERVICE_TOKEN": SERVICE_TOKEN,
        "RABBITMQ_URL": "amqp://127.0.0.1:1/",
        "SESSION_PORT": str(port),
        "ENROLMENT_PORT": "0",
        "HEALTH_PORT": "0",
        "METRICS_PORT": "0",
        "VEHICLE_TLS_CERT_FILE": str(files.server_cert),
        "VEHICLE_TLS_KEY_FILE": str(files.server_key),
        "VEHICLE_CA_FILE": str(files.vehicle_ca),
    }
    output = directory / "connector.log"
    connector = ManagedProcess("vehicle_connector", "vehicle_connector", environment, output)
    connector.start()
    try:
        await until(lambda: service.registrations, 60)
        before = resident_bytes(connector.pid)
        sessions = _sessions(files, f"localhost:{port}", count)
        for session in sessions:
            session.start()
        await asyncio.wait_for(asyncio.gather(*(session.connected.wait() for session in sessions)), 300)
        await asyncio.sleep(_SETTLED_SECONDS)
        after = resident_bytes(connector.pid)
        await asyncio.gather(*(session.stop() for session in sessions))
        return IdleVehicles((after - before) / count, after, count)
    finally:
        connector.kill()
        await service.stop()


def _sessions(files: CertificateFiles, address: str, count: int) -> list[SessionClient]:
    authority, trusted = VehicleCa.load(files.vehicle_ca, files.vehicle_ca_key), files.server_ca.read_bytes()
    key, now, gate = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC), asyncio.Semaphore(32)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(*form)
    sessions = []
    for vin in fleet_vins(count, _SEED):
        vehicle = Vehicle(vin, vin, "Mercedes", "Idle", 2024, LinkKind.SESSION, "", now)
        chain = authority.issue(certificate_request(vin, key), vehicle, now, days=1).chain
        connections = Connections(address)
        connections.present(grpc.ssl_channel_credentials(trusted, private, chain.encode()))
        sessions.append(
            SessionClient(Identity(vin, ""), LinkExecutor(vin), _NoHandOvers(), connections, gate, ReconnectPolicy())
        )
    return sessions


class _NoHandOvers(HandOvers):
    """Of vehicles that stay idle."""

    def admit(self, vin: str, commands: Sequence[Execute]) -> list[bool]:
        raise AssertionError(f"{vin} was handed {len(commands)} commands")


def allow_many_connections(count: int) -> None:
    """File descriptors for this process and those that it starts: a socket for each connection. Raises ValueError where
    the system's hard limit (ulimit -Hn) is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(f"{count} connections need a limit of {wanted} open files (ulimit -Hn), here it is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
