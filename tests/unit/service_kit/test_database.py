import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service_kit.database import UtcDateTime, any_of, database_errors, database_url, db_now, open_engine
from service_kit.errors import Unavailable
from tests.support.sample_database import things


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://", "postgresql+psycopg2://host/db"])
def test_other_urls_are_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ValueError, match=r"postgresql://… or sqlite:///…"):
        database_url(url)


def test_a_url_gets_its_driver_and_the_drivers_name_for_ssl() -> None:
    assert database_url("sqlite:////tmp/x.db").drivername == "sqlite+aiosqlite"
    url = database_url("postgresql://user:secret@host/db?sslmode=require")
    assert url.drivername == "postgresql+asyncpg"
    assert dict(url.query) == {"ssl": "require"}


def test_sqlite_times_are_utc_text_that_sorts() -> None:
    store = UtcDateTime().bind_processor(sqlite.dialect())
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert store(noon) == "2026-03-01T12:00:00.000000+00:00"
    assert store(noon.astimezone(timezone(timedelta(hours=2)))) == store(noon)
    assert store(noon) < store(noon + timedelta(microseconds=1)) < store(noon + timedelta(seconds=1))
    with pytest.raises(ValueError, match="time zone"):
        store(datetime(2026, 3, 1, 12))


def test_statements_read_alike_on_both_databases() -> None:
    query = select(things.c.place).where(any_of(things.c.thing_id, "ids"), things.c.made_at < db_now())
    on_postgresql = str(query.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "ANY (" in on_postgresql
    assert "clock_timestamp()" in on_postgresql
    on_sqlite = str(query.compile(dialect=sqlite.dialect()))
    assert "IN (SELECT value FROM json_each(" in on_sqlite


def _dbapi_error(**facts: object) -> DBAPIError:
    cause = type("DriverError", (Exception,), facts)(facts.get("text", "it failed"))
    return DBAPIError("SELECT 1", None, cause, connection_invalidated=bool(facts.get("invalidated")))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        PoolTimeout("no connection is free"),
        _dbapi_error(invalidated=True),
        _dbapi_error(sqlstate="57P01"),
        _dbapi_error(sqlstate="40P01"),
        _dbapi_error(sqlstate="53300"),
        _dbapi_error(sqlite_errorname="SQLITE_BUSY"),
        _dbapi_error(sqlite_errorname="SQLITE_IOERR_WRITE"),
        _dbapi_error(text="connection is closed"),
    ],
)
def test_what_means_that_the_database_is_away(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, database_errors():
        raise error
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [_dbapi_error(sqlstate="42P01"), _dbapi_error(text="no such table: things")])
def test_missing_tables_are_named_as_such(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, database_errors():
        raise error
    assert caught.value.code == "DATABASE_NOT_MIGRATED"


@pytest.mark.parametrize("error", [_dbapi_error(sqlstate="23505"), _dbapi_error(text="syntax error"), ValueError()])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, database_errors():
        raise error
    assert caught.value is error


async def test_sqlite_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    before = threading.enumerate()
    engine = open_engine(f"sqlite:///{tmp_path}/missing/x.db", "sample")
    with pytest.raises(Unavailable), database_errors():
        async with engine.connect() as connection:
            await connection.execute(select(1))
    await engine.dispose()
    for thread in threading.enumerate():  # the driver's, which still tells this loop that it ends
        if thread not in before and "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)
