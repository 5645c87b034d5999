"""Builds the gateway: the only file that names concrete adapters."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc.aio
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.app import create_asgi
from gateway.app_state import AppState
from gateway.audit_trail import AuditTrail
from gateway.bootstrap import create_first_users
from gateway.command_client import CommandClient
from gateway.health import Health
from gateway.live_updates import LiveUpdates
from gateway.logins import Logins
from gateway.own_profile import OwnProfile
from gateway.passwords import Passwords
from gateway.rate_limits import RateLimits, SharedCounter
from gateway.server import HttpServer
from gateway.session_guard import SessionGuard
from gateway.settings import GatewaySettings, rate
from gateway.storage import is_migrated
from gateway.storage.own_sessions import OwnSessions
from gateway.storage.repositories import AuditOutbox, LoginSessions, Users, ping
from gateway.storage.tables import SCHEMA
from gateway.storage.user_directory import UserDirectory
from gateway.tokens import AccessTokens
from gateway.user_accounts import UserAccounts
from service_kit.database import cause_of, open_engine
from service_kit.errors import ServiceError
from service_kit.grpc_channel import open_channel
from service_kit.lifecycle import Lifecycle
from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.live_events.port import LiveEvents
from service_kit.live_events.redis import RedisLiveEvents
from service_kit.logging import get_logger
from sovd_protos.audit.v1.audit_pb2_grpc import AuditServiceStub
from sovd_protos.identity.v1.identity_pb2_grpc import IdentityServiceStub
from sovd_protos.reports.v1.reports_pb2_grpc import ReportServiceStub
from sovd_protos.vehicle.v1.vehicle_pb2_grpc import VehicleServiceStub

# As REDIS_URL: see settings.py.
IN_MEMORY = "memory://"
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.2, 5.0

log = get_logger(__name__)


class Gateway(Lifecycle):
    """The running service."""

    port: int
    state: AppState


@asynccontextmanager
async def compose(settings: GatewaySettings, *, live_events: LiveEvents | None = None) -> AsyncIterator[Gateway]:
    """The gateway, listening. It becomes ready by itself once its database is there and migrated."""
    async with Gateway("gateway", settings.drain_seconds) as gateway:
        engine = open_engine(settings.database_url, SCHEMA)
        gateway.on_close(engine.dispose)
        passwords = Passwords()
        gateway.on_close(passwords.close)
        live_events = live_events or _open_live_events(gateway, settings.redis_url)
        gateway.state = _build_state(settings, gateway, engine, live_events, passwords)
        # Bound before anything runs: a port that is taken ends the start here.
        server = HttpServer(create_asgi(gateway.state), settings)
        gateway.port = server.port
        _run_parts(gateway, engine, passwords)
        _serve(gateway, server)
        yield gateway


def _build_state(
    settings: GatewaySettings,
    gateway: Lifecycle,
    engine: AsyncEngine,
    live_events: LiveEvents,
    passwords: Passwords,
) -> AppState:
    channel = _open_channel(gateway, settings)
    command_client = CommandClient(channel)
    access_tokens = AccessTokens(settings.jwt_secrets, settings.access_token_seconds)
    users, sessions, guard = _open_accounts(engine, live_events)
    audit = AuditTrail(AuditOutbox(engine), channel)
    return AppState(
        settings=settings,
        lifecycle=gateway,
        channel=channel,
        live_events=live_events,
        vehicles=VehicleServiceStub(channel),
        identities=IdentityServiceStub(channel),
        audit_service=AuditServiceStub(channel),
        reports=ReportServiceStub(channel),
        command_client=command_client,
        live_updates=LiveUpdates(live_events, command_client.read_updates),
        access_tokens=access_tokens,
        users=users,
        accounts=UserAccounts(
            users=users, directory=UserDirectory(engine), passwords=passwords, guard=guard, audit=audit
        ),
        profile=OwnProfile(users=users, sessions=OwnSessions(engine), passwords=passwords, guard=guard, audit=audit),
        logins=Logins(
            users=users,
            sessions=sessions,
            passwords=passwords,
            access_tokens=access_tokens,
            guard=guard,
            audit=audit,
            session_seconds=settings.refresh_token_seconds,
        ),
        sessions=guard,
        rate_limits=_open_rate_limits(gateway, settings),
        audit=audit,
        health=_build_health(gateway, engine, live_events, channel),
    )


def _open_channel(gateway: Lifecycle, settings: GatewaySettings) -> grpc.aio.Channel:
    token = settings.service_token.get_secret_value()
    channel = open_channel(settings.command_service_address, token, tls=settings.grpc_tls)
    gateway.on_close(lambda: channel.close(None))
    return channel


def _open_live_events(gateway: Lifecycle, redis_url: str) -> LiveEvents:
    live_events = InMemoryLiveEvents() if redis_url == IN_MEMORY else RedisLiveEvents(redis_url)
    gateway.on_close(live_events.close)
    return live_events


def _open_rate_limits(gateway: Lifecycle, settings: GatewaySettings) -> RateLimits:
    counter = SharedCounter(None if settings.redis_url == IN_MEMORY else settings.redis_url)
    gateway.on_close(counter.close)
    return RateLimits(
        counter,
        login=rate(settings.login_rate_limit),
        user=rate(settings.user_rate_limit),
        address=rate(settings.address_rate_limit),
    )


def _open_accounts(engine: AsyncEngine, live_events: LiveEvents) -> tuple[Users, LoginSessions, SessionGuard]:
    sessions = LoginSessions(engine)

    async def find_live(sids: Collection[str]) -> Collection[str]:
        return await sessions.find_live(sids, datetime.now(UTC))

    return Users(engine), sessions, SessionGuard(find_live, live_events)


def _build_health(gateway: Lifecycle, engine: AsyncEngine, live: LiveEvents, channel: grpc.aio.Channel) -> Health:
    return Health(
        ping_database=lambda: ping(engine),
        redis_connected=lambda: live.connected,
        channel=channel,
        stopping=lambda: gateway.stopping,
    )


def _run_parts(gateway: Gateway, engine: AsyncEngine, passwords: Passwords) -> None:
    state = gateway.state
    gateway.background(_prepare_database(gateway, engine, passwords), "database preparation")
    gateway.background(state.rate_limits.run(), "rate limits")
    gateway.background(state.audit.run(), "audit delivery")
    gateway.background(state.logins.run_housekeeping(), "log-in housekeeping")
    gateway.background(state.sessions.subscribe(), "log-in session hints")
    gateway.background(state.sessions.run(), "log-in session checks")
    gateway.background(state.live_updates.run(), "live updates")
    gateway.on_close(state.sessions.close)


def _serve(gateway: Gateway, server: HttpServer) -> None:
    gateway.on_close(server.close)
    gateway.background(server.serve(), "http server")
    gateway.on_stop_intake(server.stop_listening)
    gateway.on_drain(gateway.state.live_updates.stop)
    gateway.on_drain(server.drain)
    gateway.on_drain(gateway.state.command_client.drain)
    gateway.on_drain(gateway.state.audit.drain)


async def _prepare_database(gateway: Gateway, engine: AsyncEngine, passwords: Passwords) -> None:
    """Waits for the database and its migration, then creates the first users."""
    delay, said = FIRST_RETRY_SECONDS, ""
    while (reason := await _try_to_prepare(gateway.state, engine, passwords)) is not None:
        if reason != said:
            log.warning("waiting_for_database", reason=reason)
            said = reason
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_RETRY_SECONDS)
    gateway.state.health.prepared = True
    gateway.set_ready(True)
    log.info("ready", port=gateway.port)


async def _try_to_prepare(state: AppState, engine: AsyncEngine, passwords: Passwords) -> str | None:
    """None when done, else why not yet."""
    try:
        if not await is_migrated(engine):
            return "it is not migrated: run `sovd migrate`"
        await create_first_users(state.settings, state.users, passwords)
    except ServiceError as error:
        return f"{error.message} ({cause_of(error)})"
    return None
