"""Wires the command service: the only file that names its concrete adapters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.connector_api import ConnectorApi
from command_service.connector_control import MessagingConnectorControl
from command_service.demo_data import create_demo_vehicles
from command_service.dispatch import Dispatcher, WokenVehicles
from command_service.folding import keep_folding
from command_service.grpc_api import AuditApi, CommandApi, VehicleApi
from command_service.identity_api import IdentityApi
from command_service.live_announcer import LiveAnnouncer
from command_service.reports_api import ReportApi
from command_service.settings import Settings
from command_service.storage import SCHEMA, SqlStorage, is_migrated
from command_service.use_cases.assign_vehicles import AssignVehicles
from command_service.use_cases.audit_trail import AuditTrail
from command_service.use_cases.cancel_command import CancelCommand
from command_service.use_cases.claim_commands import ClaimCommands
from command_service.use_cases.count_commands import CountCommands
from command_service.use_cases.dispatch_commands import DispatchCommands
from command_service.use_cases.fault_memory import ReadFaultMemory
from command_service.use_cases.find_preconditions import FindPreconditions
from command_service.use_cases.lock_vehicles import LockVehicles
from command_service.use_cases.manage_vehicles import ManageVehicles
from command_service.use_cases.read_commands import ReadCommands
from command_service.use_cases.record_results import RecordResults
from command_service.use_cases.recover_commands import RecoverCommands
from command_service.use_cases.submit_commands import SubmitCommands
from command_service.use_cases.summary import FoldEndedCommands, Summarise
from command_service.use_cases.unreached_vehicles import UnreachedVehicles
from command_service.use_cases.vehicle_identities import VehicleIdentities
from command_service.use_cases.vehicle_sessions import VehicleSessions
from command_service.watchdog import Watchdog, keep_clean, keep_sealing
from service_kit.backoff import Backoff
from service_kit.database import cause_of, open_engine
from service_kit.errors import Unavailable
from service_kit.grpc_server import create_server
from service_kit.lifecycle import Lifecycle
from service_kit.live_events.port import LiveEvents
from service_kit.live_events.redis import RedisLiveEvents
from service_kit.logging import get_logger
from service_kit.messaging.port import Messaging
from service_kit.messaging.rabbitmq import RabbitMessaging
from sovd_protos.audit.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from sovd_protos.command.v1.command_pb2_grpc import add_CommandServiceServicer_to_server
from sovd_protos.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from sovd_protos.identity.v1.identity_pb2_grpc import add_IdentityServiceServicer_to_server
from sovd_protos.reports.v1.reports_pb2_grpc import add_ReportServiceServicer_to_server
from sovd_protos.vehicle.v1.vehicle_pb2_grpc import add_VehicleServiceServicer_to_server

_log = get_logger(__name__)

_GRPC_GRACE_SECONDS = 2.0
_PROBE_SECONDS = 2.0


class CommandService(Lifecycle):
    """The running service; `port` is where its gRPC server listens."""

    port: int = 0


@dataclass(frozen=True, slots=True)
class _Parts:
    commands: CommandApi
    vehicles: ManageVehicles
    locks: LockVehicles
    identities: IdentityApi
    audit: AuditTrail
    reports: ReportApi
    connectors: ConnectorApi
    dispatcher: Dispatcher
    control: MessagingConnectorControl
    watchdog: Watchdog


@asynccontextmanager
async def compose(
    settings: Settings, *, messaging: Messaging | None = None, live_events: LiveEvents | None = None
) -> AsyncIterator[CommandService]:
    """The service, started; messaging and live events are RabbitMQ and Redis unless given (then the giver closes
    them). It starts without its database, broker or Redis, and is ready when the database is."""
    async with CommandService("command_service", settings.drain_seconds) as service:
        engine = open_engine(settings.database_url, SCHEMA, application_name="command_service")
        service.on_close(engine.dispose)
        if messaging is None:
            messaging = RabbitMessaging(settings.rabbitmq_url)
            service.on_close(messaging.close)
        if live_events is None:
            live_events = RedisLiveEvents(settings.redis_url)
            service.on_close(live_events.close)
        storage = SqlStorage(engine)
        announcer = LiveAnnouncer(live_events)
        parts = _build(settings, storage, messaging, announcer)

        server, service.port = create_server(
            settings.service_token.get_secret_value(),
            port_address=f"{settings.grpc_host}:{settings.grpc_port}",
            previous_tokens=[token.get_secret_value() for token in settings.service_previous_tokens],
            lifecycle=service,
            tls=settings.grpc_tls,
        )
        add_CommandServiceServicer_to_server(parts.commands, server)
        add_VehicleServiceServicer_to_server(VehicleApi(parts.vehicles, parts.locks), server)
        add_IdentityServiceServicer_to_server(parts.identities, server)
        add_AuditServiceServicer_to_server(AuditApi(parts.audit), server)
        add_ReportServiceServicer_to_server(parts.reports, server)
        add_ConnectorServiceServicer_to_server(parts.connectors, server)
        await server.start()

        async def stop_server() -> None:
            await server.stop(_GRPC_GRACE_SECONDS)

        service.on_stop_intake(stop_server)
        service.on_drain(parts.connectors.drain)
        service.on_drain(parts.dispatcher.drain)
        service.on_drain(parts.control.drain)
        service.on_drain(announcer.drain)
        service.background(_start_when_migrated(service, settings, engine, storage, parts), "database")
        yield service


def _build(settings: Settings, storage: SqlStorage, messaging: Messaging, announcer: LiveAnnouncer) -> _Parts:
    limits, woken, assign = settings.limits(), WokenVehicles(), AssignVehicles(storage)
    control = MessagingConnectorControl(messaging)
    sessions = VehicleSessions(storage, limits, control, announcer, woken)
    rules = settings.preconditions()
    dispatch = DispatchCommands(storage, announcer, woken)
    dispatcher = Dispatcher(dispatch, FindPreconditions(storage, rules), storage, woken, messaging)
    return _Parts(
        commands=CommandApi(
            SubmitCommands(storage, limits, announcer, woken, dispatcher),
            CancelCommand(storage, control, announcer, woken),
            ReadCommands(storage),
            rules,
        ),
        vehicles=ManageVehicles(storage, control, announcer, woken),
        locks=LockVehicles(storage, limits, announcer, woken),
        identities=IdentityApi(
            VehicleIdentities(storage, settings.vehicle_ca(), settings.identity_rules(), control, announcer, woken)
        ),
        audit=AuditTrail(storage),
        reports=ReportApi(ReadFaultMemory(storage), Summarise(storage), CountCommands(storage)),
        connectors=ConnectorApi(
            ClaimCommands(storage, announcer, woken),
            RecordResults(storage, limits, announcer, woken),
            sessions,
            assign,
            UnreachedVehicles(storage, announcer, woken),
            limits,
        ),
        dispatcher=dispatcher,
        control=control,
        watchdog=Watchdog(RecoverCommands(storage, limits, control, announcer, woken), assign, dispatcher, limits),
    )


async def _start_when_migrated(
    service: CommandService, settings: Settings, engine: AsyncEngine, storage: SqlStorage, parts: _Parts
) -> None:
    """Background work starts once the database is there with its schema; from then on readiness follows it."""
    await _wait_for_database(engine, storage, parts.vehicles if settings.demo_data else None)
    service.background(parts.dispatcher.run(), "dispatcher")
    service.background(parts.watchdog.run(), "watchdog")
    service.background(keep_sealing(parts.audit), "audit sealer")
    service.background(keep_folding(FoldEndedCommands(storage)), "counts of ended commands")
    service.background(keep_clean(storage, settings.response_retention_days), "clean-up")
    while True:
        service.set_ready(await _answers(storage))
        await asyncio.sleep(_PROBE_SECONDS)


async def _answers(storage: SqlStorage) -> bool:
    try:
        async with storage.reading() as uow:
            await uow.clock()
    except Unavailable:
        return False
    return True


async def _wait_for_database(engine: AsyncEngine, storage: SqlStorage, demo_vehicles: ManageVehicles | None) -> None:
    backoff = Backoff(0.2, 10.0)
    while (reason := await _try_to_prepare(engine, storage, demo_vehicles)) is not None:
        pause = backoff.pause()
        _log.warning("waiting_for_the_database", reason=reason, retry_in_seconds=round(pause, 2))
        await asyncio.sleep(pause)


async def _try_to_prepare(engine: AsyncEngine, storage: SqlStorage, demo_vehicles: ManageVehicles | None) -> str | None:
    """None when the database can be worked with, else why not yet."""
    try:
        if not await is_migrated(engine):
            return "its schema is not there or not up to date; run: sovd migrate command-service"
        if demo_vehicles is not None:
            await create_demo_vehicles(demo_vehicles)
        # Its statements take long to compile: now, while nobody waits for a dashboard.
        await Summarise(storage)(hours=1)
    except Unavailable as error:
        return f"{error.message} ({cause_of(error)})"
    return None
