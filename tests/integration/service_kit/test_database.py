"""What service_kit.database promises, on SQLite and on PostgreSQL."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service_kit.database import any_of, database_errors, db_now, downgrade, is_migrated, open_engine, upgrade
from service_kit.database.migrations import revisions
from service_kit.errors import InvalidInput, Unavailable
from tests.support.sample_database import MIGRATIONS, SCHEMA, parts, things


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sample.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url, SCHEMA)
    yield engine
    await engine.dispose()


@pytest.fixture
async def migrated(url: str, engine: AsyncEngine) -> AsyncEngine:
    await upgrade(url, MIGRATIONS, SCHEMA)
    return engine


def _thing(place: int, made_at: datetime | None = None) -> dict[str, object]:
    return {"thing_id": str(uuid.uuid4()), "place": place, "made_at": made_at}


async def test_rows_come_back_as_they_went(migrated: AsyncEngine) -> None:
    made_at = datetime(2026, 11, 23, 17, 0, 0, 123456, tzinfo=UTC)
    row = _thing(1, made_at)
    async with migrated.begin() as connection:
        await connection.execute(insert(things), [row])
    async with migrated.begin() as connection:
        found = (await connection.execute(select(things).where(things.c.made_at == made_at))).one()
    assert found._asdict() == row
    assert found.made_at.utcoffset() == timedelta(0)


async def test_the_databases_clock_moves_within_a_transaction(migrated: AsyncEngine) -> None:
    async with migrated.begin() as connection:
        first = (await connection.execute(select(db_now()))).scalar_one()
        await connection.execute(insert(things).values(_thing(1) | {"made_at": db_now()}))
        while (second := (await connection.execute(select(db_now()))).scalar_one()) == first:
            pass
        stored = (await connection.execute(select(things.c.made_at))).scalar_one()
        due = await connection.scalar(select(func.count()).where(things.c.made_at < db_now()))
    assert first <= stored <= second
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    assert due == 1


@pytest.mark.parametrize("place", [2**80, "half a pair: \ud800"])
async def test_what_cannot_be_stored_is_the_givers_mistake(migrated: AsyncEngine, place: object) -> None:
    with pytest.raises(InvalidInput) as refused, database_errors():
        async with migrated.begin() as connection:
            await connection.execute(text("SELECT CAST(:place AS INTEGER)"), {"place": place})
    assert refused.value.code == "NOT_STORABLE"


@pytest.mark.parametrize("count", [0, 1, 300])
async def test_a_list_is_one_parameter(migrated: AsyncEngine, count: int) -> None:
    rows = [_thing(place) for place in range(400)]
    ids = [row["thing_id"] for row in rows[:count]]
    async with migrated.begin() as connection:
        await connection.execute(insert(things), rows)
        by_id = await connection.scalars(
            select(things.c.place).where(any_of(things.c.thing_id, "ids")).order_by(things.c.place), {"ids": ids}
        )
        by_place = await connection.execute(delete(things).where(any_of(things.c.place, "places")), {"places": [1, 2]})
    assert list(by_id) == list(range(count))
    assert by_place.rowcount == 2


async def test_a_failed_transaction_leaves_nothing(migrated: AsyncEngine) -> None:
    async def insert_twice() -> None:
        async with migrated.begin() as connection:
            await connection.execute(insert(things), [_thing(1)])
            await connection.execute(insert(things), [_thing(1)])

    with pytest.raises(IntegrityError):
        await insert_twice()
    async with migrated.begin() as connection:
        assert await connection.scalar(select(func.count()).select_from(things)) == 0


async def test_foreign_keys_hold(migrated: AsyncEngine) -> None:
    with pytest.raises(IntegrityError):
        async with migrated.begin() as connection:
            await connection.execute(insert(parts).values(part_id=1, thing_id=str(uuid.uuid4())))


async def test_transactions_of_many_tasks_do_not_mix(migrated: AsyncEngine) -> None:
    async def count_up() -> None:
        async with migrated.begin() as connection:
            await connection.execute(text("SELECT 1"))
            await connection.execute(insert(things), [_thing(place=await _next_place())])

    places = iter(range(50))

    async def _next_place() -> int:
        await asyncio.sleep(0)
        return next(places)

    await asyncio.gather(*(count_up() for _ in range(50)))
    async with migrated.begin() as connection:
        assert await connection.scalar(select(func.count()).select_from(things)) == 50


async def test_up_down_up(url: str, engine: AsyncEngine) -> None:
    assert not await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    await upgrade(url, MIGRATIONS, SCHEMA)
    assert await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    await upgrade(url, MIGRATIONS, SCHEMA)
    await downgrade(url, MIGRATIONS, SCHEMA, "base")
    assert not await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    with pytest.raises(Unavailable) as caught, database_errors():
        async with engine.begin() as connection:
            await connection.execute(select(things))
    assert caught.value.code == "DATABASE_NOT_MIGRATED"
    await upgrade(url, MIGRATIONS, SCHEMA)
    assert await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")


async def test_code_runs_from_its_oldest_revision_to_what_comes_after_its_newest(url: str, engine: AsyncEngine) -> None:
    await upgrade(url, MIGRATIONS, SCHEMA, "0001")
    assert not await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    await upgrade(url, MIGRATIONS, SCHEMA, "0002")
    assert await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    await upgrade(url, MIGRATIONS, SCHEMA)
    version_table = "sample_alembic_version" if url.startswith("sqlite") else "sample.alembic_version"
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE {version_table} SET version_num = 'newer'"))
    assert await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")


@pytest.mark.parametrize("package", [MIGRATIONS, "gateway.storage.migrations", "command_service.storage.migrations"])
def test_revisions_are_those_of_alembic(package: str) -> None:
    scripts = ScriptDirectory(str(files(package)))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert revisions(package) == newest_first[::-1]


@pytest.mark.parametrize("service", ["gateway", "command_service"])
def test_a_running_service_does_not_carry_alembic(service: str) -> None:
    program = f"import sys, {service}.composition; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


async def test_migrating_keeps_the_rows(url: str, engine: AsyncEngine) -> None:
    await upgrade(url, MIGRATIONS, SCHEMA, "0002")
    thing = _thing(1)
    async with engine.begin() as connection:
        await connection.execute(insert(things), [thing])
        await connection.execute(insert(parts).values(part_id=1, thing_id=thing["thing_id"]))
    await upgrade(url, MIGRATIONS, SCHEMA)
    async with engine.begin() as connection:
        assert (await connection.execute(select(parts))).all() == [(1, thing["thing_id"])]


async def test_migration_jobs_wait_for_each_other(url: str, engine: AsyncEngine) -> None:
    await asyncio.gather(*(upgrade(url, MIGRATIONS, SCHEMA) for _ in range(4)))
    assert await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")


async def test_broken_connections_are_replaced(postgres_url: str) -> None:
    engine = open_engine(postgres_url, SCHEMA)

    async def backend() -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)

    victim = await backend()
    assert await backend() == victim
    killer = open_engine(postgres_url, SCHEMA)
    async with killer.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend({victim}, 5000)"))
    await killer.dispose()
    assert await backend() != victim
    await engine.dispose()


async def test_a_connection_that_breaks_in_use_is_told_as_unavailable(postgres_url: str) -> None:
    engine = open_engine(postgres_url, SCHEMA)
    with pytest.raises(Unavailable) as caught, database_errors():
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    async with engine.begin() as connection:
        assert await connection.scalar(select(1)) == 1
    await engine.dispose()


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:wrong@127.0.0.1:1/nowhere", "postgresql://nobody@no-such-host.invalid/nowhere"]
)
async def test_a_server_that_is_not_there_is_told_as_unavailable(url: str) -> None:
    engine = open_engine(url, SCHEMA)
    with pytest.raises(Unavailable):
        await is_migrated(engine, MIGRATIONS, SCHEMA, "0002")
    with pytest.raises(Unavailable):
        await upgrade(url, MIGRATIONS, SCHEMA)
    await engine.dispose()
