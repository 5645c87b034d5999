"""The diagnostic lock of a vehicle, on both databases: who may change what, and what becomes of what waits."""

from datetime import timedelta
from uuid import uuid4

import pytest

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Status
from command_service.domain.results import Outcome, OutcomeKind
from command_service.storage import SqlStorage
from command_service.use_cases.actor import Actor
from command_service.use_cases.ports import AuditFilter, CommandFilter
from service_kit.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError
from tests.integration.command_service.world import ADMIN, DONE, ENGINEER, PARAMETERS, World, a_submission
from tests.support.waiting import until_it

OTHER = Actor(str(uuid4()), "other", "engineer")
VIEWER = Actor(str(uuid4()), "viewer", "viewer")


async def _audit(storage: SqlStorage, vehicle_id: str) -> list[AuditEntry]:
    """Oldest first."""
    async with storage.reading() as uow:
        return (await uow.audit.page(AuditFilter(subject_id=vehicle_id), 100, None))[::-1]


async def _answer(world: World, vehicle_id: str, name: str, actor: Actor) -> str:
    (answer,) = await world.submit_all([a_submission(vehicle_id, name, actor=actor)])
    return answer.code if isinstance(answer, ServiceError) else answer[0].status


async def test_while_it_lasts_others_may_only_read(world: World, storage: SqlStorage) -> None:
    vehicle_id = await world.vehicle()
    await world.locks.take(ENGINEER, vehicle_id)
    (refusal,) = await world.submit_all([a_submission(vehicle_id, "ClearDTC", actor=OTHER, idempotency_key="k")])
    assert isinstance(refusal, Conflict)
    lock = (await world.vehicles.get(vehicle_id)).lock
    assert lock is not None
    assert (refusal.code, refusal.details["owner"], refusal.details["owner_id"]) == (
        "VEHICLE_LOCKED",
        "engineer",
        ENGINEER.user_id,
    )
    assert "locked by engineer until 20" in refusal.message
    assert lock.expires_at - lock.taken_at == timedelta(minutes=15)
    assert await _answer(world, vehicle_id, "ReadDTC", OTHER) == "pending"
    assert await _answer(world, vehicle_id, "ClearDTC", ADMIN) == "VEHICLE_LOCKED"
    assert await _answer(world, vehicle_id, "ClearDTC", ENGINEER) == "pending"

    refused = [entry for entry in await _audit(storage, vehicle_id) if entry.action == "command.refused"]
    assert [(entry.actor_name, entry.outcome) for entry in refused] == [("other", "refused"), ("admin", "refused")]
    assert refused[0].details["command_params"] == PARAMETERS["ClearDTC"]
    # A refusal consumes no key.
    await world.locks.release(ENGINEER, vehicle_id)
    await world.submit(vehicle_id, "ClearDTC", actor=OTHER, idempotency_key="k")


async def test_a_batch_is_refused_one_by_one(world: World) -> None:
    locked_id, free_id = await world.vehicle(), await world.vehicle("WDD0987654321ZYXW")
    await world.locks.take(ENGINEER, locked_id)
    submissions = [a_submission(each, "ClearDTC", actor=OTHER) for each in (locked_id, free_id)]
    answers = await world.submit_all(submissions)
    assert isinstance(answers[0], Conflict)
    assert not isinstance(answers[1], ServiceError)


async def test_what_was_accepted_and_is_sent_again_is_not_refused(world: World, storage: SqlStorage) -> None:
    vehicle_id = await world.vehicle()
    submission = a_submission(vehicle_id, "ClearDTC", actor=OTHER)
    await world.submit_all([submission])
    await world.locks.take(ENGINEER, vehicle_id)
    (again,) = await world.submit_all([submission])
    assert not isinstance(again, ServiceError)
    assert again[0].command_id == submission.command_id
    assert "command.refused" not in [entry.action for entry in await _audit(storage, vehicle_id)]
    await world.cancel(submission.command_id, ADMIN)
    await world.vehicles.delete(ADMIN, vehicle_id)
    (again,) = await world.submit_all([submission])
    assert not isinstance(again, ServiceError)
    assert again[0].command_id == submission.command_id


