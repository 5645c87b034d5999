"""Wires the vehicle connector: the only file that names its concrete adapters."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import grpc

from service_kit.grpc_channel import open_channel
from service_kit.grpc_server import create_server
from service_kit.grpc_tls import GrpcTls
from service_kit.lifecycle import Lifecycle
from service_kit.logging import get_logger
from service_kit.messaging.port import Messaging
from service_kit.messaging.rabbitmq import RabbitMessaging
from sovd_protos.identity.v1.identity_pb2_grpc import (
    add_EnrolmentServiceServicer_to_server,
    add_RenewalServiceServicer_to_server,
)
from vehicle_connector import metrics
from vehicle_connector.command_service_stream import CommandServiceStream
from vehicle_connector.dialled_vehicles import DialledVehicles
from vehicle_connector.dispatcher import Dispatcher
from vehicle_connector.executor import Executor, Limits
from vehicle_connector.holder import HeldHere
from vehicle_connector.lease import Lease
from vehicle_connector.session_link.identity import (
    ENROLMENT_SERVICE,
    RENEWAL_SERVICE,
    EnrolmentServer,
    IdentityService,
    RenewalServer,
)
from vehicle_connector.session_link.server import SERVICE, SessionRules, SessionServer
from vehicle_connector.sessions import Sessions
from vehicle_connector.settings import Settings
from vehicle_links.doip.identification import listen
from vehicle_links.settings import DIALLERS

_log = get_logger(__name__)

# Sessions last for days; this is the most that gRPC takes.
_NO_CONNECTION_AGE_SECONDS = (2**31 - 1) / 1000
_GRPC_GRACE_SECONDS = 1.0
# gRPC keeps a buffer of that size for each connection that it encrypts, 16 KiB by default: of what goes to a vehicle,
# hardly anything fills it.
_TLS_RECORD_BYTES = 1024
# Whoever can reach the port may send it that much.
_MAX_ENROLMENT_BYTES = 64 * 1024
_PROBE_SECONDS = 0.1
_BROKER_PROBES = 20
# How long a stopping connector waits for the answers to its claims.
_CLAIM_SECONDS = 2.0


class VehicleConnector(Lifecycle):
    """The running service; `session_port` is where vehicles dial in, with mutual TLS `enrolment_port` for those without
    a certificate; `health_port` tells health, in plain text."""

    connector_id: str = ""
    session_port: int = 0
    enrolment_port: int = 0
    health_port: int = 0


@dataclass(frozen=True, slots=True)
class _Parts:
    messaging: Messaging
    identities: IdentityService
    stream: CommandServiceStream
    executor: Executor
    sessions: Sessions
    dialled: DialledVehicles
    dispatcher: Dispatcher


@asynccontextmanager
async def compose(settings: Settings, *, messaging: Messaging | None = None) -> AsyncIterator[VehicleConnector]:
    """The service, started; messaging is RabbitMQ unless given (then the giver closes it). It starts without broker
    and command service, and is ready while it is attached to the latter."""
    async with VehicleConnector("vehicle_connector", settings.drain_seconds) as connector:
        connector.connector_id = _new_connector_id()
        if messaging is None:
            messaging = RabbitMessaging(settings.rabbitmq_url)
            connector.on_close(messaging.close)
        parts = _build(settings, connector, messaging)
        await _serve_vehicles(settings, connector, parts)
        await _tell_health(settings, connector)
        await _hear_announcements(settings, connector, parts)
        _stop_with(connector, parts, settings)
        connector.background(
            _stay_attached(connector, parts, _held_here(settings, connector, parts), settings.prefetch), "attachment"
        )
        connector.background(parts.sessions.watch_heartbeats(), "heartbeats")
        connector.background(parts.dialled.fence(), "fence")
        yield connector


def _build(settings: Settings, connector: VehicleConnector, messaging: Messaging) -> _Parts:
    channel = open_channel(
        settings.command_service_address, settings.service_token.get_secret_value(), tls=settings.grpc_tls
    )

    async def close_channel() -> None:
        await channel.close(None)

    connector.on_close(close_channel)
    lease = Lease()
    stream = CommandServiceStream(
        channel,
        lease,
        renew_seconds=settings.lease_renewal_seconds,
        reconnect_max_seconds=settings.reconnect_max_seconds,
    )
    limits = Limits(settings.result_window, settings.evidence_seconds, settings.suspended_seconds)
    executor = Executor(lease, limits, stream.send)
    sessions = Sessions(executor, stream, heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds)
    diallers = {kind: dialler(settings) for kind, dialler in DIALLERS.items()}
    dialled = DialledVehicles(
        diallers, sessions, stream, executor, lease, redial_max_seconds=settings.redial_max_seconds
    )
    dispatcher = Dispatcher(messaging, stream, executor, sessions.supersede)
    return _Parts(messaging, IdentityService(channel), stream, executor, sessions, dialled, dispatcher)


async def _hear_announcements(settings: Settings, connector: VehicleConnector, parts: _Parts) -> None:
    if settings.doip_announcement_port:
        end = await listen(settings.doip_announcement_port, lambda entity: parts.dialled.announced(entity.vin))

        async def stop_listening() -> None:
            end()

        connector.on_stop_intake(stop_listening)


async def _serve_vehicles(settings: Settings, connector: VehicleConnector, parts: _Parts) -> None:
    vehicle_tls = settings.vehicle_tls
    server, connector.session_port = create_server(
        settings.service_token.get_secret_value(),
        port_address=f"{settings.listening_host}:{settings.session_port}",
        lifecycle=connector,
        open_methods=[f"/{SERVICE}/", f"/{RENEWAL_SERVICE}/"],  # who calls is a vehicle, not a service
        tls=vehicle_tls,
        client_certificates=vehicle_tls is not None,
        max_connection_age_s=_NO_CONNECTION_AGE_SECONDS,
        options=[("grpc.tsi.max_frame_size", _TLS_RECORD_BYTES)],
    )
    secret = settings.vehicle_credential_secret
    rules = SessionRules(
        connector.connector_id,
        secret.get_secret_value() if secret else "",
        settings.heartbeat_interval_seconds,
        settings.result_window,
    )
    identities = parts.identities if vehicle_tls else None
    SessionServer(rules, parts.stream, parts.executor, parts.sessions, identities).add_to(server)
    if vehicle_tls is not None:
        add_RenewalServiceServicer_to_server(RenewalServer(parts.identities), server)
        await _serve_enrolment(settings, connector, parts.identities, vehicle_tls)
    await _start(server, connector)


async def _serve_enrolment(
    settings: Settings, connector: VehicleConnector, identities: IdentityService, tls: GrpcTls
) -> None:
    enrolment, connector.enrolment_port = create_server(
        settings.service_token.get_secret_value(),
        port_address=f"{settings.listening_host}:{settings.enrolment_port}",
        lifecycle=connector,
        open_methods=[f"/{ENROLMENT_SERVICE}/"],
        tls=tls,
        client_certificates=False,
        options=[("grpc.max_receive_message_length", _MAX_ENROLMENT_BYTES)],
    )
    add_EnrolmentServiceServicer_to_server(EnrolmentServer(identities), enrolment)
    await _start(enrolment, connector)


async def _tell_health(settings: Settings, connector: VehicleConnector) -> None:
    """To whoever looks after this service: no vehicle, and as a rule not on this machine."""
    host = settings.health_host or settings.listening_host
    health, connector.health_port = create_server(
        settings.service_token.get_secret_value(), port_address=f"{host}:{settings.health_port}", lifecycle=connector
    )
    await _start(health, connector)


async def _start(server: grpc.aio.Server, connector: VehicleConnector) -> None:
    await server.start()

    async def stop_server() -> None:
        await server.stop(_GRPC_GRACE_SECONDS)

    connector.on_close(stop_server)


def _held_here(settings: Settings, connector: VehicleConnector, parts: _Parts) -> HeldHere:
    address = settings.advertised_address or f"{socket.gethostname()}:{connector.session_port}"
    return HeldHere(connector.connector_id, address, parts.executor, parts.sessions, parts.dialled, connector.set_ready)


def _stop_with(connector: VehicleConnector, parts: _Parts, settings: Settings) -> None:
    metrics.watch(parts.sessions, parts.executor, parts.stream)

    async def stop_intake() -> None:
        parts.sessions.draining = True
        parts.executor.stop_handing_over()
        parts.stream.announce_draining()
        stopping = asyncio.create_task(parts.dispatcher.stop_commands())
        await asyncio.wait([stopping], timeout=_CLAIM_SECONDS if parts.stream.attached else 0)
        parts.stream.abandon_claims()
        await stopping

    async def move_vehicles() -> None:
        await parts.sessions.move_away(min(settings.move_spread_seconds, settings.drain_seconds / 4))

    async def flush_results() -> None:
        await parts.stream.flushed()
        await parts.executor.settled()

    async def close() -> None:
        await parts.dispatcher.stop_control()
        metrics.unwatch()

    connector.on_stop_intake(stop_intake)
    connector.on_drain(move_vehicles)
    connector.on_drain(parts.dialled.close)
    connector.on_drain(flush_results)
    connector.on_close(close)


async def _stay_attached(connector: VehicleConnector, parts: _Parts, held: HeldHere, prefetch: int) -> None:
    await parts.dispatcher.start(connector.connector_id, prefetch)
    # What is dispatched before there is a queue is unroutable. But a broker that is away is no reason not to attach:
    # vehicles may hold results.
    for _ in range(_BROKER_PROBES):
        if parts.messaging.connected:
            break
        await asyncio.sleep(_PROBE_SECONDS)
    await parts.stream.run(held)


def _new_connector_id() -> str:
    """New at each start: what an earlier process of this host was granted is not this one's."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
    return f"{host}-{uuid4().hex}"
