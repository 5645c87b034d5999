"""Builds a fleet from settings: the only place that names what it is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from service_kit.lifecycle import Lifecycle
from service_kit.logging import get_logger
from vehicle_session.connections import Connections
from vehicle_session.enrolment import VehicleIdentity
from vehicle_session.identity_folder import IdentityFolder
from vehicle_session.session_client import ReconnectPolicy
from vehicle_simulator.ecus import VehicleSpec
from vehicle_simulator.faults import FaultScript
from vehicle_simulator.fleet import DoipPorts, Fleet, demo_fleet, simulated_fleet
from vehicle_simulator.ledger import ExecutionLedger
from vehicle_simulator.settings import Settings
from vehicle_simulator.sovd.server import SovdServer

_log = get_logger(__name__)

NAME = "vehicle_simulator"


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Lifecycle]:
    """The running simulator."""
    async with Lifecycle(NAME, settings.drain_seconds) as lifecycle:
        fleet = build_fleet(settings)
        lifecycle.on_drain(fleet.close)
        for vin, identity in fleet.identities.items():
            await identity.prepare(settings.enrolment_code.get_secret_value())
            reconnect = partial(fleet[vin].session.drop_connection, 0)
            lifecycle.background(identity.keep_renewed(reconnect), "certificate")
        if settings.sovd_port is not None:
            serve_sovd(settings, fleet, lifecycle)
        lifecycle.background(fleet.run(), "fleet")
        lifecycle.set_ready(True)
        yield lifecycle


def serve_sovd(settings: Settings, fleet: Fleet, lifecycle: Lifecycle) -> SovdServer:
    """The fleet's vehicles as SOVD servers, until the lifecycle stops."""
    server = SovdServer(
        {vin: vehicle.model for vin, vehicle in fleet.vehicles.items()},
        fleet.ledger,
        fleet.faults,
        host=settings.sovd_host,
        port=settings.sovd_port or 0,
        latency_s=settings.answer_latency_ms / 1000,
    )
    lifecycle.on_stop_intake(server.close)
    lifecycle.background(server.serve(), "sovd")
    _log.info("sovd_serving", port=server.port, vehicles=len(fleet.vehicles))
    return server


def build_fleet(settings: Settings, policy: ReconnectPolicy | None = None) -> Fleet:
    """The fleet, not yet running: for tests and benches that script its faults."""
    specs, secret = vehicle_specs(settings), settings.vehicle_credential_secret
    return Fleet(
        specs,
        Connections(settings.connector_address, shared=settings.shared_connection),
        ExecutionLedger(settings.ledger_file, fsync=settings.ledger_fsync),
        credential_secret=secret.get_secret_value() if secret else "",
        faults=FaultScript(settings.faults),
        latency_s=settings.answer_latency_ms / 1000,
        policy=policy,
        hellos_at_once=settings.hellos_at_once,
        doip=_doip_ports(settings),
        dial_in=settings.dial_in,
        identities=_identities(settings, [spec.vin for spec in specs]),
    )


def _identities(settings: Settings, vins: list[str]) -> dict[str, VehicleIdentity]:
    identities: dict[str, VehicleIdentity] = {}
    if settings.identity_dir is None:
        return identities
    for vin in vins:
        folder = IdentityFolder(settings.identity_dir / vin, vin)
        if settings.grpc_tls_ca_file:
            folder.trust(settings.grpc_tls_ca_file.read_bytes())
        identities[vin] = VehicleIdentity(folder, settings.connector_address, settings.enrolment_address)
    return identities


def _doip_ports(settings: Settings) -> DoipPorts | None:
    if settings.doip_port is None:
        return None
    host, _, port = settings.doip_announce_to.rpartition(":")
    return DoipPorts(settings.doip_host, settings.doip_port, (host, int(port)) if host else None)


def vehicle_specs(settings: Settings) -> list[VehicleSpec]:
    """The fleet's vehicles, in the order of their DoIP ports."""
    demo = demo_fleet() if settings.demo_data else []
    named = [VehicleSpec(vin, "Simulated", "Vehicle") for vin in settings.vins]
    fleet = [*demo, *named, *simulated_fleet(settings.vehicles, settings.seed)]
    return [replace(spec, drives=spec.vin in settings.driving_vehicles) for spec in fleet]
