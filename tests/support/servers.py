"""Real PostgreSQL, RabbitMQ and Redis for tests, bench and development.

Where each comes from, in this order: TEST_DATABASE_URL, TEST_RABBITMQ_URL, TEST_REDIS_URL (or the plain DATABASE_URL,
RABBITMQ_URL, REDIS_URL); else a Docker engine that answers (images: TEST_POSTGRES_IMAGE, TEST_RABBITMQ_IMAGE,
TEST_REDIS_IMAGE); else the binaries on this machine, which root on Debian gets installed. Never skipped.

In tests use the fixtures of tests/conftest.py. Fresh for each test: `postgres_url` (an empty database), `rabbitmq_url`
(an empty virtual host), `redis_url` (flushed). For the whole session: `postgres_server`, `rabbitmq_server` and
`redis_server`, the objects below: `url`, `stop()`, `kill()`, `start()`, `restart()`, `pause()`, `resume()`; port and
data stay over a restart (Redis stores nothing). A test may leave a server stopped or paused: the next finds it running.

`python -m tests.support.servers` starts all three, prints their URLs as `export …` lines and runs until Ctrl-C.
"""

import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import aiormq
import redis

from tests.support.docker_servers import DockerPostgres, DockerRabbit, DockerRedis, docker_answers
from tests.support.local_servers import USER, LocalPostgres, LocalRabbit, LocalRedis, memory_directory
from tests.support.proxy import TcpProxy
from tests.support.sql import execute_sql, run_apart


class Control(Protocol):
    """What runs a server, wherever it runs."""

    @property
    def url(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class GivenServer:
    """A server given by URL. It is not ours to stop: its outages are made by a relay in front of it."""

    def __init__(self, url: str, default_port: int) -> None:
        parts = urlsplit(url)
        self._proxy = TcpProxy(parts.hostname or "localhost", parts.port or default_port)
        login, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self._proxy.port}"))
        self.start, self.stop, self.kill = self._proxy.start, self._proxy.stop, self._proxy.stop
        self.pause, self.resume, self.close = self._proxy.pause, self._proxy.resume, self._proxy.close

    @property
    def running(self) -> bool:
        return self._proxy.running