async def test_its_story_in_the_audit_trail(world: World, storage: SqlStorage) -> None:
    vehicle_id = await world.vehicle()
    await world.locks.take(ENGINEER, vehicle_id, 60)
    with pytest.raises(Conflict, match="locked by engineer until"):
        await world.locks.take(OTHER, vehicle_id)
    with pytest.raises(Conflict, match="locked by engineer until"):
        await world.locks.renew(ADMIN, vehicle_id)
    with pytest.raises(Conflict, match="locked by engineer until"):
        await world.locks.release(ADMIN, vehicle_id)
    with pytest.raises(Forbidden, match="only engineer or an admin"):
        await world.locks.release(OTHER, vehicle_id, break_it=True)
    renewed = await world.locks.renew(ENGINEER, vehicle_id, 3600)
    assert renewed.lock is not None
    assert timedelta(minutes=59) < renewed.lock.expires_at - renewed.lock.taken_at < timedelta(minutes=61)
    await world.locks.release(ADMIN, vehicle_id, break_it=True)
    assert (await world.vehicles.get(vehicle_id)).lock is None
    await world.locks.take(OTHER, vehicle_id)
    await world.locks.take(OTHER, vehicle_id)
    await world.locks.release(OTHER, vehicle_id)
    with pytest.raises(NotFound, match="not locked"):
        await world.locks.release(OTHER, vehicle_id)
    entries = [entry for entry in await _audit(storage, vehicle_id) if entry.action.startswith("vehicle.lock")]
    assert [(entry.action.removeprefix("vehicle.lock_"), entry.actor_name) for entry in entries] == [
        ("taken", "engineer"),
        ("refused", "other"),
        ("refused", "admin"),
        ("refused", "admin"),
        ("refused", "other"),
        ("renewed", "engineer"),
        ("broken", "admin"),
        ("taken", "other"),
        ("renewed", "other"),
        ("released", "other"),
        ("refused", "other"),
    ]
    assert all(entry.details["owner"] == "engineer" for entry in entries[:7])


async def test_who_may_and_for_how_long(world: World) -> None:
    vehicle_id = await world.vehicle()
    with pytest.raises(Forbidden):
        await world.locks.take(VIEWER, vehicle_id)
    with pytest.raises(NotFound, match="there is no vehicle"):
        await world.locks.take(ENGINEER, str(uuid4()))
    for seconds in (0, 8 * 3600 + 1):
        with pytest.raises(InvalidInput, match="lasts from 1 to 28800 seconds"):
            await world.locks.take(ENGINEER, vehicle_id, seconds)
    short = world.with_limits(max_lock_seconds=60)
    taken = await short.locks.take(ENGINEER, vehicle_id)
    assert taken.lock is not None
    assert taken.lock.expires_at - taken.lock.taken_at == timedelta(seconds=60)


async def test_it_ends_by_itself_and_the_sweep_finds_what_it_held_back(world: World, storage: SqlStorage) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    waiting = await world.submit(vehicle_id, "ClearDTC", actor=OTHER)
    await world.locks.take(ENGINEER, vehicle_id, 1)
    assert await world.dispatch([vehicle_id]) == []
    assert await _runnable(storage) == []

    async def runnable_again() -> bool:
        return await _runnable(storage) == [vehicle_id]

    await until_it(runnable_again, 5)
    assert (await world.vehicles.get(vehicle_id)).lock is None
    assert (await world.vehicles.page("", "", 10, ""))[0][0].lock is None
    with pytest.raises(NotFound, match="may have ended by itself"):
        await world.locks.renew(ENGINEER, vehicle_id)
    assert [command.command_id for command in await world.dispatch([vehicle_id])] == [waiting.command_id]
    await world.locks.take(OTHER, vehicle_id)


