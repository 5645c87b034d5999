"""Fixtures for all tests: real servers, started only where a collected test asks for them."""

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.support.servers import PostgresServer, RabbitServer, RedisServer, Servers

_TESTS = Path(__file__).parent
_SERVERS = pytest.StashKey[Servers]()
# Files whose tests share a running system, which takes seconds to start: one process runs them all.
_SHARING = ("tests/integration/test_", "tests/integration/robustness/")
# Where the services run as processes, which are not counted: counting here would only double the tests' own time.
_PROCESSES = (
    "chaos",
    "deploy",
    "e2e",
    "integration/outages",
    "integration/robustness",
    "integration/test_logs",
    "integration/test_metrics",
    "integration/test_otlp",
    "integration/test_prometheus",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` gives processes whole files, and here also files that belong together."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Sharing(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((prefix for prefix in _SHARING if file.startswith(prefix)), file)

    return Sharing(config, log)


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Every client of HTTP reads all that this machine trusts, which takes longer than most tests do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpx._transports.default, "create_ssl_context", cache(httpx.create_ssl_context))
        yield


def pytest_configure(config: pytest.Config) -> None:
    # As services do: to show all that was at hand where an exception came from takes seconds.
    render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], render])
    config.stash[_SERVERS] = Servers(in_memory=True)
    config.add_cleanup(config.stash[_SERVERS].close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(_TESTS).as_posix().startswith(_PROCESSES):
            item.add_marker(pytest.mark.no_cover)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Starts, side by side, the servers that the collected tests will ask for."""
    if session.config.option.collectonly:
        return
    asked_for = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for name in ("rabbitmq", "postgres", "redis"):
        if f"{name}_server" in asked_for:
            session.config.stash[_SERVERS].begin(name)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a test does to the logging of the process ends with it."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.setLevel(level)
    for handler in root.handlers[:]:
        if handler not in handlers and type(handler).__module__.startswith("service_kit."):
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    return pytestconfig.stash[_SERVERS].postgres


@pytest.fixture(scope="session")
def rabbitmq_server(pytestconfig: pytest.Config) -> RabbitServer:
    return pytestconfig.stash[_SERVERS].rabbitmq


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> RedisServer:
    return pytestconfig.stash[_SERVERS].redis


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own."""
    postgres_server.ensure_running()
    url = postgres_server.new_database()
    yield url
    postgres_server.ensure_running()
    postgres_server.drop_database(url)


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitServer) -> Iterator[str]:
    """An empty RabbitMQ virtual host of this test's own."""
    rabbitmq_server.ensure_running()
    url = rabbitmq_server.new_vhost()
    yield url
    rabbitmq_server.ensure_running()
    rabbitmq_server.drop_vhost(url)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A Redis that is empty."""
    redis_server.ensure_running()
    redis_server.flush()
    return redis_server.url
