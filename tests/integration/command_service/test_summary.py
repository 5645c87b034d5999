"""The summary: what it counts, before and after folding, on both databases; and how little it reads."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from command_service.domain.command import Command, Status
from command_service.storage import SCHEMA, SqlStorage
from command_service.storage.session import Session
from command_service.storage.unit_of_work import SqlUnitOfWork
from command_service.use_cases.count_commands import CountCommands
from command_service.use_cases.ports import CommandFilter
from command_service.use_cases.summary import SETTLED_AFTER, FoldEndedCommands, Summarise, Summary
from service_kit.database import downgrade, open_engine
from service_kit.errors import InvalidInput, Unavailable
from tests.bench.recent import insert_recent
from tests.integration.command_service.rows import a_command, a_vehicle, completed, in_progress, new_id, online, store

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


async def clock(storage: SqlStorage) -> datetime:
    async with storage.reading() as uow:
        return await uow.clock()


async def fold(storage: SqlStorage) -> None:
    while await FoldEndedCommands(storage)():
        pass


async def counted(storage: SqlStorage) -> list[tuple[str, int]]:
    """What is in the counts, without what has ended since."""
    async with storage.transaction() as uow:
        await uow.reports.lock_folded_until()
        found = await uow.reports.ended_since(datetime.fromisoformat("2020-01-01T00:00:00+00:00"))
    return sorted((one.status, one.count) for one in found)


def sent(at: datetime, **facts: Any) -> Command:
    return a_command(created_at=at, lane=new_id(), **facts)


def ended(at: datetime, status: Status, seconds: float = 1.0, created_at: datetime | None = None) -> Command:
    command = in_progress(sent(created_at or at), at)
    if status is Status.COMPLETED:
        command.complete(at + timedelta(seconds=seconds))
    else:
        command._end(status, at + timedelta(seconds=seconds), "CODE")
    return command


async def some_of_everything(storage: SqlStorage, now: datetime) -> None:
    hour = now.replace(minute=0, second=0, microsecond=0)
    running = in_progress(sent(now), now)
    commands = [
        *(ended(hour - HOUR + number * SECOND, Status.COMPLETED, number) for number in range(1, 101)),
        ended(hour - 2 * HOUR, Status.FAILED),
        ended(hour - 2 * HOUR + 59 * timedelta(minutes=1), Status.TIMED_OUT),
        ended(hour - HOUR, Status.EXPIRED, created_at=hour - 3 * HOUR),
        ended(now, Status.CANCELLED, created_at=now),
        ended(hour - 4 * HOUR, Status.COMPLETED, 3000),
        running,
        sent(now),
        sent(hour - 50 * HOUR),
    ]
    await store(storage, commands=commands)


def expected_hours(summary: Summary) -> list[dict[str, int]]:
    return [dict(hour.ended) for hour in summary.hours]


@pytest.mark.parametrize("folded", [False, True])
async def test_what_it_counts(storage: SqlStorage, folded: bool) -> None:
    now = await clock(storage)
    hour = now.replace(minute=0, second=0, microsecond=0)
    await some_of_everything(storage, now)
    if folded:
        await fold(storage)
    summary = await Summarise(storage)(4)
    assert expected_hours(summary) == [
        {"expired": 1},
        {"failed": 1, "timed_out": 1},
        {"completed": 100},
        {"cancelled": 1},
    ]
    assert [one.start for one in summary.hours] == [hour - back * HOUR for back in (3, 2, 1, 0)]
    assert summary.by_status == {
        "completed": 100,
        "failed": 1,
        "timed_out": 1,
        "expired": 1,
        "cancelled": 1,
        "in_progress": 1,
        "pending": 1,
    }
    assert summary.p50_seconds == pytest.approx(50, rel=0.1)
    assert summary.p95_seconds == pytest.approx(95, rel=0.1)
    assert summary.generated_at >= now
    longer = await Summarise(storage)(168)
    assert (len(longer.hours), longer.by_status["completed"], longer.by_status["pending"]) == (168, 101, 2)


async def test_each_end_is_counted_once(storage: SqlStorage) -> None:
    now = await clock(storage)
    await some_of_everything(storage, now)
    before = (await Summarise(storage)(24)).by_status
    for _ in range(3):
        await fold(storage)
        assert (await Summarise(storage)(24)).by_status == before
    settled = now - SETTLED_AFTER - SECOND
    await store(storage, commands=[ended(settled, Status.COMPLETED, 0), ended(settled, Status.FAILED, 0)])
    await fold(storage)
    after = (await Summarise(storage)(24)).by_status
    assert after["completed"] == before["completed"] + 1
    assert after["failed"] == before["failed"] + 1


async def test_what_has_just_ended_waits_to_be_folded(storage: SqlStorage) -> None:
    now = await clock(storage)
    await store(storage, commands=[ended(now - SECOND, Status.COMPLETED, 0)])
    assert not await FoldEndedCommands(storage)()
    async with storage.transaction() as uow:
        assert await uow.reports.lock_folded_until() < now - timedelta(days=7)
    assert (await Summarise(storage)(2)).by_status["completed"] == 1


async def test_a_long_past_is_folded_bit_by_bit_and_forgotten(storage: SqlStorage) -> None:
    now = await clock(storage)
    old = [ended(now - back * HOUR, Status.COMPLETED, created_at=now - (back + 100) * HOUR) for back in (150, 100, 3)]
    await store(storage, commands=old)
    assert [await FoldEndedCommands(storage)() for _ in range(4)] == [True, True, True, False]
    await store(storage, commands=[ended(now - SETTLED_AFTER - SECOND, Status.FAILED, 0)])
    await fold(storage)
    # Of the first two, the hours in which they were sent are longer ago than anybody may ask for.
    assert await counted(storage) == [("completed", 1), ("failed", 1)]


async def test_vehicles_and_what_waits_for_them(storage: SqlStorage) -> None:
    now = await clock(storage)
    here, away, gone = online(a_vehicle("HERE")), a_vehicle("AWAY"), a_vehicle("GONE", deleted_at=now)
    commands = [
        sent(now, vehicle_id=here.vehicle_id),
        sent(now, vehicle_id=away.vehicle_id),
        sent(now - 1000 * HOUR, vehicle_id=away.vehicle_id),
        completed(sent(now, vehicle_id=away.vehicle_id), now),
    ]
    await store(storage, vehicles=[here, away, gone], commands=commands)
    summary = await Summarise(storage)(24)
    assert (summary.vehicles_online, summary.vehicles_offline, summary.waiting_for_offline_vehicles) == (1, 1, 2)
    assert summary.by_status["pending"] == 2


async def test_counting_what_a_filter_finds(storage: SqlStorage) -> None:
    now = await clock(storage)
    vehicle_id = new_id()
    commands = [ended(now - HOUR, Status.FAILED), ended(now, Status.COMPLETED), sent(now, vehicle_id=vehicle_id)]
    await store(storage, commands=commands)
    expected: list[tuple[dict[str, Any], int]] = [
        ({}, 3),
        ({"vehicle_id": vehicle_id}, 1),
        ({"vehicle_id": "nonsense"}, 0),
        ({"statuses": ["pending", "failed", "expired"]}, 2),
        ({"from_": now - SECOND}, 2),
        ({"to": now - SECOND}, 1),
        ({"command_name": "ClearDTC"}, 0),
    ]
    for filter_, count in expected:
        assert await CountCommands(storage)(CommandFilter(**filter_), 10) == count, filter_
    assert await CountCommands(storage)(CommandFilter(), 2) == 2
    assert await CountCommands(storage)(CommandFilter(statuses=["pending", "failed"]), 1) == 1


async def test_nothing_at_all(storage: SqlStorage) -> None:
    summary = await Summarise(storage)(1)
    assert (summary.p50_seconds, summary.p95_seconds, dict(summary.by_status)) == (None, None, {})
    assert expected_hours(summary) == [{}]


@pytest.mark.parametrize("hours", [0, 169])
async def test_hours_that_nobody_may_ask_for(storage: SqlStorage, hours: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 168"):
        await Summarise(storage)(hours)


async def test_before_its_migration_only_the_summary_is_not_there(storage: SqlStorage, database_url: str) -> None:
    await downgrade(database_url, "command_service.storage.migrations", SCHEMA, "0001")
    now = await clock(storage)
    await store(storage, commands=[ended(now, Status.COMPLETED)])
    for ask in (FoldEndedCommands(storage)(), Summarise(storage)(24)):
        with pytest.raises(Unavailable) as caught:
            await ask
        assert caught.value.code == "DATABASE_NOT_MIGRATED"


_ROWS_READ = text(
    "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
    " WHERE schemaname = 'command_service' AND relname = 'commands'"
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_it_is_read_from_counts(storage: SqlStorage, database_url: str) -> None:
    """How long that takes with a million commands, tests/bench/summary.py tells."""
    insert_recent(database_url, commands=20_000, hours=23)
    await fold(storage)
    summary = await Summarise(storage)(24)
    assert sum(summary.by_status.values()) == 20_000
    assert summary.by_status["pending"] == 20
    assert summary.p50_seconds == pytest.approx(2.5, rel=0.1)
    engine = open_engine(database_url, SCHEMA)
    async with engine.connect() as connection:
        reports = SqlUnitOfWork(Session(connection)).reports
        await reports.ended_since(summary.hours[0].start)
        await reports.open_since(summary.hours[0].start)
        await reports.count_waiting_for_offline_vehicles()
        rows_read = (await connection.execute(_ROWS_READ)).scalar_one()
    await engine.dispose()
    assert rows_read < 200
