"""Units of work that lock nothing: what they change is as they read it, or nothing is stored. SQLite locks anyway."""

import asyncio

import pytest

from command_service.domain.command import Command, Status
from command_service.storage import SqlStorage
from command_service.use_cases.decided import decided
from command_service.use_cases.ports import Overtaken, UnitOfWork
from tests.integration.command_service.rows import NOW, a_command, a_response, an_entry, in_progress, store
from tests.integration.command_service.world import DONE, World

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
