"""What tests rely on when they stop, kill and restart servers."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import aiormq
import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest
import redis

from tests.support import docker_servers, programs
from tests.support import servers as servers_module
from tests.support.local_servers import LocalRedis, free_port, ports_to_give
from tests.support.servers import PostgresServer, RabbitServer, RedisServer, Servers


async def test_database_is_fresh_and_survives_a_kill(postgres_url: str, postgres_server: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()

    postgres_server.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(postgres_url)
    postgres_server.start()

    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


async def test_database_can_be_made_from_a_template(postgres_url: str, postgres_server: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()

    copy = postgres_server.new_database(template=urlsplit(postgres_url).path.lstrip("/"))

    connection = await asyncpg.connect(copy)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()
    postgres_server.drop_database(copy)


async def test_virtual_host_is_fresh(rabbitmq_url: str, rabbitmq_server: RabbitServer) -> None:
    async with aiormq.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True)
    other = rabbitmq_server.new_vhost()
    async with aiormq.connect(other) as connection:
        channel = await connection.channel()
        with pytest.raises(aiormq.ChannelNotFoundEntity):
            await channel.queue_declare("kept", passive=True)
    rabbitmq_server.drop_vhost(other)


def test_next_test_finds_a_running_server_after_one_that_left_it_stopped_or_paused(redis_server: RedisServer) -> None:
    redis_server.stop()
    redis_server.ensure_running()
    redis_server.pause()
    redis_server.ensure_running()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping()


def test_given_server_is_used_and_can_be_cut_off(redis_server: RedisServer) -> None:
    redis_server.ensure_running()
    servers = Servers({"TEST_REDIS_URL": redis_server.url})
    try:
        given = servers.redis
        with redis.Redis.from_url(given.url) as client:
            client.set("kept", 42)
            given.stop()
            with pytest.raises(redis.ConnectionError):
                client.get("kept")
            given.restart()
            assert client.get("kept") == b"42"
        given.flush()
        with redis.Redis.from_url(redis_server.url) as client:
            assert client.get("kept") is None
    finally:
        servers.close()


def test_paused_given_server_hangs(redis_server: RedisServer) -> None:
    redis_server.ensure_running()
    servers = Servers({"REDIS_URL": redis_server.url})
    try:
        with redis.Redis.from_url(servers.redis.url, socket_timeout=0.2) as client:
            assert client.ping()
            servers.redis.pause()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            servers.redis.resume()
            assert client.ping()
    finally:
        servers.close()


def test_local_server_ends_with_the_process_that_started_it() -> None:
    program = (
        "from tests.support.local_servers import LocalRedis\n"
        "server = LocalRedis(); server.start()\n"
        "print(server._process.pid, server._guard.pid, server.directory, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, guard, directory = owner.stdout.readline().split()
        server, guardian = psutil.Process(int(pid)), psutil.Process(int(guard))
        os.kill(owner.pid, signal.SIGKILL)
    server.wait(timeout=30)
    guardian.wait(timeout=30)
    assert not Path(directory).exists()


def test_missing_server_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "_PLACES", {name: [] for name in programs._PLACES})
    with pytest.raises(
        programs.CannotStart, match=r"redis-server is not installed; install it .*start Docker or give TEST_"
    ):
        programs.find_binary("redis-server")


def test_docker_that_answers_but_has_no_image_gives_way_to_local_binaries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_image() -> None:
        raise RuntimeError("no such image")

    monkeypatch.setattr(servers_module, "docker_answers", lambda: True)
    monkeypatch.setattr(servers_module, "DockerRedis", no_image)
    servers = Servers({})
    try:
        servers.redis.flush()
    finally:
        servers.close()
    assert "no such image" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_no_docker_engine_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert not docker_servers.docker_answers()


def test_as_a_command_it_prints_urls_and_runs_until_it_is_asked_to_end(
    postgres_server: PostgresServer, rabbitmq_server: RabbitServer, redis_server: RedisServer
) -> None:
    given = {
        "TEST_DATABASE_URL": postgres_server.url,
        "TEST_RABBITMQ_URL": rabbitmq_server.url,
        "TEST_REDIS_URL": redis_server.url,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.servers"],
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as command:
        assert command.stdout is not None
        lines = [command.stdout.readline() for _ in range(3)]
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 0
    assert [line.partition("=")[0] for line in lines] == [
        "export DATABASE_URL",
        "export RABBITMQ_URL",
        "export REDIS_URL",
    ]


def test_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LocalRedis()
    try:
        monkeypatch.setattr(server, "command", lambda: ["redis-server", "--no-such-option", "1"])
        with pytest.raises(RuntimeError, match="redis did not start"):
            server.start()
    finally:
        server.close()


def test_test_processes_side_by_side_give_other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    given: list[int] = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        given += ports_to_give()
        assert free_port() in ports_to_give()
    assert len(given) == len(set(given)) > 16_000
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    assert len(ports_to_give()) == len(given) // 3
