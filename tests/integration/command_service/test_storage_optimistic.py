"""Units of work that lock nothing: what they change is as they read it, or nothing is stored. SQLite locks anyway."""

import asyncio
from datetime import UTC, datetime

import pytest

from command_service.domain.command import Command, Status
from command_service.domain.vehicle import Vehicle
from command_service.storage import SqlStorage
from command_service.use_cases.decided import decided
from command_service.use_cases.ports import IdempotencyRecord, Overtaken, UnitOfWork
from tests.integration.command_service.rows import (
    NOW,
    USER,
    a_command,
    a_response,
    a_vehicle,
    an_entry,
    completed,
    in_progress,
    online,
    store,
)
from tests.integration.command_service.world import DONE, VINS, World

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def _overtake(storage: SqlStorage, command: Command) -> None:
    async with storage.transaction() as uow:
        (locked,) = (await uow.commands.lock([command.command_id])).values()
        locked.cancel("somebody", await uow.clock())
        await uow.commands.update([locked])
        await uow.commit()


async def _stored(storage: SqlStorage, command: Command) -> Command:
    async with storage.reading() as uow:
        (stored,) = (await uow.commands.get([command.command_id])).values()
    return stored


async def test_what_nobody_else_changes_is_stored_whole(storage: SqlStorage) -> None:
    commands = [in_progress(a_command()) for _ in range(3)]
    await store(storage, commands=commands)
    async with storage.optimistic() as uow:
        locked = await uow.commands.lock([command.command_id for command in commands])
        assert await uow.clock() > NOW
        for command in locked.values():
            command.record_response(NOW)
        await uow.responses.append([a_response(command_id, 1) for command_id in locked])
        await uow.commands.update(list(locked.values()))
        await uow.audit.append([an_entry()])
        await uow.commit()
    async with storage.reading() as uow:
        stored = await uow.commands.get([command.command_id for command in commands])
        assert [command.responses for command in stored.values()] == [1, 1, 1]
        assert [len(await uow.responses.page(command_id, 0, 10)) for command_id in stored] == [1, 1, 1]
        assert await uow.audit.count_unsealed() == 1


@on_postgresql
async def test_of_what_somebody_changed_meanwhile_nothing_is_stored(storage: SqlStorage) -> None:
    untouched, overtaken = (in_progress(a_command()) for _ in range(2))
    await store(storage, commands=[untouched, overtaken])
    async with storage.optimistic() as uow:
        locked = await uow.commands.lock([untouched.command_id, overtaken.command_id])
        await _overtake(storage, overtaken)
        for command in locked.values():
            command.complete(NOW)
        await uow.responses.append([a_response(untouched.command_id, 1)])
        await uow.commands.update(list(locked.values()))
        await uow.audit.append([an_entry()])
        with pytest.raises(Overtaken):
            await uow.commit()
    assert (await _stored(storage, untouched)).status is Status.IN_PROGRESS
    assert (await _stored(storage, overtaken)).cancel_pending
    async with storage.reading() as uow:
        assert await uow.responses.page(untouched.command_id, 0, 10) == []
        assert await uow.audit.count_unsealed() == 0


@on_postgresql
async def test_a_change_that_leaves_no_trace_in_the_columns_is_one(storage: SqlStorage) -> None:
    await store(storage, commands=[command := in_progress(a_command())])
    async with storage.optimistic() as uow:
        (mine,) = (await uow.commands.lock([command.command_id])).values()
        for lost_at in (NOW, None):
            async with storage.transaction() as other:
                (locked,) = (await other.commands.lock([command.command_id])).values()
                locked.session_lost_at = lost_at
                await other.commands.update([locked])
                await other.commit()
        mine.complete(NOW)
        await uow.commands.update([mine])
        with pytest.raises(Overtaken):
            await uow.commit()


async def test_what_is_not_committed_is_forgotten(storage: SqlStorage) -> None:
    await store(storage, commands=[command := in_progress(a_command())])
    async with storage.optimistic() as uow:
        (mine,) = (await uow.commands.lock([command.command_id])).values()
        mine.complete(NOW)
        await uow.commands.update([mine])
    assert (await _stored(storage, command)).status is Status.IN_PROGRESS


@on_postgresql
async def test_who_was_overtaken_decides_again_by_what_is_there_now(storage: SqlStorage) -> None:
    await store(storage, commands=[command := in_progress(a_command())])
    seen = []

    async def decide(uow: UnitOfWork) -> Status:
        (mine,) = (await uow.commands.lock([command.command_id])).values()
        seen.append(mine.cancel_pending)
        if len(seen) == 1:
            await _overtake(storage, command)
        mine.complete(NOW)
        await uow.commands.update([mine])
        await uow.commit()
        return mine.status

    assert await decided(storage, decide) is Status.COMPLETED
    assert seen == [False, True]
    assert (await _stored(storage, command)).cancel_outcome == "too_late"


@on_postgresql
async def test_many_writers_of_the_same_commands_neither_deadlock_nor_lose_a_response(storage: SqlStorage) -> None:
    commands = [in_progress(a_command()) for _ in range(8)]
    await store(storage, commands=commands)

    async def add_one(order: int) -> None:
        async def decide(uow: UnitOfWork) -> None:
            locked = list((await uow.commands.lock([command.command_id for command in commands])).values())
            for command in locked:
                command.record_response(NOW)
            await uow.commands.update(locked[::order])
            await uow.commit()

        await decided(storage, decide)

    await asyncio.gather(*(add_one(1 if number % 2 else -1) for number in range(10)))
    for command in commands:
        assert (await _stored(storage, command)).responses == 10


