"""A whole gateway on real sockets, with a fake command service behind it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from gateway import composition
from gateway.composition import Gateway, compose
from gateway.passwords import Passwords
from gateway.settings import GatewaySettings
from gateway.storage import migrate
from tests.integration.gateway.fake_command_service import SERVICE_TOKEN, FakeCommandService, serving

JWT_SECRET = "the-secret-that-signs-tokens-in-tests"
PASSWORDS = {"admin": "admin123", "engineer": "engineer123"}


@dataclass
class Running:
    """A gateway and a client of it; `port` is its own."""

    gateway: Gateway
    client: httpx.AsyncClient

    async def log_in(self, username: str = "engineer") -> dict[str, Any]:
        answer = await self.client.post(
            "/api/v1/auth/login", json={"username": username, "password": PASSWORDS[username]}
        )
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def headers(self, username: str = "engineer") -> dict[str, str]:
        return bearer((await self.log_in(username))["access_token"])


def bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}


StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gateway") / "migrated.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def database_url(migrated_database: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(migrated_database, tmp_path / 'gateway.db')}"


@pytest.fixture
def hasher() -> PasswordHasher:
    """With the real one, half of what a test does is hashing the passwords of the demo's users."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture(autouse=True)
def _hashing(monkeypatch: pytest.MonkeyPatch, hasher: PasswordHasher) -> None:
    monkeypatch.setattr(composition, "Passwords", partial(Passwords, hasher))


@pytest.fixture
async def command_service() -> AsyncIterator[FakeCommandService]:
    fake = FakeCommandService()
    async with serving(fake):
        yield fake


@pytest.fixture
def settings(database_url: str, command_service: FakeCommandService) -> dict[str, Any]:
    """What a test may change before it starts a gateway."""
    return {
        "database_url": database_url,
        "redis_url": "memory://",
        "command_service_address": command_service.address,
        "service_token": SERVICE_TOKEN,
        "jwt_secret": JWT_SECRET,
        "http_host": "127.0.0.1",
        "http_port": 0,
        "metrics_port": 0,
        "drain_seconds": 5,
        "demo_data": True,
        "login_rate_limit": "1000/minute",
        "address_rate_limit": "100000/minute",
        "user_rate_limit": "100000/minute",
    }


@asynccontextmanager
async def running(settings: dict[str, Any], *, wait_until_ready: bool = True) -> AsyncIterator[Running]:
    async with compose(GatewaySettings(**settings)) as gateway:
        if wait_until_ready:
            await until_ready(gateway)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20) as client:
            yield Running(gateway, client)


async def until_ready(gateway: Gateway) -> None:
    ready = asyncio.Event()
    gateway.on_ready_change(lambda is_ready: ready.set() if is_ready else None)
    if not gateway.ready:
        async with asyncio.timeout(20):
            await ready.wait()


@pytest.fixture
async def start_gateway(settings: dict[str, Any]) -> AsyncIterator[StartGateway]:
    """Starts gateways, each with the settings of the test and what is given."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Running:
            return await stack.enter_async_context(running(settings | changes))

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Running:
    return await start_gateway()


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """For what happens in the background; fails when it does not happen."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  there is nothing to wait on but the outcome
            await asyncio.sleep(0.01)
