"""What a connector's stream makes of results that cannot be recorded, and of vehicles that are away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from command_service.connector_api import ConnectorApi
from command_service.domain.results import Result
from command_service.grpc_mapping import milliseconds_left
from command_service.use_cases.limits import Limits
from command_service.use_cases.record_results import Acknowledgement
from command_service.use_cases.unreached_vehicles import NotReached
from command_service.use_cases.vehicle_sessions import Hello, SessionEnd, SessionOpened
from service_kit.errors import InvalidInput, Unavailable
from sovd_protos.connector.v1.connector_pb2 import FromConnector, Registration
from sovd_protos.connector.v1.connector_pb2 import SessionOpened as SessionOpenedMessage

POISON = "what no database can store"


class Storage:
    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.away = False

    async def record(self, results: Sequence[Result]) -> list[Acknowledgement]:
        if self.away:
            raise Unavailable("DATABASE_UNAVAILABLE", "The database does not answer; try again.")
        if any(result.content == POISON for result in results):
            raise InvalidInput("NOT_STORABLE", "The database cannot store what was given.")
        self.recorded += [result.number for result in results]
        return [Acknowledgement(result.command_id, result.attempt, result.number, closed=False) for result in results]


def connector_api(storage: Storage) -> ConnectorApi:
    unused: Any = None
    record: Any = storage.record

    class Sessions:
        open = renew_leases = None

    sessions: Any = Sessions()
    return ConnectorApi(unused, record, sessions, unused, unused, Limits())


def result(number: int, content: str = "{}") -> Result:
    return Result(f"command {number}", 1, number, content, "c1", datetime.now(UTC))


async def test_a_result_that_cannot_be_stored_is_dropped_and_harms_no_other() -> None:
    storage = Storage()
    api = connector_api(storage)
    messages = [api.results.enqueue(one) for one in ([result(1), result(2, POISON)], [result(3)])]
    assert [[ack.closed for ack in await message] for message in messages] == [[False, True], [False]]
    assert storage.recorded == [1, 3]


async def test_without_the_database_nothing_is_dropped() -> None:
    storage = Storage()
    storage.away = True
    api = connector_api(storage)
    ack = api.results.enqueue([result(1)])
    with pytest.raises(Unavailable):
        await ack


async def test_a_session_has_ended_before_it_is_said_why_its_vehicle_is_not_reached() -> None:
    done: list[object] = []

    class Sessions:
        open = renew_leases = None

        async def close(self, ends: Sequence[SessionEnd]) -> None:
            done.extend(ends)

    async def unreached(reports: Sequence[NotReached]) -> None:
        done.extend(reports)

    unused: Any = None
    sessions: Any = Sessions()
    says_why: Any = unreached
    api = ConnectorApi(unused, unused, sessions, unused, says_why, Limits())
    end, report = SessionEnd("c1", "v1", 3), NotReached("c1", "v1", "Connection refused")
    for answer in [api.absences.enqueue(report), api.absences.enqueue(end)]:
        await answer
    assert done == [end, report]


async def test_a_session_that_is_granted_when_its_stream_has_ended_is_closed() -> None:
    """The connector never hears of it. It has presented itself anew by then, without it."""
    asked, granting = asyncio.Event(), asyncio.Event()
    ended: list[SessionEnd] = []

    class Sessions:
        renew_leases = None

        async def register_connector(self, *_: object) -> tuple[list[Any], list[Any]]:
            return [], []

        async def open(self, hellos: Sequence[Hello]) -> list[SessionOpened]:
            asked.set()
            await granting.wait()
            return [SessionOpened("v1", 7) for _ in hellos]

        async def close(self, ends: Sequence[SessionEnd]) -> None:
            ended.extend(ends)

    class Nothing:
        async def of_connectors(self, _: object) -> dict[str, list[Any]]:
            return {}

    async def messages() -> AsyncIterator[FromConnector]:
        yield FromConnector(registration=Registration(connector_id="c1"))
        yield FromConnector(sessions_opened=[SessionOpenedMessage(request_id=1, vin="WDD1234567890ABCD")])
        await asyncio.Event().wait()

    unused: Any = None
    sessions: Any = Sessions()
    nothing: Any = Nothing()
    api = ConnectorApi(unused, unused, sessions, nothing, unused, Limits())
    stream: Any = api.Attach(messages(), unused)
    assert (await anext(stream)).HasField("registered")

    async def take_what_comes() -> None:
        async for _ in stream:
            pass

    awaiting = asyncio.create_task(take_what_comes())
    await asked.wait()
    awaiting.cancel()
    await asyncio.wait([awaiting])
    granting.set()
    await api.drain()
    assert ended == [SessionEnd("c1", "v1", 7)]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(seconds=1.5), 1500),
        # 0 would be no limit, and the field has 32 bits.
        (timedelta(0), 1),
        (timedelta(seconds=-5), 1),
        (timedelta(days=365), 2**32 - 1),
    ],
)
def test_what_is_left_before_the_expiry_is_always_said(left: timedelta, said: int) -> None:
    assert milliseconds_left(left) == said