async def _runnable(storage: SqlStorage) -> list[str]:
    async with storage.reading() as uow:
        return await uow.commands.vehicles_with_runnable_work(10)


async def test_what_waits_is_held_back_in_nobodys_way_and_says_so(world: World) -> None:
    vehicle_id = await world.vehicle()
    theirs = await world.submit(vehicle_id, "ClearDTC", actor=OTHER)
    await world.locks.take(ENGINEER, vehicle_id)
    ours = await world.submit(vehicle_id, "ClearDTC")
    await world.online()
    assert [command.command_id for command in await world.dispatch([vehicle_id])] == [ours.command_id]
    for found in (await world.read.get(theirs.command_id), (await world.read.page(CommandFilter(), 9, ""))[0][1]):
        assert found[0].command_id == theirs.command_id
        assert found[2] is not None
        assert found[2].owner == "engineer"
    assert (await world.read.get(ours.command_id))[2] is None
    world.heard.woken.clear()
    await world.locks.release(ENGINEER, vehicle_id)
    assert world.heard.woken == {vehicle_id}
    assert (await world.read.get(theirs.command_id))[2] is None
    await world.claim(await world.command(ours.command_id))
    await world.results(ours, DONE)
    assert [command.command_id for command in await world.dispatch([vehicle_id])] == [theirs.command_id]


async def test_what_is_on_its_way_comes_back_and_what_was_handed_over_runs_on(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    running = await world.handed_over(vehicle_id, "WriteDataByID", actor=OTHER, command_params=_WRITE)
    sent = await world.submit(vehicle_id, "ClearDTC", actor=OTHER)
    reading = await world.submit(vehicle_id, "ReadDataByID", actor=OTHER, command_params=_READ)
    await world.dispatch([vehicle_id])
    on_its_way = await world.command(sent.command_id)
    await world.locks.take(ENGINEER, vehicle_id)
    assert await world.statuses(running, sent, reading) == [
        Status.IN_PROGRESS,
        Status.PENDING,
        Status.DISPATCHED,
    ]
    assert (await world.claim(on_its_way)).refusal is not None
    await world.results(running, DONE)
    assert await world.statuses(running) == [Status.COMPLETED]


_WRITE = '{"ecuAddress":"0x20","dataId":"0xF190","value":"0x00"}'
_READ = '{"ecuAddress":"0x21","dataId":"0xF190"}'


async def test_a_command_that_expires_meanwhile_says_why(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    theirs = await world.submit(vehicle_id, "ClearDTC", actor=OTHER, expires_in_seconds=1)
    await world.locks.take(ENGINEER, vehicle_id)
    await until_it(world.recover.expire_waiting, 5)
    command = await world.command(theirs.command_id)
    assert (command.status, command.error_code) == (Status.EXPIRED, "EXPIRED_LOCKED")
    assert command.error_message == "engineer had locked the vehicle until the command expired"


async def test_a_lock_that_is_taken_after_the_expiry_is_not_its_reason(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    theirs = await world.submit(vehicle_id, "ClearDTC", actor=OTHER, expires_in_seconds=1)

    async def expired() -> bool:
        async with world.storage.reading() as uow:
            return await uow.commands.expired(1) == [theirs.command_id]

    await until_it(expired, 5)
    await world.locks.take(ENGINEER, vehicle_id)
    assert await world.recover.expire_waiting() == 1
    assert (await world.command(theirs.command_id)).error_code == "EXPIRED"


async def test_one_that_never_left_its_connector_is_held_back_when_it_returns(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    theirs = await world.handed_over(vehicle_id, "ClearDTC", actor=OTHER)
    await world.locks.take(ENGINEER, vehicle_id)
    await world.results(theirs, Outcome(OutcomeKind.NOT_HANDED_OVER, dispatch_number=theirs.dispatch_number))
    assert await world.statuses(theirs) == [Status.PENDING]
    assert await world.dispatch([vehicle_id]) == []