class Server:
    """One of the three; see the module's docstring."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.stop, self.kill, self.start = control.stop, control.kill, control.start
        self.pause, self.resume, self.close = control.pause, control.resume, control.close

    @property
    def url(self) -> str:
        return self._control.url

    @property
    def running(self) -> bool:
        return self._control.running

    def restart(self) -> None:
        self.stop()
        self.start()

    def ensure_running(self) -> None:
        """Undoes what the test before may have left."""
        self.resume()
        self.start()


class PostgresServer(Server):
    def new_database(self, template: str | None = None) -> str:
        """The URL of a new database, empty or a copy of the one named."""
        name = f"test_{secrets.token_hex(6)}"
        execute_sql(self.url, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        execute_sql(self.url, f'DROP DATABASE IF EXISTS "{urlsplit(url).path.lstrip("/")}" WITH (FORCE)')


class RabbitServer(Server):
    _VHOSTS_AT_ONCE = 10

    def __init__(self, control: Control) -> None:
        super().__init__(control)
        # Asking a container takes seconds, so several are made at once.
        self._evaluate: Callable[[str], None] | None = getattr(control, "evaluate", None)
        self._at_once = self._VHOSTS_AT_ONCE if isinstance(control, DockerRabbit) else 1
        self._spare: list[str] = []

    def new_vhost(self) -> str:
        """The URL of an empty virtual host. On a server given by URL: that of its own one, emptied of what is ours."""
        if self._evaluate is None:
            run_apart(_remove_ours(self.url))
            return self.url
        if not self._spare:
            self._spare = [f"test_{secrets.token_hex(6)}" for _ in range(self._at_once)]
            self._evaluate(_adding(self._spare))
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{self._spare.pop()}"))

    def drop_vhost(self, url: str) -> None:
        if self._evaluate is not None and self._at_once == 1:
            self._evaluate(f'rabbit_vhost:delete(<<"{urlsplit(url).path.lstrip("/")}">>, <<"tests">>)')


class RedisServer(Server):
    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


def _adding(vhosts: list[str]) -> str:
    names = ", ".join(f'<<"{name}">>' for name in vhosts)
    everything = ", ".join(['<<".*">>'] * 3)
    permit = f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, V, {everything}, <<"tests">>)'
    return f'lists:foreach(fun(V) -> rabbit_vhost:add(V, <<"tests">>), {permit} end, [{names}])'


async def _remove_ours(url: str) -> None:
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.exchange_delete("sovd.commands")
        await channel.queue_delete("sovd.dead")


class Servers:
    """The three, each started when it is first asked for or announced."""

    def __init__(self, environment: Mapping[str, str] = os.environ, *, in_memory: bool = False) -> None:
        """`in_memory`: binaries on this machine keep their files there, where it is large enough."""
        self._environment = environment
        self._parent = memory_directory() if in_memory else None
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="servers")
        self._lock = threading.Lock()
        self._docker: bool | None = None
        self._started: dict[str, Future[Any]] = {}

    @property
    def postgres(self) -> PostgresServer:
        server: PostgresServer = self.begin("postgres").result()
        return server

    @property
    def rabbitmq(self) -> RabbitServer:
        server: RabbitServer = self.begin("rabbitmq").result()
        return server

    @property
    def redis(self) -> RedisServer:
        server: RedisServer = self.begin("redis").result()
        return server

    def begin(self, name: str) -> "Future[Any]":
        """Start a server in the background."""
        with self._lock:
            if name not in self._started:
                self._started[name] = self._threads.submit(getattr(self, f"_start_{name}"))
            return self._started[name]

    def close(self) -> None:
        """End all that were started."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for started in self._started.values():
            if not started.cancelled() and started.exception() is None:
                started.result().close()
        self._started.clear()

    def _start_postgres(self) -> PostgresServer:
        given = self._given("DATABASE_URL", ("postgresql", "postgres"), 5432)
        return PostgresServer(given or self._own(DockerPostgres, LocalPostgres))

    def _start_rabbitmq(self) -> RabbitServer:
        return RabbitServer(self._given("RABBITMQ_URL", ("amqp",), 5672) or self._own(DockerRabbit, LocalRabbit))

    def _start_redis(self) -> RedisServer:
        return RedisServer(self._given("REDIS_URL", ("redis",), 6379) or self._own(DockerRedis, LocalRedis))

    def _given(self, variable: str, schemes: tuple[str, ...], default_port: int) -> GivenServer | None:
        url = self._environment.get(f"TEST_{variable}") or self._environment.get(variable)
        if not url or urlsplit(url).scheme not in schemes:
            return None
        server = GivenServer(url, default_port)
        server.start()
        return server

    def _own(self, in_docker: Callable[[], Control], local: Callable[[Path | None], Control]) -> Control:
        if self._docker_answers():
            try:
                return _started(in_docker())
            except Exception as error:  # an image that cannot be had, most often: the binaries will do
                print(f"Docker answers, but: {error}; using local binaries", file=sys.stderr)
        return _started(local(self._parent))

    def _docker_answers(self) -> bool:
        with self._lock:
            if self._docker is None:
                self._docker = docker_answers()
            return self._docker


def _started(control: Control) -> Control:
    try:
        control.start()
    except BaseException:
        control.close()
        raise
    return control


def main() -> None:
    """Start all three and run until Ctrl-C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started it in the background, deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    servers = Servers()
    try:
        for name in ("postgres", "rabbitmq", "redis"):
            servers.begin(name)
        print(f"export DATABASE_URL={servers.postgres.url}")
        print(f"export RABBITMQ_URL={servers.rabbitmq.url}")
        print(f"export REDIS_URL={servers.redis.url}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("ending", file=sys.stderr)
    finally:
        servers.close()


if __name__ == "__main__":
    main()
