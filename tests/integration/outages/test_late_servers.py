"""Services that start before what they need, or that are refused by it: they wait, say why, and begin by themselves."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.robustness.harness import api_of, pids
from tests.support.proxy import TcpProxy
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import ADMIN, System
from tests.support.waiting import until, until_it

WRONG_PASSWORD = "hunter22-hunter22"


@contextmanager
def gate(url: str) -> Iterator[tuple[TcpProxy, str]]:
    """A server that is not there until its gate is started, and its URL."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with closing(TcpProxy(parts.hostname, parts.port)) as proxy:
        login, at, _ = parts.netloc.rpartition("@")
        yield proxy, parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.port}").geturl()


@contextmanager
def started(system: System, *names: str) -> Iterator[System]:
    """Processes that nobody has prepared anything for; they end as they should."""
    try:
        for name in names:
            system.processes[name].start()
        yield system
        system.stop()
    finally:
        system.kill_all()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        yield http


def lines(system: System, service: str, event: str) -> list[dict[str, Any]]:
    """Of the log, which must be JSON throughout and free of stack traces."""
    log = [json.loads(line) for line in system.processes[service].output.read_text().splitlines()]
    assert not [line for line in log if "exception" in line], service
    return [line for line in log if line["event"] == event]


async def until_said(system: System, service: str, event: str, reason: str) -> None:
    """One line for each step of a backoff that slows down."""

    def said() -> list[str]:
        return [line["reason"] for line in lines(system, service, event) if reason in line["reason"]]

    await until(said)


async def until_ready_says(system: System, http: httpx.AsyncClient, code: int, **parts: str) -> None:
    async def says_so() -> bool:
        try:
            answer = await http.get(f"{system.url}/health/ready")
        except httpx.ConnectError:
            return False
        return answer.status_code == code and answer.json().items() >= parts.items()

    await until_it(says_so)


@pytest.mark.timeout(240)
async def test_services_wait_for_their_servers(
    postgres_url: str, rabbitmq_url: str, redis_url: str, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    with (
        gate(postgres_url) as (postgresql, database_url),
        gate(rabbitmq_url) as (rabbitmq, broker_url),
        gate(redis_url) as (redis, live_url),
    ):
        system = System(database_url, broker_url, live_url, tmp_path, vehicles=0)
        system.processes["vehicle_simulator"].environment["DEMO_DATA"] = "true"
        with started(system, "gateway", "vehicle_connector", "vehicle_simulator"):
            await wait_one_after_the_other(system, http, postgresql, redis, rabbitmq)

    for name, process in system.processes.items():
        assert process.exit_code == 0, process.log_tail()
        for waiting in ("redis_away", "rabbitmq_away", "waiting_for_the_database"):
            assert_slows_down([line["retry_in_seconds"] for line in lines(system, name, waiting)])


async def wait_one_after_the_other(
    system: System, http: httpx.AsyncClient, postgresql: TcpProxy, redis: TcpProxy, rabbitmq: TcpProxy
) -> None:
    await until_said(system, "vehicle_connector", "command_service_away", "refused")
    system.processes["command_service"].start()
    before = pids(system)
    away = {"database": "disconnected", "redis": "disconnected", "command_service": "disconnected"}
    await until_ready_says(system, http, 503, status="unhealthy", **away)
    assert (await http.get(f"{system.url}/health/live")).status_code == 200
    for service, event in (
        ("gateway", "waiting_for_database"),
        ("gateway", "redis_away"),
        ("command_service", "waiting_for_the_database"),
        ("command_service", "rabbitmq_away"),
        ("vehicle_connector", "rabbitmq_away"),
    ):
        await until_said(system, service, event, "refused")
    await until_said(system, "vehicle_simulator", "vehicle_refused", "The command service is not available")

    postgresql.start()
    await until_ready_says(system, http, 503, database="not_migrated", command_service="disconnected")
    await until_said(system, "command_service", "waiting_for_the_database", "run: sovd migrate")
    await asyncio.to_thread(system.migrate)
    connected = {"database": "connected", "command_service": "connected"}
    await until_ready_says(system, http, 200, status="degraded", redis="disconnected", **connected)
    redis.start()
    await until_ready_says(system, http, 200, status="healthy", redis="connected", **connected)

    token = await asyncio.to_thread(system.token, ADMIN)
    bearer = {"Authorization": f"Bearer {token}"}
    found = await http.get(f"{system.url}/api/v1/vehicles?search=WDD1234567890ABCD", headers=bearer)
    async with api_of(system, token, found.json()["items"]) as api:
        command_id = await api.submit()
        # A vehicle that came before it was registered waits up to 90 s before it tries again.
        await api.until_vehicle("online", seconds=100)
        assert (await api.get(command_id))["status"] in ("pending", "dispatched")
        rabbitmq.start()
        assert (await api.ended(command_id))["status"] == "completed"
        await api.works()
    assert pids(system) == before


def assert_slows_down(pauses: list[float]) -> None:
    """Doubling, each shortened by at most half at random: the third is longer than the first, and none is short."""
    assert all(later > earlier for earlier, later in zip(pauses[:3], pauses[2:5], strict=False)), pauses
    assert len(pauses) < 60, "a line for each step of the backoff, and no more"


async def test_services_wait_for_servers_that_refuse_them(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    http: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    def with_wrong_password(url: str) -> str:
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username or ''}:{WRONG_PASSWORD}@{parts.hostname}:{parts.port}").geturl()

    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    database_url = with_wrong_password(postgres_server.url)
    broker_url, live_url = with_wrong_password(rabbitmq_server.url), with_wrong_password(redis_server.url)
    services = ("gateway", "command_service", "vehicle_connector")
    with started(System(database_url, broker_url, live_url, tmp_path), *services) as system:
        before = pids(system)
        refused = "password authentication failed"
        await until_said(system, "gateway", "waiting_for_database", refused)
        await until_said(system, "gateway", "redis_away", "AUTH")
        await until_said(system, "command_service", "waiting_for_the_database", refused)
        for service in ("command_service", "vehicle_connector"):
            await until_said(system, service, "rabbitmq_away", "ACCESS_REFUSED")
        await until_ready_says(system, http, 503, status="unhealthy", database="disconnected", redis="disconnected")
        assert pids(system) == before

    for service in services:
        assert system.processes[service].exit_code == 0
        assert WRONG_PASSWORD not in system.processes[service].output.read_text()
