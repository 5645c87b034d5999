"""A gateway without database, broker or Redis: real HTTP and gRPC on loopback, log-in sessions by hand."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import SecretStr

from gateway.app import create_asgi
from gateway.app_state import AppState
from gateway.command_client import CommandClient
from gateway.live_updates import LiveUpdates
from gateway.rate_limits import RateLimits, SharedCounter
from gateway.server import HttpServer
from gateway.session_guard import SessionGuard
from gateway.settings import GatewaySettings, rate
from gateway.tokens import AccessTokens, CurrentUser, Role, invalid_token
from service_kit.grpc_channel import open_channel
from service_kit.lifecycle import Lifecycle
from tests.integration.gateway.scripted_command_service import SERVICE_TOKEN, ScriptedCommandService, serving
from tests.support.waiting import until
from tests.unit.gateway.live_fakes import HandLiveEvents

SECRET = "a secret of the tests with more than 32 characters"


@dataclass
class SmallGateway:
    service: ScriptedCommandService
    live: HandLiveEvents
    state: AppState
    server: HttpServer
    ended_sessions: set[str]
    tickets: dict[str, CurrentUser] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def websocket_url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"

    def user(self, role: Role = "engineer", sid: str = "session-1") -> CurrentUser:
        return CurrentUser("8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11", "engineer", role, sid)

    def token(self, role: Role = "engineer", sid: str = "session-1") -> str:
        return self.state.access_tokens.issue(self.user(role, sid))

    def headers(self, role: Role = "engineer") -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(role)}"}

    async def redeem_ticket(self, ticket: str) -> CurrentUser:
        try:
            return self.tickets.pop(ticket)
        except KeyError:
            raise invalid_token("the ticket is not valid") from None

    async def end_session(self, sid: str) -> None:
        self.ended_sessions.add(sid)
        await self.state.sessions.announce_end([sid])


class _NoAudit:
    def record(self, *_: object, **__: object) -> None:
        """Nobody reads it here."""


@asynccontextmanager
async def small_gateway(**overrides: Any) -> AsyncIterator[SmallGateway]:
    service, live, ended = ScriptedCommandService(), HandLiveEvents(), set[str]()
    async with serving(service) as address, Lifecycle("gateway", drain_seconds=5) as lifecycle:
        settings = GatewaySettings(
            database_url="sqlite:///unused",
            redis_url="memory://",
            command_service_address=address,
            service_token=SecretStr(SERVICE_TOKEN),
            jwt_secret=SecretStr(SECRET),
            http_host="127.0.0.1",
            http_port=0,
            **overrides,
        )
        state = _state(settings, lifecycle, live, ended)
        server = HttpServer(create_asgi(state), settings)
        gateway = SmallGateway(service, live, state, server, ended)
        state.logins = cast("Any", gateway)
        lifecycle.on_close(lambda: state.channel.close(None))
        lifecycle.on_close(server.close)
        lifecycle.background(server.serve(), "http server")
        lifecycle.on_drain(state.live_updates.stop)
        lifecycle.on_drain(server.drain)
        await until(lambda: server._server.started)
        yield gateway


def _state(settings: GatewaySettings, lifecycle: Lifecycle, live: HandLiveEvents, ended: set[str]) -> AppState:
    async def find_live(sids: Collection[str]) -> Collection[str]:
        return set(sids) - ended

    channel = open_channel(settings.command_service_address, SERVICE_TOKEN)
    client = CommandClient(channel, submit_deadline_seconds=2)
    limits = {name: rate(getattr(settings, f"{name}_rate_limit")) for name in ("login", "user", "address")}
    unused = cast("Any", None)
    return AppState(
        settings=settings,
        lifecycle=lifecycle,
        channel=channel,
        live_events=live,
        vehicles=unused,
        identities=unused,
        audit_service=unused,
        reports=unused,
        command_client=client,
        live_updates=LiveUpdates(live, client.read_updates),
        access_tokens=AccessTokens([SECRET], 900),
        users=unused,
        accounts=unused,
        profile=unused,
        logins=unused,
        sessions=SessionGuard(find_live, live),
        rate_limits=RateLimits(SharedCounter(None), **limits),
        audit=cast("Any", _NoAudit()),
        health=unused,
    )
