"""Commands in storage: batches, locks, queues, the watchdog's questions and listing; on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from command_service import dispatch
from command_service.domain.command import Command, Status
from command_service.domain.lanes import QueueEntry
from command_service.storage import SqlStorage
from command_service.use_cases.ports import AlreadyStored, CommandFilter
from tests.integration.command_service.rows import (
    NOW,
    USER,
    a_command,
    a_vehicle,
    completed,
    dispatched,
    in_progress,
    new_id,
    online,
    store,
)

EVERYTHING_CHANGED = {
    "attempt": 3,
    "revision": 17,
    "responses": 5,
    "results_recorded": 2,
    "dispatch_number": 4,
    "connector_id": "connector-9",
    "session_epoch": 2**40,
    "dispatched_at": NOW + timedelta(seconds=1),
    "started_at": NOW + timedelta(seconds=2),
    "deadline_at": NOW + timedelta(seconds=3),
    "session_lost_at": NOW + timedelta(seconds=4),
    "completed_at": NOW + timedelta(seconds=5),
    "cancel_requested_at": NOW + timedelta(microseconds=1),
    "cancel_requested_by": "admin",
    "cancel_outcome": "too_late",
    "error_code": "NEGATIVE_RESPONSE",
    "error_message": "conditionsNotCorrect: Größe",
    "nrc": 0x22,
    "progress_nrc": 0x78,
}


async def _listed(storage: SqlStorage, limit: int = 100, before: int | None = None, **filter_: Any) -> list[Command]:
    async with storage.reading() as uow:
        return await uow.commands.page(CommandFilter(**filter_), limit, before)


async def _stored(storage: SqlStorage, command: Command) -> Command:
    async with storage.reading() as uow:
        return (await uow.commands.get([command.command_id]))[command.command_id]


async def test_a_command_comes_back_as_it_went(storage: SqlStorage) -> None:
    command = a_command(priority=-100, stream_duration_ms=3_600_000, exclusive=True, repeatable=False)
    await store(storage, commands=[command])
    found = await _stored(storage, command)
    assert found == command
    assert found.status is Status.PENDING
    assert found.created_at.tzinfo is not None


async def test_an_update_writes_all_that_a_transition_changes(storage: SqlStorage) -> None:
    command = a_command()
    await store(storage, commands=[command, other := a_command()])
    command.status = Status.FAILED
    for name, value in EVERYTHING_CHANGED.items():
        setattr(command, name, value)
    async with storage.transaction() as uow:
        await uow.commands.lock([command.command_id])
        await uow.commands.update([command])
        await uow.commit()
    assert await _stored(storage, command) == command
    assert await _stored(storage, other) == other


@pytest.mark.parametrize("count", [1, 2, 300])
async def test_numbers_are_issued_in_the_order_given(storage: SqlStorage, count: int) -> None:
    first, second = [a_command() for _ in range(count)], [a_command() for _ in range(count)]
    first.reverse()
    await store(storage, commands=first)
    await store(storage, commands=second)
    numbers = [command.accept_number for command in first + second]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0
    async with storage.reading() as uow:
        stored = await uow.commands.get([command.command_id for command in first + second])
    assert [stored[command.command_id].accept_number for command in first + second] == numbers


async def test_the_same_command_is_stored_once(storage: SqlStorage) -> None:
    command = a_command()
    await store(storage, commands=[command])
    with pytest.raises(AlreadyStored):
        await store(storage, commands=[a_command(), a_command(command_id=command.command_id)])
    assert len(await _listed(storage)) == 1


async def test_what_is_not_committed_is_not_there(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.commands.insert([a_command()])
    with pytest.raises(ZeroDivisionError):
        await _insert_and_fail(storage)
    assert await _listed(storage) == []


async def _insert_and_fail(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.commands.insert([a_command()])
        raise ZeroDivisionError


async def test_nothing_asked_is_nothing_done(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        await uow.commands.insert([])
        await uow.commands.update([])
        assert await uow.commands.get([]) == {}
        assert await uow.commands.lock([]) == {}
        assert await uow.commands.lock_for_claim([]) == {}
        assert await uow.queues.open_of_vehicles([]) == []
        assert await uow.commands.runnable_among([]) == []
        assert await uow.commands.in_progress_on([]) == []


async def test_what_nobody_stored_is_missing_whatever_it_is_called(storage: SqlStorage) -> None:
    await store(storage, commands=[command := a_command()])
    strange = [command.command_id, new_id(), "", "nonsense", "\x00", command.command_id.upper()]
    async with storage.transaction() as uow:
        assert set(await uow.commands.get(strange)) == {command.command_id}
        assert set(await uow.commands.lock(strange)) == {command.command_id}
        assert set(await uow.commands.lock_for_claim(strange)) == set()
        assert not await uow.commands.has_open("nonsense")
        assert await uow.queues.open_of_vehicles(strange) == []
        assert await uow.commands.page(CommandFilter(vehicle_id="nonsense"), 10, None) == []
        assert await uow.commands.page(CommandFilter(user_id="\x00", statuses=["\x00"]), 10, None) == []


async def test_text_that_postgresql_cannot_hold_does_not_fail_a_batch(storage: SqlStorage) -> None:
    command = in_progress(a_command())
    command.fail(NOW, "BAD\x00CODE", "what \x00 the vehicle said")
    await store(storage, commands=[command, good := completed(a_command())])
    assert (await _stored(storage, command)).error_message == "what \ufffd the vehicle said"
    assert (await _stored(storage, good)).status is Status.COMPLETED


async def test_the_clock_is_the_databases_and_comes_with_a_lock(storage: SqlStorage) -> None:
    await store(storage, commands=[command := a_command()])
    async with storage.transaction() as uow:
        assert await uow.commands.lock([new_id()]) == {}
        first = await uow.clock()
        await uow.commands.lock([command.command_id])
        second = await uow.clock()
        assert await uow.clock() == second
    assert first <= second
    assert abs(datetime.now(UTC) - second) < timedelta(minutes=1)
    assert second.utcoffset() == timedelta(0)


async def test_one_command_at_a_time_per_lane(storage: SqlStorage) -> None:
    vehicle_id = new_id()
    first, second = a_command(vehicle_id), a_command(vehicle_id)
    other_lane = a_command(vehicle_id, lane=f"{vehicle_id}:11")
    await store(storage, commands=[first, second, other_lane])
    await _change(storage, dispatched(first), dispatched(other_lane))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await _change(storage, dispatched(second))
    first.claim(1, "connector-1", 1, NOW)
    await _change(storage, first)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await _change(storage, second)
    first.complete(NOW)
    await _change(storage, first)
    await _change(storage, second)


async def _change(storage: SqlStorage, *commands: Command) -> None:
    async with storage.transaction() as uow:
        await uow.commands.update(commands)
        await uow.commit()


async def test_a_command_cannot_end_without_a_time(storage: SqlStorage) -> None:
    await store(storage, commands=[command := a_command()])
    command.status = Status.COMPLETED
    with pytest.raises(Exception, match=r"(?i)check"):
        await _change(storage, command)


# --- queues


async def test_the_queue_of_vehicles_is_what_is_open(storage: SqlStorage) -> None:
    ours, theirs = new_id(), new_id()
    pending = a_command(ours, priority=7, exclusive=True)
    active = in_progress(a_command(ours, lane=f"{ours}:11"))
    sent = dispatched(a_command(theirs))
    elsewhere = a_command()
    done = completed(a_command(ours, lane=f"{ours}:12"))
    await store(storage, commands=[pending, active, sent, elsewhere, done])
    async with storage.reading() as uow:
        queue = {entry.command_id: entry for entry in await uow.queues.open_of_vehicles([ours, theirs])}
        active_ids = await uow.commands.in_progress_on([ours, theirs])
        assert await uow.commands.has_open(theirs)
        assert not await uow.commands.has_open(new_id())
    assert set(queue) == {pending.command_id, active.command_id, sent.command_id}
    assert queue[pending.command_id] == QueueEntry(
        pending.command_id,
        ours,
        pending.lane,
        True,
        7,
        pending.accept_number,
        Status.PENDING,
        pending.expires_at,
        pending.user_id,
        "read",
    )
    assert queue[active.command_id].status is Status.IN_PROGRESS
    assert sorted(active_ids) == sorted([active.command_id, sent.command_id])


async def test_vehicles_with_runnable_work(storage: SqlStorage) -> None:
    names = ["idle", "runnable", "offline", "expired", "lane_busy", "other_lane_free", "taken", "deleted"]
    vehicles = {name: online(a_vehicle(f"VIN{name.upper()}")) for name in names}
    vehicles["offline"].close_session(1, NOW)
    vehicles["deleted"].deleted_at = NOW
    ids = {name: vehicle.vehicle_id for name, vehicle in vehicles.items()}
    commands = [
        a_command(ids["runnable"]),
        a_command(ids["offline"]),
        a_command(ids["expired"], expires_at=NOW),
        dispatched(a_command(ids["lane_busy"])),
        a_command(ids["lane_busy"]),
        in_progress(a_command(ids["other_lane_free"])),
        a_command(ids["other_lane_free"], lane="other"),
        in_progress(a_command(ids["taken"], lane=f"{ids['taken']}:*", exclusive=True)),
        a_command(ids["taken"]),
        completed(a_command(ids["idle"])),
        a_command(ids["deleted"]),
    ]
    await store(storage, vehicles=list(vehicles.values()), commands=commands)
    async with storage.reading() as uow:
        found = await uow.commands.vehicles_with_runnable_work(100)
        one = await uow.commands.vehicles_with_runnable_work(1)
        assert await uow.commands.vehicles_with_runnable_work(100, after=one[0]) == found[1:]
    assert found == sorted([ids["runnable"], ids["other_lane_free"]])
    assert one == found[:1]


async def test_sweeps_come_to_every_vehicle(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also past those whose work has to wait all the same: here for all of the vehicle."""
    vehicles = [online(a_vehicle(f"VIN{number}")) for number in range(3)]
    commands = [a_command(vehicle.vehicle_id, lane="*", exclusive=True) for vehicle in vehicles]
    busy = [in_progress(a_command(vehicle.vehicle_id)) for vehicle in vehicles]
    await store(storage, vehicles=vehicles, commands=[*commands, *busy])
    monkeypatch.setattr(dispatch, "_AT_ONCE", 2)
    woken = dispatch.WokenVehicles()
    dispatcher = dispatch.Dispatcher(Mock(), Mock(), storage, woken, Mock())
    first, second, third = sorted(vehicle.vehicle_id for vehicle in vehicles)
    for expected in ([first, second], [third], [first, second]):
        await dispatcher.sweep()
        assert await woken.next() == expected


