"""Alembic without its command line: a service's migrations are a package, its env.py is three lines.

    from service_kit.database import run_migrations
    from command_service.storage.tables import metadata
    run_migrations(metadata)

Migrations name no schema: on PostgreSQL the connection's search path is the service's schema. Alembic, 10 MB of memory,
is imported by what migrates only: a service that runs just reads which revision its database is at.
"""

import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, MetaData, column, inspect, select, table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from service_kit.database.engine import (
    database_errors,
    database_url,
    is_sqlite,
    open_postgresql,
    open_sqlite,
    to_its_end,
)

if TYPE_CHECKING:
    from alembic.config import Config


async def upgrade(url: str, script_package: str, schema: str, revision: str = "head") -> None:
    """Brings the schema to the revision, creating it if need be; several at a time wait for each other."""
    from alembic import command

    await _migrate(url, schema, script_package, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, script_package: str, schema: str, revision: str) -> None:
    from alembic import command

    await _migrate(url, schema, script_package, lambda config: command.downgrade(config, revision))


async def is_migrated(engine: AsyncEngine, script_package: str, schema: str, oldest: str) -> bool:
    """Whether this code can work on the database as it is: at the revision `oldest` or at a newer one.

    Also at one that it does not know: the release before runs while the next one migrates.
    """
    known = revisions(script_package)
    too_old = known[: known.index(oldest)]
    with database_errors():
        current = await to_its_end(_revision_of(engine, schema))
    return current is not None and current not in too_old


def revisions(script_package: str) -> list[str]:
    """Oldest first. The name of a migration's file begins with its revision, as in 0001_users.py."""
    names = [file.name for file in files(script_package).joinpath("versions").iterdir()]
    return sorted(name.partition("_")[0] for name in names if name[0].isdigit())


async def _revision_of(engine: AsyncEngine, schema: str) -> str | None:
    async with engine.connect() as connection:
        return await connection.run_sync(_current_revision, schema)


def run_migrations(metadata: MetaData) -> None:
    """What a service's env.py calls."""
    from alembic import context

    connection: Connection = context.config.attributes["connection"]
    schema: str = context.config.attributes["schema"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        **_version_table(connection, schema),
    )
    with context.begin_transaction():
        context.run_migrations()


async def _migrate(url: str, schema: str, script_package: str, run: Callable[["Config"], None]) -> None:
    engine = _migration_engine(url, schema)
    try:
        with database_errors():
            async with engine.begin() as connection:
                await connection.run_sync(_locked, schema, _config(script_package, schema), run)
    finally:
        await engine.dispose()


def _migration_engine(url: str, schema: str) -> AsyncEngine:
    parsed = database_url(url)
    if is_sqlite(url):
        # Batch mode rebuilds tables; with foreign keys on, dropping the old one would delete what refers to it.
        return open_sqlite(parsed, schema, foreign_keys=False)
    return open_postgresql(parsed, f"{schema}-migrate", 1, timeout_seconds=0, search_path=f'"{schema}"')


def _locked(connection: Connection, schema: str, config: "Config", run: Callable[["Config"], None]) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's transaction is the lock already
        # Held until the connection closes, so that a migration may commit in between.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": zlib.crc32(f"migrate {schema}".encode())})
        _create_schema(connection, schema)
    config.attributes["connection"] = connection
    run(config)


def _create_schema(connection: Connection, schema: str) -> None:
    # IF NOT EXISTS would ask for the right to create even where there is nothing to create.
    exists = connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema})
    if not exists:
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))


def _config(script_package: str, schema: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", ":".join(script_package.rsplit(".", 1)))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


def _version_table(connection: Connection, schema: str) -> dict[str, Any]:
    if connection.dialect.name == "sqlite":  # services may share one file
        return {"version_table": f"{schema}_alembic_version"}
    return {"version_table_schema": schema}


def _current_revision(connection: Connection, schema: str) -> str | None:
    place = _version_table(connection, schema)
    name, schema_name = place.get("version_table", "alembic_version"), place.get("version_table_schema")
    if not inspect(connection).has_table(name, schema=schema_name):
        return None
    version: str | None = connection.scalar(select(table(name, column("version_num"), schema=schema_name)))
    return version
