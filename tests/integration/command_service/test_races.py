"""Use cases of several replicas at once, where the order in which they get their locks matters."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.domain.command import Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.storage import SCHEMA, SqlStorage
from command_service.use_cases.ports import Overtaken
from command_service.use_cases.vehicle_sessions import SessionEnd
from service_kit.database import open_engine
from service_kit.errors import ServiceError
from tests.integration.command_service.rows import a_command, a_vehicle, store
from tests.integration.command_service.world import ADMIN, World, a_submission

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
async def observer(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(database_url, SCHEMA)
    yield engine
    await engine.dispose()


@on_postgresql
async def test_a_vehicle_that_returns_while_its_fate_is_decided_goes_on(
    world: World, storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    command = await world.handed_over(vehicle_id, "ClearDTC")
    await world.sessions.close([SessionEnd("c1", vehicle_id, 1)])
    hasty = world.with_limits(session_grace_seconds=-1.0)
    async with storage.transaction() as uow:
        (locked,) = (await uow.commands.lock([command.command_id])).values()
        deciding = asyncio.create_task(hasty.recover.decide_overdue())
        await _somebody_waits(observer)
        locked.take_up("c2", 2, await uow.clock())
        await uow.commands.update([locked])
        await uow.commit()
    assert await deciding == 0
    assert await world.statuses(command) == [Status.IN_PROGRESS]


@on_postgresql
async def test_a_command_that_is_dispatched_anew_meanwhile_stays_so(
    world: World, storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    command = await world.submit(vehicle_id)
    await world.dispatch([vehicle_id])
    patient = world.with_limits(claim_seconds=0.0)
    async with storage.transaction() as uow:
        (locked,) = (await uow.commands.lock([command.command_id])).values()
        requeuing = asyncio.create_task(patient.recover.requeue_unclaimed())
        await _somebody_waits(observer)
        now = await uow.clock()
        locked.return_to_queue(now)
        locked.dispatch("c1", 1, now.replace(year=now.year + 1))
        await uow.commands.update([locked])
        await uow.commit()
    assert await requeuing == 0
    assert (await world.command(command.command_id)).dispatch_number == 2


@on_postgresql
async def test_a_connector_that_comes_back_while_it_is_dropped_stays(
    world: World, storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    short = world.with_limits(lease_seconds=0.0, lease_grace_seconds=-1.0)
    await short.sessions.renew_leases([("c1", False)])
    dropping = world.with_limits(lease_grace_seconds=-5.0)
    async with storage.transaction() as uow:
        await uow.connectors.register("c1", "", 10)
        drop = asyncio.create_task(dropping.recover.drop_lapsed_connectors())
        await _somebody_waits(observer)
        await uow.vehicles.lock([vehicle_id])
        await uow.commit()
    assert await drop == 0
    assert (await world.vehicles.get(vehicle_id)).reachable
    assert await world.sessions.renew_leases([("c1", False)]) == [True]


@on_postgresql
async def test_a_lock_that_is_taken_while_a_submit_waits_for_the_vehicle_refuses_it(
    world: World, storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle_id = await world.vehicle()
    async with storage.transaction() as uow:
        (vehicle,) = (await uow.vehicles.lock([vehicle_id])).values()
        submitting = asyncio.create_task(world.submit_all([a_submission(vehicle_id, "ClearDTC")]))
        await _somebody_waits(observer)
        now = await uow.clock()
        vehicle.lock = DiagnosticLock(ADMIN.user_id, ADMIN.username, now, now + timedelta(minutes=5))
        await uow.vehicles.update([vehicle])
        await uow.commit()
    (answer,) = await submitting
    assert isinstance(answer, ServiceError)
    assert answer.code == "VEHICLE_LOCKED"


@on_postgresql
async def test_a_claim_that_comes_before_a_lock_wins_and_one_after_it_does_not(
    world: World, storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    await world.submit(vehicle_id, "ClearDTC")
    (dispatched,) = await world.dispatch([vehicle_id])
    async with storage.transaction() as uow:
        (locked,) = (await uow.commands.lock([dispatched.command_id])).values()
        taking = asyncio.create_task(world.locks.take(ADMIN, vehicle_id))
        await _somebody_waits(observer)
        assert locked.claim(dispatched.dispatch_number, "c1", dispatched.session_epoch, await uow.clock()) is None
        await uow.commands.update([locked])
        await uow.commit()
    await taking
    assert await world.statuses(dispatched) == [Status.IN_PROGRESS]


async def _somebody_waits(observer: AsyncEngine) -> None:
    async with asyncio.timeout(30), observer.connect() as connection:
        while not (await connection.execute(_WAITING)).scalar_one():
            await connection.commit()


@on_postgresql
async def test_an_acceptance_that_waits_for_the_lock_sees_what_its_holder_did(
    storage: SqlStorage, observer: AsyncEngine
) -> None:
    vehicle = a_vehicle()
    await store(storage, vehicles=[vehicle])
    for changes_the_vehicle in (True, False):
        async with storage.optimistic() as uow, storage.transaction() as other:
            await uow.queues.with_vehicles([vehicle.vehicle_id])
            (locked,) = (await other.vehicles.lock([vehicle.vehicle_id])).values()
            inserting = asyncio.create_task(uow.commands.insert([a_command(vehicle.vehicle_id)]))
            await _somebody_waits(observer)
            if changes_the_vehicle:
                await other.vehicles.update([locked])
            else:
                await other.commands.insert([a_command(vehicle.vehicle_id)])
            await other.commit()
            with pytest.raises(Overtaken):
                await inserting


@on_postgresql
async def test_of_many_acceptances_at_once_one_runs_in_a_lane(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.online()
    world.heard.connected = True
    commands = await asyncio.gather(*(world.submit(vehicle_id, idempotency_key=str(number)) for number in range(12)))
    stored = [await world.command(command.command_id) for command in commands]
    assert len({command.accept_number for command in stored}) == 12
    running = [command for command in stored if command.status is Status.DISPATCHED]
    assert [command.command_id for command in running] == [command.command_id for command in world.heard.published]
    assert len(running) == 1
    assert all(command.accept_number >= running[0].accept_number for command in stored)