async def test_a_claim_sees_vehicle_and_lease_beside_the_command(storage: SqlStorage) -> None:
    vehicle = online(a_vehicle())
    command, orphan = dispatched(a_command(vehicle.vehicle_id)), a_command(vehicle.vehicle_id, lane="other")
    await store(storage, vehicles=[vehicle], commands=[command, orphan])
    async with storage.transaction() as uow:
        await uow.connectors.register("connector-1", "host:1", 10)
        await uow.commit()
    async with storage.transaction() as uow:
        found = await uow.commands.lock_for_claim([command.command_id, orphan.command_id, new_id()])
        now = await uow.clock()
    assert set(found) == {command.command_id, orphan.command_id}
    context = found[command.command_id]
    assert context.command == command
    assert (context.vehicle_session_epoch, context.vehicle_connector_id) == (1, "connector-1")
    assert context.lease_until is not None
    assert now < context.lease_until <= now + timedelta(seconds=10)
    assert found[orphan.command_id].lease_until is None


# --- the watchdog


async def test_what_expired(storage: SqlStorage) -> None:
    past = NOW - timedelta(days=1)
    late = [a_command(expires_at=past + timedelta(minutes=minute)) for minute in (2, 0, 1)]
    sent = dispatched(a_command(expires_at=past - timedelta(minutes=1)))
    running, done = in_progress(a_command(), past), completed(a_command(), past)
    running.expires_at = done.expires_at = past
    await store(storage, commands=[*late, sent, running, done, a_command()])
    async with storage.reading() as uow:
        expired = await uow.commands.expired(100)
        assert await uow.commands.expired(2) == expired[:2]
    assert expired == [sent.command_id, late[1].command_id, late[2].command_id, late[0].command_id]


