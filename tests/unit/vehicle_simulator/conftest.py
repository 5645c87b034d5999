"""A fake connector and vehicles that dial it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from service_kit.grpc_tls import GrpcTls
from tests.unit.vehicle_simulator.fake_connector import FakeConnector
from vehicle_session.connections import Connections
from vehicle_session.session_client import ReconnectPolicy
from vehicle_simulator.ecus import VehicleSpec
from vehicle_simulator.faults import FaultScript, parse_faults
from vehicle_simulator.fleet import Fleet, demo_fleet
from vehicle_simulator.ledger import ExecutionLedger

SECRET = "a secret of at least sixteen"
QUICK = ReconnectPolicy(first_seconds=0.02, most_seconds=0.1, refused_seconds=0.05, hello_seconds=5)


@pytest.fixture
async def connector() -> AsyncIterator[FakeConnector]:
    fake = FakeConnector()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@asynccontextmanager
async def running_fleet(
    connector: FakeConnector,
    *,
    faults: str = "",
    ledger: Path | None = None,
    specs: list[VehicleSpec] | None = None,
    shared: bool = False,
    latency_s: float = 0.0,
    address: str = "",
    tls: GrpcTls | None = None,
) -> AsyncIterator[Fleet]:
    """Vehicles (default: the first demo vehicle) that dial the connector."""
    connections = Connections(address or connector.address, shared=shared)
    if tls is not None:
        connections.present(tls.channel_credentials())
    fleet = Fleet(
        specs or demo_fleet()[:1],
        connections,
        ExecutionLedger(ledger),
        credential_secret=SECRET,
        faults=FaultScript(parse_faults(faults)),
        latency_s=latency_s,
        policy=QUICK,
    )
    for vin in fleet.vehicles:
        fleet.start_vehicle(vin)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(fleet.close)
        yield fleet


@pytest.fixture
async def fleet(connector: FakeConnector, ledger_file: Path) -> AsyncIterator[Fleet]:
    """The first demo vehicle, without faults, with a ledger."""
    async with running_fleet(connector, ledger=ledger_file) as running:
        yield running
