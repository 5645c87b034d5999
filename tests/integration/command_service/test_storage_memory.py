"""What a process remembers of commands that it wrote is a guess: right or wrong, the same is decided as by reading."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import Executable, text
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.domain.command import ClaimRefusal, Command, Status
from command_service.storage import SCHEMA, SqlStorage
from command_service.storage.direct_session import DirectSession
from command_service.use_cases.claim_commands import ClaimRequest
from service_kit.database import open_engine
from service_kit.errors import Unavailable
from tests.integration.command_service.world import DONE, ENGINEER, World

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def other_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(database_url, SCHEMA)
    yield engine
    await engine.dispose()


@pytest.fixture
def elsewhere(other_engine: AsyncEngine) -> World:
    """Another replica."""
    return World(SqlStorage(other_engine))


@pytest.fixture
async def vehicle_id(world: World) -> str:
    world.heard.connected = True  # what may run is accepted as dispatched
    vehicle_id = await world.vehicle()
    await world.online()
    return vehicle_id


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Executable]:
    """Every statement that reads, from now on."""
    statements: list[Executable] = []
    rows = DirectSession.rows

    async def noted(self: DirectSession, query: Executable, parameters: dict[str, object] | None = None) -> object:
        statements.append(query)
        return await rows(self, query, parameters)

    monkeypatch.setattr(DirectSession, "rows", noted)
    return statements


async def test_what_was_accepted_here_is_claimed_and_recorded_unread(
    world: World, vehicle_id: str, reads: list[Executable]
) -> None:
    command = await world.submit(vehicle_id)
    assert command.status is Status.DISPATCHED
    reads.clear()
    assert (await world.claim(command)).attempt == 1
    await world.results(command, '{"n":1}', '{"n":2}')
    await world.results(command, '{"n":3}', DONE, first=3)
    assert reads == []
    stored = await world.command(command.command_id)
    assert (stored.status, stored.responses, stored.attempt) == (Status.COMPLETED, 3, 1)
    assert stored.started_at is not None
    assert stored.completed_at is not None
    assert command.created_at <= stored.started_at <= stored.completed_at


async def test_nothing_is_remembered_over_a_new_connection(
    world: World, vehicle_id: str, reads: list[Executable]
) -> None:
    command = await world.submit(vehicle_id)
    with suppress(Unavailable):
        async with world.storage.reading():
            raise Unavailable("AWAY", "its connection is given up")
    reads.clear()
    assert (await world.claim(command)).attempt == 1
    assert len(reads) > 0


async def test_nothing_is_remembered_of_what_has_ended(world: World, vehicle_id: str, reads: list[Executable]) -> None:
    command = await world.submit(vehicle_id)
    await world.claim(command)
    await world.results(command, DONE)
    reads.clear()
    (ack,) = await world.results(command, '{"late":1}', first=2)
    assert ack.closed
    assert len(reads) > 0


async def test_a_cancel_elsewhere_is_seen_by_the_result(world: World, elsewhere: World, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id)
    await world.claim(command)
    await elsewhere.cancel(command.command_id, ENGINEER)
    await world.results(command, DONE)
    stored = await world.command(command.command_id)
    assert (stored.status, stored.cancel_outcome) == (Status.COMPLETED, "too_late")


async def test_what_was_cancelled_elsewhere_is_not_claimed(world: World, elsewhere: World, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id)
    await elsewhere.cancel(command.command_id, ENGINEER)
    assert (await world.claim(command)).refusal is not None
    assert (await world.command(command.command_id)).status is Status.CANCELLED


async def test_a_vehicle_that_has_moved_gets_nothing_from_its_old_connector(
    world: World, elsewhere: World, vehicle_id: str
) -> None:
    command = await world.submit(vehicle_id)
    await elsewhere.online(connector="c2")
    assert (await world.claim(command)).refusal is not None
    assert (await world.command(command.command_id)).status is not Status.IN_PROGRESS


async def test_a_lease_that_lapsed_is_seen(world: World, other_engine: AsyncEngine, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id)
    async with other_engine.begin() as connection:
        await connection.execute(text(f"UPDATE {SCHEMA}.connectors SET lease_until = clock_timestamp()"))
    assert (await world.claim(command)).refusal is ClaimRefusal.LEASE_LAPSED


async def test_what_expires_before_its_claim_is_not_handed_over(world: World, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id, expires_in_seconds=1)
    await asyncio.sleep(0.6)
    await world.submit(vehicle_id, "ReadDataByID")  # the database's clock is known
    await asyncio.sleep(0.5)
    assert (await world.claim(command)).refusal is ClaimRefusal.EXPIRED


async def test_a_repeated_result_beside_new_ones_changes_and_tells_nothing(world: World, vehicle_id: str) -> None:
    first = await world.submit(vehicle_id)
    second = await world.submit(vehicle_id, "ReadDataByID")
    for command in (first, second):
        await world.claim(command)
        await world.results(command, '{"n":1}')
    told = len(world.heard.events)
    again, done = await asyncio.gather(world.results(first, '{"n":1}'), world.results(second, DONE, first=2))
    assert (again[0].number, again[0].closed, done[0].closed) == (1, False, True)
    assert len(world.heard.events) == told + 1
    assert [c.responses for c in (await world.command(first.command_id), await world.command(second.command_id))] == [
        1,
        1,
    ]


async def test_one_batch_of_a_repeated_and_a_new_result(world: World, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id)
    await world.claim(command)
    await world.results(command, '{"n":1}')
    told = len(world.heard.events)
    acks = await world.results(command, '{"n":1}', '{"n":2}')
    assert [ack.number for ack in acks] == [1, 2]
    assert len(world.heard.events) == told + 1


async def test_a_claim_asked_again_and_a_stale_one_in_one_batch(world: World, vehicle_id: str) -> None:
    command = await world.submit(vehicle_id)
    other = await world.submit(vehicle_id, "ReadDataByID")
    await world.claim(command)
    asked = [_request(command), _request(other, dispatch_number=other.dispatch_number + 1)]
    answers = await world.claim_all(asked)
    assert [answer.refusal for answer in answers] == [None, ClaimRefusal.STALE]
    assert (await world.claim(other)).refusal is None


def _request(command: Command, dispatch_number: int | None = None) -> ClaimRequest:
    number = command.dispatch_number if dispatch_number is None else dispatch_number
    return ClaimRequest(command.command_id, number, command.session_epoch, "c1")
