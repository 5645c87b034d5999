"""Opening a database, and saying in one place which of its errors mean that it is away."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.event import listen
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service_kit.errors import InvalidInput, ServiceError, Unavailable

Result = TypeVar("Result")

STATEMENT_TIMEOUT_SECONDS = 60
POOL_SECONDS = 10
_READING = "service_kit_reading"

# SQLSTATE classes and codes: connection, log-in refused, no such database, transaction rolled back (deadlock),
# resources, shutdown or start-up, lock not available, statement timeout. Trying again later helps, perhaps after an
# operator has put something right; nothing was committed or its fate is unknown.
_AWAY_SQLSTATES = ("08", "28", "3D000", "40", "53", "57", "55P03")
_AWAY_SQLITE_CODES = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CANTOPEN",
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_READONLY",
)
_DATA_EXCEPTION = "22"  # class of SQLSTATE: out of range, NUL in a text, not UTF-8
_CLOSED = ("connection is closed", "connection was closed")
_NOT_MIGRATED_SQLSTATES = ("3F000", "42P01")  # no such schema, no such table


def database_url(url: str) -> URL:
    """The URL with its driver; ValueError unless it is postgresql://… or sqlite:///…"""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("give postgresql://… or sqlite:///…") from error
    if parsed.drivername == "postgresql":
        query = dict(parsed.query)
        if "sslmode" in query:  # libpq's name for what asyncpg calls ssl
            query["ssl"] = query.pop("sslmode")
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    if parsed.drivername == "sqlite" and parsed.database:
        return parsed.set(drivername="sqlite+aiosqlite")
    raise ValueError("give postgresql://… or sqlite:///…")


def open_engine(url: str, schema: str, *, application_name: str | None = None, pool_size: int = 10) -> AsyncEngine:
    """An engine for tables of MetaData(schema=schema); on SQLite, which has no schemas, they lie side by side."""
    parsed = database_url(url)
    if is_sqlite(url):
        return open_sqlite(parsed, schema)
    return open_postgresql(parsed, application_name or schema, pool_size)


def is_sqlite(url: str) -> bool:
    return database_url(url).get_backend_name() == "sqlite"


def open_postgresql(
    url: URL,
    application_name: str,
    pool_size: int,
    *,
    timeout_seconds: int = STATEMENT_TIMEOUT_SECONDS,
    **server_settings: str,
) -> AsyncEngine:
    options = driver_options(application_name, timeout_seconds=timeout_seconds, **server_settings)
    engine = create_async_engine(
        url,
        hide_parameters=True,  # errors are logged, and what is stored is nobody's business there
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_SECONDS,
        pool_use_lifo=True,
        connect_args=options | {"prepared_statement_cache_size": 200},
    )
    listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def driver_options(
    application_name: str, *, timeout_seconds: int = STATEMENT_TIMEOUT_SECONDS, **server_settings: str
) -> dict[str, Any]:
    """How every connection to PostgreSQL is set up. A timeout of 0 is none."""
    settings = {
        "application_name": application_name,
        "statement_timeout": f"{timeout_seconds}s",
        "idle_in_transaction_session_timeout": f"{timeout_seconds}s",
        "jit": "off",
        # Every statement has its index, every join goes by key, and each is planned once: planning costs more than
        # executing. A plan made while a table was empty must not read all of it when it has grown.
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "plan_cache_mode": "force_generic_plan",
    }
    return {
        "timeout": 10,
        # The server may be gone without a word: then its own timeout never reports.
        "command_timeout": timeout_seconds + 5 if timeout_seconds else None,
        "server_settings": settings | server_settings,
    }


def _refuse_closed(connection: DBAPIConnection, record: Any, proxy: Any) -> None:
    # The driver knows when its socket was closed: a broken connection is replaced without a ping on every checkout.
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def open_sqlite(url: URL, schema: str, *, foreign_keys: bool = True) -> AsyncEngine:
    # At DEBUG it would log every statement with its parameters.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    # One connection: writers would wait for each other anyway, and here they wait in order.
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_timeout=30,
        execution_options={"schema_translate_map": {schema: None}},
    )

    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", f"foreign_keys={foreign_keys:d}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    listen(engine.sync_engine, "connect", prepare)
    # A transaction that reads first and writes later must not find that another one came between.
    listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def reading_engine(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for reading only: each statement sees what is committed, without a transaction around."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READING: True})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def to_its_end(operation: Awaitable[Result]) -> Result:
    """Also when the caller is cancelled: SQLite's driver works in a thread, and a connection that is given up in the
    middle is neither closed nor free."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextmanager
def database_errors() -> Iterator[None]:
    """Turns errors that mean "the database is away" into Unavailable, and those that mean "no database can store this"
    into InvalidInput; all others pass."""
    try:
        yield
    except (SQLAlchemyError, OSError, OverflowError, UnicodeEncodeError) as error:
        translated = _translated(error)
        if translated is None:
            raise
        raise translated from error


def cause_of(error: Exception) -> str:
    """What the driver said, for the operator: a refused password, a database that does not exist."""
    cause = error.__cause__
    said = str(getattr(cause, "orig", None) or cause or error).splitlines()
    return said[0] if said else type(cause).__name__


def _translated(error: Exception) -> ServiceError | None:
    if _is_not_storable(error):
        return InvalidInput("NOT_STORABLE", "The database cannot store what was given.")
    if _is_away(error):
        return Unavailable("DATABASE_UNAVAILABLE", "The database does not answer; try again.")
    if _is_not_migrated(error):
        return Unavailable("DATABASE_NOT_MIGRATED", "The database lacks its tables; run `sovd migrate`.")
    return None


def _is_not_storable(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return _sqlstate(error).startswith(_DATA_EXCEPTION)
    return isinstance(error, (OverflowError, UnicodeEncodeError))  # SQLite's driver says it so


def _is_away(error: Exception) -> bool:
    if isinstance(error, (OSError, PoolTimeout, DisconnectionError)):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return (
        error.connection_invalidated
        or _sqlstate(error).startswith(_AWAY_SQLSTATES)
        or _sqlite_code(error).startswith(_AWAY_SQLITE_CODES)
        or any(reason in str(error.orig) for reason in _CLOSED)
    )


def _is_not_migrated(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    return _sqlstate(error) in _NOT_MIGRATED_SQLSTATES or str(error.orig).startswith("no such table")


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _sqlite_code(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlite_errorname", "")
