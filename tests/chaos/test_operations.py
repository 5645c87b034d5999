"""What operators do to a running system, under load: it loses no command and logs nobody out.

Whoever sends the load never logs in again: an access token that is not taken any more fails the test.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import command_service.storage
import gateway.storage
from service_kit.database import downgrade, upgrade
from tests.chaos.test_kill_and_restart import QUICK, off, under_load
from tests.support.local_servers import free_port
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import ENGINEER, SERVICE_TOKEN, System, running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

SETTINGS: dict[str, Any] = {"settings": QUICK, "simulator_settings": {"ANSWER_LATENCY_MS": "30"}}
# Each command that they send is looked at afterwards, and restarts take their time.
USERS = 4
ALL_WELL = {"completed", "failed NEGATIVE_RESPONSE"}


@pytest.fixture
def system(postgres_url: str, rabbitmq_url: str, redis_url: str, tmp_path: Path) -> System:
    return System(postgres_url, rabbitmq_url, redis_url, tmp_path, vehicles=12, **SETTINGS)


async def roll(system: System, name: str, **environment: str) -> None:
    """Stops it as an orchestrator does, and starts the next version of it."""
    process = system.processes[name]
    assert await asyncio.get_running_loop().run_in_executor(None, process.terminate) == 0, process.log_tail()
    process.environment.update(environment)
    process.start()
    await off(system.wait_until_ready)


async def test_a_migration(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new version runs from the oldest revision that it works on, during the migration from there, and after it."""
    for storage in (gateway.storage, command_service.storage):
        schema = storage.__name__.partition(".")[0]
        await upgrade(system.database_url, storage.MIGRATIONS, schema)
        await downgrade(system.database_url, storage.MIGRATIONS, schema, storage.OLDEST)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(system, "migrate", lambda: None)
            await off(system.start)
        await off(system.start_vehicles)
        ends = await under_load(system, lambda: off(system.migrate), USERS)
        assert set(ends) <= ALL_WELL, ends
        await off(system.stop)
    finally:
        system.kill_all()


async def test_a_rotation_of_the_secret_that_signs_tokens(system: System) -> None:
    """announce, switch, retire: what scripts/rotate_secret.sh does; two gateways get each step one after the other."""
    old = system.processes["gateway"].environment["JWT_SECRET"]
    new = "the-next-jwt-secret-that-is-for-tests-only-and-long"
    other_port = free_port()
    system._add("gateway_2", module="gateway", METRICS_PORT="0", HTTP_PORT=str(other_port), HTTP_HOST="127.0.0.1")
    user = User(system.url, f"http://127.0.0.1:{other_port}")

    async def give(**secrets: str) -> None:
        for name in ("gateway", "gateway_2"):
            await roll(system, name, **secrets)
            await off(user.is_known_everywhere)
            await off(user.refresh)
            await off(user.is_known_everywhere)

    async def announce_and_switch() -> None:
        await give(JWT_SECRET=old, JWT_PREVIOUS_SECRETS=new)
        await give(JWT_SECRET=new, JWT_PREVIOUS_SECRETS=old)

    with running(system):
        await off(user.log_in)
        ends = await under_load(system, announce_and_switch, USERS)
        # When nobody has a token any more that the old one signed.
        await give(JWT_SECRET=new, JWT_PREVIOUS_SECRETS="")
    assert set(ends) <= ALL_WELL, ends


@pytest.fixture(scope="module")
def replicated(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """With two command services and two connectors."""
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    servers = (postgres_server.new_database(), rabbitmq_server.new_vhost(), redis_server.url)
    directory = tmp_path_factory.mktemp("replicated")
    with running(System(*servers, directory, vehicles=6, connectors=2, command_services=2, **SETTINGS)) as system:
        yield system


async def test_a_rolling_restart_of_every_service(replicated: System) -> None:
    services = [name for name in replicated.processes if not name.startswith("vehicle_simulator")]
    assert len(services) == 5

    async def roll_all() -> None:
        for name in services:
            await roll(replicated, name)

    ends = await under_load(replicated, roll_all, USERS)
    assert set(ends) <= ALL_WELL, ends


async def test_a_rotation_of_the_service_token(replicated: System) -> None:
    """announce, switch, retire: who checks the token, who shows it, who checks it; nobody is refused."""
    checking = [name for name in replicated.processes if name.startswith("command_service")]
    showing = [name for name in replicated.processes if name.startswith(("gateway", "vehicle_connector"))]
    old, new = SERVICE_TOKEN, "the-next-service-token-for-tests-only"

    async def give(names: list[str], **tokens: str) -> None:
        for name in names:
            await off(partial(nobody_was_refused, replicated, checking))
            await roll(replicated, name, **tokens)

    async def rotate() -> None:
        await give(checking, SERVICE_TOKEN=old, SERVICE_PREVIOUS_TOKENS=new)
        await give(showing, SERVICE_TOKEN=new)
        await give(checking, SERVICE_TOKEN=new, SERVICE_PREVIOUS_TOKENS="")

    ends = await under_load(replicated, rotate, USERS)
    await off(partial(nobody_was_refused, replicated, checking))
    assert set(ends) <= ALL_WELL, ends


def nobody_was_refused(system: System, command_services: list[str]) -> None:
    for name in command_services:
        url = f"http://127.0.0.1:{system.metrics_port(name)}/metrics"
        wait_for(partial(answers, url))  # it may just have been started again
        metrics = httpx.get(url, timeout=10).text
        assert "sovd_grpc_requests_total" in metrics
        assert 'code="UNAUTHENTICATED"' not in metrics, name


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class User:
    """Logged in once; then with what a refresh gives, at any gateway."""

    def __init__(self, *urls: str) -> None:
        self._urls = urls
        self._tokens: dict[str, Any] = {}

    def log_in(self) -> None:
        username, password = ENGINEER
        self._ask("login", {"username": username, "password": password})

    def refresh(self) -> None:
        self._ask("refresh", {"refresh_token": self._tokens["refresh_token"]})

    def is_known_everywhere(self) -> None:
        for url in self._urls:
            wait_for(partial(answers, f"{url}/health/ready"))
            headers = {"Authorization": f"Bearer {self._tokens['access_token']}"}
            answer = httpx.get(f"{url}/api/v1/auth/me", headers=headers, timeout=30)
            assert answer.status_code == 200, f"{url}: {answer.text}"

    def _ask(self, what: str, body: dict[str, str]) -> None:
        answer = httpx.post(f"{self._urls[0]}/api/v1/auth/{what}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        self._tokens = answer.json()
