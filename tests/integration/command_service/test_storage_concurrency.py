"""Transactions of several replicas at once. SQLite knows only one writer, so most of this is PostgreSQL's alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.domain.audit import seal
from command_service.domain.command import Command, Status
from command_service.storage import SCHEMA, SqlStorage
from command_service.use_cases.ports import AlreadyStored, AuditFilter, CommandFilter, IdempotencyRecord
from service_kit.database import open_engine
from service_kit.errors import Unavailable
from tests.integration.command_service.rows import (
    NOW,
    a_command,
    a_response,
    a_vehicle,
    an_entry,
    completed,
    dispatched,
    new_id,
    online,
    store,
)
from tests.support.servers import PostgresServer

Answer = TypeVar("Answer")

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
async def observer(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(database_url, SCHEMA)
    yield engine
    await engine.dispose()


async def _until_waiting(observer: AsyncEngine, count: int = 1) -> None:
    """Until so many transactions wait for a lock."""
    async with asyncio.timeout(30), observer.connect() as connection:
        while (await connection.execute(_WAITING)).scalar_one() < count:
            await connection.commit()


async def _behind(observer: AsyncEngine, first: Callable[[], Awaitable[object]], second: Awaitable[Answer]) -> Answer:
    """What the second, started while something holds its lock, answers after `first` let go."""
    task = asyncio.ensure_future(second)
    await _until_waiting(observer)
    assert not task.done()
    await first()
    return await task


async def _dispatch(storage: SqlStorage, command: Command) -> Command:
    async with storage.transaction() as uow:
        locked = (await uow.commands.lock([command.command_id]))[command.command_id]
        if locked.status is Status.PENDING:
            locked.dispatch("connector-2", 1, await uow.clock())
            await uow.commands.update([locked])
            await uow.commit()
    return locked


@on_postgresql
async def test_a_lock_waits_and_then_sees_what_was_committed(storage: SqlStorage, observer: AsyncEngine) -> None:
    await store(storage, commands=[command := a_command()])
    async with storage.transaction() as uow:
        locked = (await uow.commands.lock([command.command_id]))[command.command_id]
        locked.dispatch("connector-1", 1, await uow.clock())
        await uow.commands.update([locked])
        found = await _behind(observer, uow.commit, _dispatch(storage, command))
    assert (found.dispatch_number, found.connector_id) == (1, "connector-1")


@on_postgresql
async def test_the_clock_of_a_lock_is_read_after_the_wait(storage: SqlStorage, observer: AsyncEngine) -> None:
    vehicle = online(a_vehicle())
    await store(storage, vehicles=[vehicle], commands=[command := dispatched(a_command(vehicle.vehicle_id))])

    async def lock_and_read_clock(kind: str) -> datetime:
        async with storage.transaction() as uow:
            match kind:
                case "vehicle":
                    await uow.vehicles.lock([vehicle.vehicle_id])
                case "command":
                    await uow.commands.lock([command.command_id])
                case "claim":
                    await uow.commands.lock_for_claim([command.command_id])
            return await uow.clock()

    for kind in ("vehicle", "command", "claim"):
        async with storage.transaction() as uow:
            await uow.vehicles.lock([vehicle.vehicle_id])
            await uow.commands.lock([command.command_id])
            task = asyncio.ensure_future(lock_and_read_clock(kind))
            await _until_waiting(observer)
            async with observer.connect() as connection:
                still_held = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        assert await task > still_held


@on_postgresql
async def test_a_claim_that_waited_sees_the_lease_of_the_connector_it_was_moved_to(
    storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle = online(a_vehicle())
    await store(storage, vehicles=[vehicle], commands=[command := a_command(vehicle.vehicle_id)])
    async with storage.transaction() as uow:
        await uow.connectors.register("connector-1", "host:1", 10)
        await uow.commit()

    async def lease() -> object:
        async with storage.transaction() as uow:
            return (await uow.commands.lock_for_claim([command.command_id]))[command.command_id].lease_until

    async with storage.transaction() as uow:
        locked = (await uow.commands.lock([command.command_id]))[command.command_id]
        await uow.commands.update([dispatched(locked)])
        assert await _behind(observer, uow.commit, lease()) is not None


@on_postgresql
async def test_two_that_lock_the_same_rows_never_wait_for_each_other(storage: SqlStorage) -> None:
    vehicles = [online(a_vehicle(f"VIN{number}")) for number in range(20)]
    commands = [a_command(vehicle.vehicle_id) for vehicle in vehicles]
    await store(storage, vehicles=vehicles, commands=commands)
    vehicle_ids = [vehicle.vehicle_id for vehicle in vehicles]
    command_ids = [command.command_id for command in commands]

    async def work(shuffle: random.Random) -> None:
        for _ in range(10):
            async with storage.transaction() as uow:
                if shuffle.random() < 0.3:
                    await uow.vehicles.touch([(one, 1) for one in shuffle.sample(vehicle_ids, 20)])
                else:
                    locked_vehicles = await uow.vehicles.lock(shuffle.sample(vehicle_ids, 15))
                    await uow.vehicles.update(list(locked_vehicles.values())[::-1])
                locked = await uow.commands.lock(shuffle.sample(command_ids, 15))
                await uow.commands.update(list(locked.values())[::-1])
                await uow.commit()

    await asyncio.gather(*(work(random.Random(seed)) for seed in range(8)))


@on_postgresql
@pytest.mark.parametrize("commits", [True, False])
async def test_two_that_store_the_same_command(storage: SqlStorage, observer: AsyncEngine, commits: bool) -> None:
    command_id = new_id()

    async def second() -> str:
        try:
            await store(storage, commands=[a_command(command_id=command_id, username="second")])
        except AlreadyStored:
            return "already stored"
        return "stored"

    async with storage.transaction() as uow:
        await uow.commands.insert([a_command(command_id=command_id, username="first")])
        if commits:
            assert await _behind(observer, uow.commit, second()) == "already stored"
        else:
            task = asyncio.ensure_future(second())
            await _until_waiting(observer)
    if not commits:
        assert await task == "stored"
    async with storage.reading() as uow:
        assert (await uow.commands.get([command_id]))[command_id].username == ("first" if commits else "second")


@on_postgresql
async def test_two_that_register_the_same_vin(storage: SqlStorage, observer: AsyncEngine) -> None:
    async with storage.transaction() as uow:
        await uow.vehicles.insert(a_vehicle())
        with pytest.raises(AlreadyStored):
            await _behind(observer, uow.commit, store(storage, vehicles=[a_vehicle()]))


@on_postgresql
async def test_two_that_dispatch_into_the_same_lane(storage: SqlStorage, observer: AsyncEngine) -> None:
    vehicle_id = new_id()
    first, second = a_command(vehicle_id), a_command(vehicle_id)
    await store(storage, commands=[first, second])
    async with storage.transaction() as uow:
        await uow.commands.lock([first.command_id])
        await uow.commands.update([dispatched(first)])
        await uow.commands.get([first.command_id])  # a read sees the change, so it has been made
        with pytest.raises(Exception, match="commands_lane"):
            await _behind(observer, uow.commit, _dispatch(storage, second))


@on_postgresql
@pytest.mark.parametrize("commits", [True, False])
async def test_two_that_take_the_same_key(storage: SqlStorage, observer: AsyncEngine, commits: bool) -> None:
    first, second = (IdempotencyRecord("user", "key", b"hash", new_id(), NOW) for _ in range(2))

    async def put_second() -> str:
        async with storage.transaction() as uow:
            now = await uow.clock()
            record = IdempotencyRecord("user", "key", b"hash", second.command_id, now)
            stored = await uow.idempotency.put([record])
            found = await uow.idempotency.find([("user", "key")])
            await uow.commit()
        assert bool(stored) is not commits
        return found["user", "key"].command_id

    async with storage.transaction() as uow:
        now = await uow.clock()
        await uow.idempotency.put([IdempotencyRecord("user", "key", b"hash", first.command_id, now)])
        task = asyncio.ensure_future(put_second())
        await _until_waiting(observer)
        if commits:
            await uow.commit()
    assert await task == (first if commits else second).command_id


@on_postgresql
async def test_many_that_take_overlapping_keys_never_wait_for_each_other(storage: SqlStorage) -> None:
    async def take(shuffle: random.Random) -> int:
        async with storage.transaction() as uow:
            now = await uow.clock()
            keys = shuffle.sample(range(200), 150)
            records = [IdempotencyRecord("user", str(key), b"hash", new_id(), now) for key in keys]
            stored = await uow.idempotency.put(records)
            await uow.commit()
        return len(stored)

    taken = await asyncio.gather(*(take(random.Random(seed)) for seed in range(8)))
    assert 150 <= sum(taken) <= 200


async def test_numbers_are_issued_once_to_many_at_a_time(storage: SqlStorage) -> None:
    batches = [[a_command() for _ in range(20)] for _ in range(10)]
    await asyncio.gather(*(store(storage, commands=batch) for batch in batches))
    for batch in batches:
        numbers = [command.accept_number for command in batch]
        assert numbers == sorted(numbers)
    assert len({command.accept_number for batch in batches for command in batch}) == 200


@on_postgresql
async def test_readers_wait_for_nobody(storage: SqlStorage) -> None:
    await store(storage, commands=[command := a_command()])
    async with storage.transaction() as uow:
        await uow.commands.lock([command.command_id])
        await uow.commands.insert([a_command()])
        async with storage.reading() as reader:
            assert await reader.commands.get([command.command_id]) == {command.command_id: command}
            assert await reader.commands.page(CommandFilter(), 10, None) == [command]
            await uow.commit()
            assert len(await reader.commands.page(CommandFilter(), 10, None)) == 2


@on_postgresql
async def test_one_sealer_at_a_time(storage: SqlStorage, observer: AsyncEngine) -> None:
    await store(storage, entries=[an_entry() for _ in range(10)])

    async def seal_all() -> int:
        async with storage.transaction() as uow:
            number, last_hash = await uow.audit.lock_chain()
            entries = await uow.audit.unsealed(6)
            await uow.audit.store_seals(seal(entries, number, last_hash))
            await uow.commit()
        return number

    async with storage.transaction() as uow:
        number, last_hash = await uow.audit.lock_chain()
        await uow.audit.store_seals(seal(await uow.audit.unsealed(6), number, last_hash))
        assert await _behind(observer, uow.commit, seal_all()) == 6
    async with storage.reading() as uow:
        assert (await uow.audit.chain_end())[0] == 10
        assert await uow.audit.count_unsealed() == 0


@on_postgresql
async def test_many_that_store_the_same_entries_never_wait_for_each_other(storage: SqlStorage) -> None:
    entries = [an_entry() for _ in range(50)]

    async def append(shuffle: random.Random) -> None:
        await store(storage, entries=shuffle.sample(entries, 40))

    await asyncio.gather(*(append(random.Random(seed)) for seed in range(8)))
    async with storage.reading() as uow:
        stored = await uow.audit.page(AuditFilter(), 100, None)
        assert await uow.audit.count_unsealed() == len(stored) > 40


@on_postgresql
async def test_two_that_clean_up_take_different_commands(storage: SqlStorage) -> None:
    ended = [completed(a_command(), responses=1) for _ in range(4)]
    await store(storage, commands=ended, responses=[a_response(one.command_id, 1) for one in ended])
    cut = NOW + timedelta(hours=1)
    async with storage.transaction() as first, storage.transaction() as second:
        assert await first.responses.delete_of_commands_completed_before(cut, 3) == 3
        assert await second.responses.delete_of_commands_completed_before(cut, 3) == 1
        await second.commit()
        await first.commit()


@on_postgresql
async def test_a_database_that_went_away_is_used_again_when_it_is_back(
    storage: SqlStorage, postgres_server: PostgresServer
) -> None:
    await store(storage, commands=[command := a_command()])

    async def read() -> dict[str, Command]:
        async with storage.reading() as uow:
            return await uow.commands.get([command.command_id])

    async with storage.transaction() as uow:
        await uow.commands.lock([command.command_id])
        postgres_server.kill()
        with pytest.raises(Unavailable):
            await uow.commit()
    with pytest.raises(Unavailable) as caught:
        await read()
    assert caught.value.code == "DATABASE_UNAVAILABLE"
    postgres_server.start()
    assert await read() == {command.command_id: command}


async def test_a_caller_that_is_cancelled_leaves_nothing_behind(storage: SqlStorage) -> None:
    await store(storage, commands=[command := a_command()])
    holding = asyncio.Event()

    async def hold() -> None:
        async with storage.transaction() as uow:
            await uow.commands.lock([command.command_id])
            await uow.commands.insert([a_command()])
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await holding.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await _dispatch(storage, command)).dispatch_number == 1
    async with storage.reading() as uow:
        assert len(await uow.commands.page(CommandFilter(), 10, None)) == 1


_END_ALL_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@on_postgresql
async def test_connections_that_the_server_ends_are_replaced(storage: SqlStorage, observer: AsyncEngine) -> None:
    await store(storage, commands=[command := a_command()])
    async with asyncio.timeout(60), observer.connect() as connection:
        for _ in range(30):
            await connection.execute(_END_ALL_OTHERS)
            # At once, while the driver is being told.
            while await _is_away(storage, command):
                pass


async def _is_away(storage: SqlStorage, command: Command) -> bool:
    try:
        async with storage.reading() as uow:
            return not await uow.commands.get([command.command_id])
    except Unavailable:
        return True