@on_postgresql
async def test_a_result_and_a_cancel_at_once_are_both_kept(world: World, storage: SqlStorage) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    for _ in range(10):
        command = await world.handed_over(vehicle_id)
        (ack,), _ = await asyncio.gather(world.results(command, DONE), _overtake(storage, command))
        stored = await _stored(storage, command)
        assert (stored.status, stored.results_recorded, ack.closed) == (Status.COMPLETED, 1, True)
        assert stored.cancel_outcome in ("", "too_late")


async def _dispatch(storage: SqlStorage, command: Command) -> None:
    async with storage.transaction() as uow:
        (locked,) = (await uow.commands.lock([command.command_id])).values()
        locked.dispatch("connector-1", 1, NOW)
        await uow.commands.update([locked])
        await uow.commit()


async def _connect(storage: SqlStorage, vehicle: Vehicle) -> None:
    async with storage.transaction() as uow:
        (locked,) = (await uow.vehicles.lock([vehicle.vehicle_id])).values()
        await uow.vehicles.update([online(locked)])
        await uow.commit()


async def test_vehicles_are_read_with_their_queues(storage: SqlStorage) -> None:
    idle, busy = map(a_vehicle, VINS)
    gone = a_vehicle("WDD5555555550ABCD", deleted_at=NOW)
    waiting, active = a_command(busy.vehicle_id), in_progress(a_command(busy.vehicle_id, lane="another"))
    ended = completed(a_command(busy.vehicle_id))
    await store(storage, vehicles=[idle, busy, gone], commands=[waiting, active, ended])
    async with storage.optimistic() as uow:
        vehicles, queues = await uow.queues.with_vehicles([one.vehicle_id for one in (idle, busy, gone)])
        assert await uow.clock() > NOW
    assert vehicles == {idle.vehicle_id: idle, busy.vehicle_id: busy}
    assert queues[idle.vehicle_id] == []
    statuses = {entry.command_id: entry.status for entry in queues[busy.vehicle_id]}
    assert statuses == {waiting.command_id: Status.PENDING, active.command_id: Status.IN_PROGRESS}


async def test_what_is_accepted_by_queues_as_they_are_is_stored_whole(storage: SqlStorage) -> None:
    vehicle = a_vehicle()
    await store(storage, vehicles=[vehicle])
    new = [a_command(vehicle.vehicle_id) for _ in range(3)]
    keys = [IdempotencyRecord(USER, one.command_id, b"hash", one.command_id, datetime.now(UTC)) for one in new]
    async with storage.optimistic() as uow:
        await uow.queues.with_vehicles([vehicle.vehicle_id])
        assert len(await uow.idempotency.put(keys)) == 3
        await uow.audit.append([an_entry()])
        await uow.commands.insert(new)
        await uow.commit()
    assert [one.accept_number for one in new] == [1, 2, 3]
    async with storage.reading() as uow:
        assert await uow.commands.get([one.command_id for one in new]) == {one.command_id: one for one in new}
        assert set(await uow.idempotency.find([(key.user_id, key.key) for key in keys])) == {
            (key.user_id, key.key) for key in keys
        }
        assert await uow.audit.count_unsealed() == 1


@on_postgresql
async def test_that_a_command_ends_meanwhile_makes_no_acceptance_wrong(storage: SqlStorage) -> None:
    vehicle = a_vehicle()
    await store(storage, vehicles=[vehicle], commands=[first := in_progress(a_command(vehicle.vehicle_id))])
    async with storage.optimistic() as uow:
        await uow.queues.with_vehicles([vehicle.vehicle_id])
        async with storage.transaction() as other:
            (locked,) = (await other.commands.lock([first.command_id])).values()
            locked.complete(NOW)
            await other.commands.update([locked])
            await other.commit()
        await uow.commands.insert([new := a_command(vehicle.vehicle_id)])
        await uow.commit()
    assert (await _stored(storage, new)).status is Status.PENDING


@on_postgresql
@pytest.mark.parametrize("meanwhile", ["one accepted", "one dispatched", "vehicle changed", "key taken"])
async def test_what_is_accepted_by_what_is_no_longer_so_is_not_stored(storage: SqlStorage, meanwhile: str) -> None:
    vehicle = a_vehicle()
    await store(storage, vehicles=[vehicle], commands=[waiting := a_command(vehicle.vehicle_id)])
    new = a_command(vehicle.vehicle_id)
    key = IdempotencyRecord(USER, "key", b"hash", new.command_id, datetime.now(UTC))
    async with storage.optimistic() as uow:
        await uow.queues.with_vehicles([vehicle.vehicle_id])
        match meanwhile:
            case "one accepted":
                await store(storage, commands=[a_command(vehicle.vehicle_id)])
            case "one dispatched":
                await _dispatch(storage, waiting)
            case "vehicle changed":
                await _connect(storage, vehicle)
            case "key taken":
                async with storage.transaction() as other:
                    await other.idempotency.put([key])
                    await other.commit()
        await uow.idempotency.put([key])
        await uow.audit.append([an_entry()])
        with pytest.raises(Overtaken):
            await uow.commands.insert([new])
    async with storage.reading() as uow:
        assert await uow.commands.get([new.command_id]) == {}
        assert len(await uow.idempotency.find([(USER, "key")])) == (meanwhile == "key taken")
        assert await uow.audit.count_unsealed() == 0
