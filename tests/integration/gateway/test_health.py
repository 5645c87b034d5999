"""Starting, being ready, being not, and stopping."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from gateway import health
from gateway.__main__ import main
from gateway.composition import compose
from gateway.settings import GatewaySettings
from gateway.storage import migrate
from tests.integration.gateway.conftest import Running, StartGateway, eventually, running, until_ready
from tests.integration.gateway.fake_command_service import FakeCommandService, serving
from tests.support.servers import PostgresServer, RedisServer


@pytest.fixture(autouse=True)
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CACHE_SECONDS", 0)


async def ready(gateway: Running) -> tuple[int, dict[str, Any]]:
    answer = await gateway.client.get("/health/ready")
    return answer.status_code, answer.json()


async def test_healthy(gateway: Running) -> None:
    status, body = await ready(gateway)
    assert status == 200
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "status": "healthy",
        "database": "connected",
        "redis": "connected",
        "command_service": "connected",
    }
    assert (await gateway.client.get("/health/live")).json() == {"status": "alive"}


async def test_without_redis_it_is_degraded(
    start_gateway: StartGateway, redis_url: str, redis_server: RedisServer
) -> None:
    gateway = await start_gateway(redis_url=redis_url)
    await eventually(lambda: gateway.gateway.state.live_events.connected)
    assert (await ready(gateway))[1]["status"] == "healthy"
    redis_server.stop()
    await eventually(lambda: not gateway.gateway.state.live_events.connected)
    status, body = await ready(gateway)
    assert (status, body["status"], body["redis"]) == (200, "degraded", "disconnected")
    headers = await gateway.headers()
    assert (await gateway.client.get("/api/v1/vehicles", headers=headers)).status_code == 200
    assert (await gateway.client.post("/api/v1/auth/logout", headers=headers)).status_code == 204


async def test_answers_are_shared_for_a_moment(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CACHE_SECONDS", 60)
    answers = [await ready(gateway) for _ in range(3)]
    assert len({body["timestamp"] for _, body in answers}) == 1


async def test_without_the_command_service(start_gateway: StartGateway) -> None:
    fake = FakeCommandService()
    async with serving(fake) as port:
        gateway = await start_gateway(command_service_address=fake.address)
        assert (await ready(gateway))[0] == 200
    status, body = await ready(gateway)
    assert (status, body["status"], body["command_service"]) == (503, "unhealthy", "disconnected")
    assert (await gateway.client.get("/health/live")).status_code == 200
    async with serving(fake, port):
        await gateway.gateway.state.channel.channel_ready()
        assert (await ready(gateway))[0] == 200


async def test_a_database_that_is_not_migrated(
    start_gateway: StartGateway, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings["database_url"] = f"sqlite:///{tmp_path}/empty.db"
    async with running(settings, wait_until_ready=False) as gateway:
        status, body = await ready(gateway)
        assert (status, body["status"], body["database"]) == (503, "unhealthy", "not_migrated")
        login = await gateway.client.post("/api/v1/auth/login", json={"username": "a", "password": "b"})
        assert (login.status_code, login.headers["retry-after"]) == (503, "1")
        assert "sqlite" not in login.text
        await migrate(settings["database_url"])
        await until_ready(gateway.gateway)
        assert (await ready(gateway))[0] == 200
        await gateway.log_in()
    logged = capsys.readouterr()
    assert (logged.out + logged.err).count("waiting_for_database") == 1


async def test_a_database_that_is_away(
    postgres_server: PostgresServer, postgres_url: str, settings: dict[str, Any]
) -> None:
    await migrate(postgres_url)
    async with running(settings | {"database_url": postgres_url}) as gateway:
        headers = await gateway.headers()
        assert (await gateway.client.get("/api/v1/vehicles", headers=headers)).status_code == 200
        postgres_server.stop()
        status, body = await ready(gateway)
        assert (status, body["database"]) == (503, "disconnected")
        answer = await gateway.client.post("/api/v1/auth/ws-ticket", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        # Who is known to be logged in goes on for a while.
        assert (await gateway.client.get("/api/v1/vehicles", headers=headers)).status_code == 200
        postgres_server.start()
        assert (await ready(gateway))[0] == 200
        await gateway.log_in()


@pytest.mark.parametrize("wrong", ["log-in", "database"])
async def test_a_database_that_refuses(
    postgres_url: str, settings: dict[str, Any], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = make_url(postgres_url)
    url = url.set(username="nobody", password="wrong") if wrong == "log-in" else url.set(database="nothing")
    settings["database_url"] = url.render_as_string(hide_password=False)
    async with running(settings, wait_until_ready=False) as gateway:
        assert (await ready(gateway))[0] == 503
        assert not gateway.gateway.ready
    logged = capsys.readouterr()
    lines = [line for line in (logged.out + logged.err).splitlines() if "waiting_for_database" in line]
    assert len(lines) == 1
    assert ("nobody" if wrong == "log-in" else "nothing") in lines[0]
    assert "Traceback" not in logged.out + logged.err


async def test_a_port_that_is_taken(settings: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"HTTP_PORT {port}"):
            async with compose(GatewaySettings(**settings | {"http_port": port})):
                pass


async def test_stopping_finishes_what_runs(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    async with running(settings) as gateway:
        passwords, held_up = gateway.gateway.state.logins._passwords, threading.Event()
        passwords._thread.submit(held_up.wait, 60)
        in_flight = [asyncio.create_task(gateway.log_in()) for _ in range(5)]
        async with asyncio.timeout(30):
            while passwords._waiting < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        stopping = asyncio.create_task(gateway.gateway.stop())
        await asyncio.sleep(0.05)
        held_up.set()
        await stopping
        assert all(tokens["access_token"] for tokens in await asyncio.gather(*in_flight))
        with pytest.raises(httpx.ConnectError):
            await gateway.client.get("/health/live")


def environment(settings: dict[str, Any]) -> dict[str, str]:
    own = {name.upper(): str(value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": "services", **own}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", ""),
        ("JWT_PREVIOUS_SECRETS", "short-one," + "x" * 32),
        ("DATABASE_URL", "mysql://root:hunter22@db/x"),
        ("DATABASE_URL", ""),
        ("REDIS_URL", "localhost:6379"),
        ("COMMAND_SERVICE_ADDRESS", "nowhere"),
        ("LOGIN_RATE_LIMIT", "often"),
        ("HTTP_PORT", "eighty"),
        ("INITIAL_ADMIN_PASSWORD", "short"),
        ("ENVIRONMENT", "production"),  # with DEMO_DATA
    ],
)
def test_a_wrong_setting_stops_the_start(
    settings: dict[str, Any], name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a process of its own, of every service: tests/integration/outages/test_wrong_starts.py."""
    monkeypatch.setattr(os, "environ", environment(settings) | {name: value})
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{'DEMO_DATA' if name == 'ENVIRONMENT' else name}: ")
    assert not value or value not in line.removeprefix(name) or name == "ENVIRONMENT"


def test_a_port_that_is_taken_is_one_line(settings: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command, given = [sys.executable, "-m", "gateway"], {"HTTP_PORT": str(port), "LOG_FORMAT": "json"}
        result = subprocess.run(
            command, env=environment(settings) | given, capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 1
    assert f"HTTP_PORT {port}" in result.stderr
    assert "Traceback" not in result.stderr
