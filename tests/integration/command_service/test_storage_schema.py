"""The schema: what the migrations make is what the tables say, up and down, and what is asked finds its index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, literal, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from command_service.domain.audit import seal
from command_service.domain.command import Status
from command_service.storage import MIGRATIONS, SCHEMA, SqlStorage, is_migrated, migrate
from command_service.storage.queues import queues_as_read
from command_service.storage.session import Session
from command_service.storage.tables import metadata
from command_service.storage.unit_of_work import SqlUnitOfWork
from command_service.use_cases.ports import AuditFilter, CommandFilter, IdempotencyRecord, VehicleSort
from service_kit.database import database_url as with_driver
from service_kit.database import downgrade, open_engine
from service_kit.errors import Unavailable
from tests.integration.command_service.rows import (
    NOW,
    USER,
    a_command,
    a_response,
    a_vehicle,
    an_entry,
    an_evidence,
    dispatched,
    new_id,
    online,
    store,
)

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


# What SQLite's are made of can be read from it only where they are made of columns.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
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


_WHOLE_TABLES_READ = text(
    "SELECT relname FROM pg_stat_xact_user_tables WHERE schemaname = 'command_service' AND seq_scan > 0"
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_nothing_reads_a_whole_table(database_url: str) -> None:
    """Not even while the tables are empty and nobody has gathered statistics: plans live on when they have grown."""
    engine = open_engine(database_url, SCHEMA)
    async with engine.connect() as connection:
        await _everything(SqlUnitOfWork(Session(connection)))
        read = set((await connection.execute(_WHOLE_TABLES_READ)).scalars())
    await engine.dispose()
    assert read == {"audit_chain"}  # has one row


_INDEXES_READ = text(
    "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'command_service.commands'::regclass"
    " AND pg_stat_get_xact_numscans(indexrelid) > 0"
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_acceptance_reads_what_is_open_of_its_vehicles_only(storage: SqlStorage, database_url: str) -> None:
    vehicles = [a_vehicle(f"WDD{number:014}") for number in range(50)]
    commands = [a_command(vehicle.vehicle_id) for vehicle in vehicles for _ in range(20)]
    await store(storage, vehicles=vehicles, commands=commands)
    engine = open_engine(database_url, SCHEMA)
    async with engine.connect() as connection:
        await connection.execute(text("ANALYZE command_service.commands, command_service.vehicles"))
        session = Session(connection)
        await SqlUnitOfWork(session).queues.with_vehicles([vehicles[0].vehicle_id])
        assert await session.column(select(literal(1)).select_from(queues_as_read), session.as_read) == [1]
        read = set((await connection.execute(_INDEXES_READ)).scalars())
    await engine.dispose()
    assert read == {"command_service.commands_open"}


async def _everything(uow: SqlUnitOfWork) -> None:
    vehicle = online(a_vehicle())
    commands = [a_command(vehicle.vehicle_id, lane=f"lane-{number}") for number in range(20)]
    ids, vehicle_ids = [command.command_id for command in commands], [vehicle.vehicle_id]
    record = IdempotencyRecord(USER, "key", b"hash", ids[0], NOW)
    await uow.vehicles.insert(vehicle)
    await uow.vehicles.lock(vehicle_ids)
    await uow.vehicles.update([vehicle])
    await uow.vehicles.touch([(vehicle.vehicle_id, 1)])
    await uow.vehicles.by_vin([vehicle.vin])
    await uow.vehicles.vins(vehicle_ids)
    await uow.vehicles.on_connector("connector-1")
    await uow.vehicles.page("wdd", "online", 10, ("W", new_id()))
    for sort in (VehicleSort.MAKE, VehicleSort.MODEL, VehicleSort.YEAR):
        value = getattr(vehicle, sort)
        await uow.vehicles.page("", "", 10, (value, vehicle.vehicle_id), sort, descending=True)
    await uow.idempotency.put([record])
    await uow.idempotency.find([(USER, "key")])
    await uow.idempotency.delete_old(10)
    await uow.commands.insert(commands)
    await uow.commands.get(ids)
    await uow.commands.update([dispatched(command) for command in (await uow.commands.lock(ids)).values()])
    claimed = [context.command for context in (await uow.commands.lock_for_claim(ids)).values()]
    for command in claimed:
        command.claim(1, "connector-1", 1, NOW)
    await uow.commands.update(claimed)
    await uow.queues.open_of_vehicles(vehicle_ids)
    await uow.queues.with_vehicles(vehicle_ids)
    await uow.commands.has_open(vehicle.vehicle_id)
    await uow.commands.vehicles_with_runnable_work(10)
    await uow.commands.in_progress_on(vehicle_ids)
    await uow.commands.expired(10)
    await uow.commands.unclaimed(1, 10)
    await uow.commands.overdue(1, 1, 10)
    await uow.commands.cancels_unanswered(1, 10)
    statuses = [status.value for status in Status]
    for filter_ in (
        CommandFilter(),
        CommandFilter(vehicle_id=vehicle.vehicle_id, statuses=statuses),
        CommandFilter(user_id=USER, command_name="ReadDTC", from_=NOW, to=NOW),
    ):
        await uow.commands.page(filter_, 10, 100)
    await uow.responses.append([a_response(command_id, 1) for command_id in ids])
    await uow.responses.page(ids[0], 0, 10)
    await uow.responses.after_each([(command_id, 0) for command_id in ids], 10)
    await uow.responses.delete_of_commands_completed_before(NOW, 10)
    await uow.evidence.append([an_evidence(ids[0], 1)])
    await uow.evidence.page(ids[0], 10, 0)
    await uow.reports.fault_readings(vehicle.vehicle_id, 10)
    await uow.reports.count_commands(CommandFilter(vehicle.vehicle_id, USER, statuses, "ReadDTC", NOW, NOW), 10)
    await uow.reports.count_commands(CommandFilter(), 10)
    await uow.reports.lock_folded_until()
    await uow.reports.first_unfolded_end(NOW)
    await uow.reports.fold(NOW)
    await uow.reports.ended_since(NOW)
    await uow.reports.open_since(NOW)
    await uow.reports.count_vehicles()
    await uow.reports.count_waiting_for_offline_vehicles()
    await uow.reports.forget_hours_before(NOW)
    await _all_of_the_audit_trail(uow)


async def _all_of_the_audit_trail(uow: SqlUnitOfWork) -> None:
    await uow.audit.append([an_entry() for _ in range(20)])
    for filter_ in (AuditFilter(), AuditFilter("action", USER, USER, NOW, NOW)):
        await uow.audit.page(filter_, 10, (NOW, new_id()))
    number, last_hash = await uow.audit.lock_chain()
    await uow.audit.store_seals(seal(await uow.audit.unsealed(10), number, last_hash))
    await uow.audit.count_unsealed()
    async for _ in uow.audit.sealed():
        pass