async def test_what_was_never_claimed(storage: SqlStorage) -> None:
    now = datetime.now(UTC)
    late = dispatched(a_command(), now - timedelta(seconds=60))
    recent = dispatched(a_command(), now)
    claimed = in_progress(a_command(), now - timedelta(seconds=60))
    await store(storage, commands=[late, recent, claimed, a_command()])
    async with storage.reading() as uow:
        assert await uow.commands.unclaimed(30, 10) == [late.command_id]
        assert len(await uow.commands.unclaimed(-30, 1)) == 1


async def test_what_is_overdue(storage: SqlStorage) -> None:
    now = datetime.now(UTC)

    def running(started: float, lost: float | None = None) -> Command:
        command = in_progress(a_command(timeout_seconds=30), now - timedelta(seconds=started))
        if lost is not None:
            command.lose_session(now - timedelta(seconds=lost))
        return command

    silent, within_grace, fresh = running(30 + 60), running(30 + 5), running(0)
    lost, lost_lately = running(90, lost=60), running(90, lost=5)
    await store(storage, commands=[silent, within_grace, fresh, lost, lost_lately, a_command()])
    async with storage.reading() as uow:
        found = await uow.commands.overdue(deadline_grace_seconds=20, session_grace_seconds=30, limit=10)
        assert len(await uow.commands.overdue(20, 30, limit=1)) == 1
    assert sorted(found) == sorted([silent.command_id, lost.command_id])


