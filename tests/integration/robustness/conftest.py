"""One running system for all who send it what they should not; after each of them it has to work as before."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.integration.robustness.harness import MAX_BODY_BYTES, Api, api_of, pids
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import ADMIN, System, running


@pytest.fixture(scope="package")
def running_system(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    database_url, rabbitmq_url = postgres_server.new_database(), rabbitmq_server.new_vhost()
    system = System(
        database_url,
        rabbitmq_url,
        redis_server.url,
        tmp_path_factory.mktemp("system"),
        vehicles=2,
        settings={"MAX_BODY_BYTES": str(MAX_BODY_BYTES)},
    )
    with running(system):
        yield system
    postgres_server.drop_database(database_url)
    rabbitmq_server.drop_vhost(rabbitmq_url)


@pytest.fixture(scope="package")
def token(running_system: System) -> str:
    return running_system.token(ADMIN)


@pytest.fixture(scope="package")
def vehicles(running_system: System) -> list[dict[str, Any]]:
    with running_system.client() as client:
        found: list[dict[str, Any]] = running_system.wait_for_vehicles(client, 2)
    return found


@pytest.fixture
async def api(running_system: System, token: str, vehicles: list[dict[str, Any]]) -> AsyncIterator[Api]:
    """The system, which after the test has the same processes and does its main job."""
    before = pids(running_system)
    async with api_of(running_system, token, vehicles) as api:
        yield api
        await api.works()
    assert pids(running_system) == before
