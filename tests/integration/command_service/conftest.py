"""Storage on both databases, migrated once for the session and empty for each test."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from command_service.storage import SCHEMA, SqlStorage, migrate
from service_kit.database import open_engine
from tests.integration.command_service.world import World
from tests.support.servers import PostgresServer
from tests.support.sql import run_apart


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database with the schema and nothing in it: fresh ones are copied from it."""
    url = postgres_server.new_database()
    run_apart(migrate(url))
    yield urlsplit(url).path.lstrip("/")
    postgres_server.ensure_running()
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for SQLite."""
    path = tmp_path_factory.mktemp("command_service") / "migrated.db"
    run_apart(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_file'), tmp_path / 'commands.db')}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.ensure_running()
    url = server.new_database(request.getfixturevalue("migrated_template"))
    yield url
    server.ensure_running()
    server.drop_database(url)


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[SqlStorage]:
    engine = open_engine(database_url, SCHEMA)
    yield SqlStorage(engine)
    await engine.dispose()


@pytest.fixture
def world(storage: SqlStorage) -> World:
    return World(storage)