async def test_cancels_that_nobody_answered(storage: SqlStorage) -> None:
    now = datetime.now(UTC)
    asked, asked_lately, never = (in_progress(a_command(), now) for _ in range(3))
    asked.cancel("engineer", now - timedelta(seconds=60))
    asked_lately.cancel("engineer", now)
    prevented = a_command()
    prevented.cancel("engineer", now - timedelta(seconds=60))
    await store(storage, commands=[asked, asked_lately, never, prevented])
    async with storage.reading() as uow:
        assert await uow.commands.cancels_unanswered(30, 10) == [asked]


# --- listing


async def test_listing_is_newest_first_page_by_page(storage: SqlStorage) -> None:
    commands = [a_command() for _ in range(7)]
    await store(storage, commands=commands)
    newest_first = commands[::-1]
    first = await _listed(storage, 3)
    await store(storage, commands=[a_command()])  # what comes meanwhile shifts no page
    second = await _listed(storage, 3, before=first[-1].accept_number)
    third = await _listed(storage, 3, before=second[-1].accept_number)
    assert first + second + third == newest_first


async def test_listing_by_every_filter(storage: SqlStorage) -> None:
    vehicle_id = new_id()
    ours = a_command(vehicle_id, command_name="ClearDTC", user_id="someone")
    running = in_progress(a_command(vehicle_id, lane="lane-1"))
    done = completed(a_command(vehicle_id, lane="lane-2", command_name="ECUReset"))
    others = [a_command(), dispatched(a_command()), completed(a_command())]
    await store(storage, commands=[ours, running, done, *others])
    assert await _listed(storage, vehicle_id=vehicle_id) == [done, running, ours]
    assert await _listed(storage, user_id="someone") == [ours]
    assert await _listed(storage, user_id=USER, vehicle_id=vehicle_id) == [done, running]
    assert await _listed(storage, command_name="ECUReset") == [done]
    assert await _listed(storage, statuses=["pending"]) == [others[0], ours]
    assert await _listed(storage, statuses=["in_progress"]) == [running]
    assert await _listed(storage, statuses=["completed"]) == [others[2], done]
    assert await _listed(storage, statuses=["completed", "pending", "failed"]) == [others[2], others[0], done, ours]
    assert await _listed(storage, 2, statuses=["completed", "pending"]) == [others[2], others[0]]
    assert await _listed(storage, vehicle_id=vehicle_id, statuses=["pending", "dispatched"]) == [ours]
    assert await _listed(storage, before=done.accept_number, statuses=["completed", "in_progress"]) == [running]


async def test_listing_by_time(storage: SqlStorage) -> None:
    at = [NOW + timedelta(minutes=minute) for minute in range(0, 100, 2)]
    commands = [a_command(created_at=moment) for moment in at]
    # Accepted a moment earlier, committed with a higher number.
    commands[20], commands[21] = commands[21], commands[20]
    await store(storage, commands=commands)
    for start in (0, 10, 20, 21, 49):
        for end in (1, 20, 21, 22, 49):
            found = await _listed(storage, from_=at[start], to=at[end])
            expected = [command for command in commands if at[start] <= command.created_at < at[end]]
            assert found == expected[::-1]
    assert len(await _listed(storage, to=at[0])) == 0
    assert len(await _listed(storage, from_=at[-1] + timedelta(days=1))) == 0
    assert len(await _listed(storage, from_=at[0] - timedelta(days=1), to=at[-1] + timedelta(days=1))) == 50
