"""PostgreSQL, RabbitMQ and Redis in containers, where a Docker engine answers."""

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.local_servers import PASSWORD, START_SECONDS, USER, exchange, free_port, wait_until
from tests.support.programs import CannotStart
from tests.support.sql import execute_sql


def docker_answers() -> bool:
    """Whether there is an engine to talk to."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://") and not _listens(address.removeprefix("unix://")):
        return False  # not asked by the library, which leaves its socket open when it is refused
    import docker  # type: ignore[import-untyped]  # only here: most runs need none of it

    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def _listens(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except OSError:
        return False
    return True


class DockerServer(ABC):
    """A container whose host port stays the same when it is stopped, killed and started again."""

    def __init__(
        self,
        image: str,
        port: int,
        url: Callable[[str], str],
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> None:
        from testcontainers.core.container import DockerContainer

        self._port = free_port()
        self._url = url
        self._container = DockerContainer(image, command=command).with_bind_ports(port, self._port)
        for key, value in (environment or {}).items():
            self._container.with_env(key, value)
        self._created = False

    @property
    def url(self) -> str:
        return self._url(f"{self._container.get_container_host_ip()}:{self._port}")

    @property
    def running(self) -> bool:
        if not self._created:
            return False
        self._wrapped.reload()
        return bool(self._wrapped.status == "running")

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def start(self) -> None:
        if self.running:
            return
        if self._created:
            self._wrapped.start()
        else:
            self._container.start()
            self._created = True
        failure = CannotStart(f"the container of {self._container.image} did not become ready")
        wait_until(self.answers, START_SECONDS, lambda: self.running, lambda: failure)

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server in the container takes requests."""

    def stop(self) -> None:
        self._wrapped.stop()

    def kill(self) -> None:
        self._wrapped.kill()

    def pause(self) -> None:
        self._wrapped.pause()

    def resume(self) -> None:
        if self._created:
            self._wrapped.reload()
            if self._wrapped.status == "paused":
                self._wrapped.unpause()

    def close(self) -> None:
        self._container.stop()


class DockerPostgres(DockerServer):
    def __init__(self) -> None:
        super().__init__(
            os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17-alpine"),
            5432,
            lambda address: f"postgresql://{USER}:{PASSWORD}@{address}/postgres",
            environment={"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "postgres"},
            command="postgres -c max_connections=300 -c shared_buffers=256MB -c max_wal_size=4GB",
        )

    def answers(self) -> bool:
        # The image starts a first server on its socket only; over TCP it is the real one.
        try:
            execute_sql(self.url, "SELECT 1")
        except Exception:  # refused, reset or still starting
            return False
        return True


class DockerRedis(DockerServer):
    def __init__(self) -> None:
        super().__init__(
            os.environ.get("TEST_REDIS_IMAGE", "redis:7-alpine"),
            6379,
            lambda address: f"redis://{address}/0",
            command="redis-server --save '' --appendonly no",
        )

    def answers(self) -> bool:
        return exchange(self._port, b"PING\r\n").startswith(b"+PONG")


class DockerRabbit(DockerServer):
    def __init__(self) -> None:
        super().__init__(
            os.environ.get("TEST_RABBITMQ_IMAGE", "rabbitmq:4-alpine"),
            5672,
            lambda address: f"amqp://{USER}:{PASSWORD}@{address}/",
            environment={"RABBITMQ_DEFAULT_USER": USER, "RABBITMQ_DEFAULT_PASS": PASSWORD},
        )

    def answers(self) -> bool:
        return exchange(self._port, b"AMQP\x00\x00\x09\x01") != b""

    def evaluate(self, expression: str) -> None:
        """Run an Erlang expression in the server."""
        done = self._wrapped.exec_run(["rabbitmqctl", "eval", f"{expression}."])
        if done.exit_code != 0:
            raise RuntimeError(f"RabbitMQ refused {expression}: {done.output!r}")
