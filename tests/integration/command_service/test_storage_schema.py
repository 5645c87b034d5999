"""The schema: what the migrations make is what the tables say, up and down, and what is asked finds its index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from command_service.storage import MIGRATIONS, SCHEMA, SqlStorage, is_migrated, migrate
from command_service.storage.session import Session
from command_service.storage.tables import metadata
from command_service.storage.unit_of_work import SqlUnitOfWork
from service_kit.database import database_url as with_driver
from service_kit.database import downgrade, open_engine
from service_kit.errors import Unavailable
from tests.integration.command_service.rows import NOW, a_command, dispatched, store

_UPDATES = text(
    "SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_hot_updated(oid) FROM pg_class"
    " WHERE oid = 'command_service.commands'::regclass"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
    else:
        yield request.getfixturevalue("postgres_url")


async def test_up_down_and_up_again(empty_url: str) -> None:
    engine = open_engine(empty_url, SCHEMA)
    storage = SqlStorage(engine)
    assert not await is_migrated(engine)
    for _ in range(2):
        await migrate(empty_url)
        assert await is_migrated(engine)
        await store(storage, commands=[command := a_command()])
        assert command.accept_number == 1
        await downgrade(empty_url, MIGRATIONS, SCHEMA, "base")
        assert not await is_migrated(engine)
    with pytest.raises(Unavailable) as caught:
        await store(storage, commands=[a_command()])
    assert caught.value.code == "DATABASE_NOT_MIGRATED"
    await engine.dispose()


async def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    engine = create_async_engine(with_driver(database_url))  # its view of the schema is nobody's in particular
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


def _differences(connection: Connection) -> list[Any]:
    sqlite = connection.dialect.name == "sqlite"
    schema = None if sqlite else SCHEMA
    options = {
        "include_schemas": not sqlite,
        "include_name": lambda name, kind, parents: kind != "schema" or name == schema,
        "include_object": lambda one, name, kind, reflected, other: "alembic_version" not in str(name),
        "compare_type": True,
    }
    target = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(target, schema=schema)  # type: ignore[arg-type]
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, target))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_claim_and_a_response_touch_no_index(storage: SqlStorage, database_url: str) -> None:
    commands = [dispatched(a_command()) for _ in range(100)]
    await store(storage, commands=commands)
    engine = open_engine(database_url, SCHEMA)
    async with engine.connect() as connection:
        uow = SqlUnitOfWork(Session(connection))
        for command in commands:
            command.claim(1, "connector-1", 1, NOW)
        await uow.commands.update(commands)
        for command in commands:
            command.record_response(NOW)
        await uow.commands.update(commands)
        updates, in_place = (await connection.execute(_UPDATES)).one()
    await engine.dispose()
    assert updates == 200
    assert in_place >= 80  # the others found their page full of rows that this very transaction still holds
