"""What every live-events adapter promises; the same tests run on all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.live_events.port import LiveEvents
from service_kit.live_events.redis import RedisLiveEvents
from tests.contract.live_events_support import Watcher
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("redis_server")

Open = Callable[[], LiveEvents]


@pytest.fixture(params=["memory", "redis"])
async def open_live_events(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens users of one back end: processes of their own on Redis, parts of one process in memory."""
    opened: list[LiveEvents] = []
    shared = InMemoryLiveEvents()
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""

    def open_one() -> LiveEvents:
        opened.append(RedisLiveEvents(url) if url else shared)
        return opened[-1]

    yield open_one
    for live_events in opened:
        await live_events.close()


@pytest.fixture
def listening(open_live_events: Open) -> LiveEvents:
    return open_live_events()


@pytest.fixture
def publishing(open_live_events: Open) -> LiveEvents:
    return open_live_events()


async def test_everything_after_the_confirmation_arrives_in_order(
    listening: LiveEvents, publishing: LiveEvents
) -> None:
    watcher = Watcher()
    await publishing.publish([("a", b"before")])
    await watcher.subscribe(listening, "a")

    await publishing.publish([("a", b"1"), ("b", b"for another"), ("a", b"2")])
    await publishing.publish([("a", b"\x00\xff3")])

    await until(lambda: watcher.seen == [b"1", b"2", b"\x00\xff3"])
    assert watcher.gaps == 0
    assert listening.connected
    assert publishing.connected


async def test_concurrent_batches_arrive_in_the_order_of_the_calls(
    listening: LiveEvents, publishing: LiveEvents
) -> None:
    watcher = Watcher()
    await watcher.subscribe(listening, "a")

    await asyncio.gather(*(publishing.publish([("a", b"%d-%d" % (n, m)) for m in range(3)]) for n in range(50)))

    await until(lambda: len(watcher.seen) == 150)
    assert watcher.seen == [b"%d-%d" % (n, m) for n in range(50) for m in range(3)]


async def test_nothing_to_publish(publishing: LiveEvents) -> None:
    await publishing.publish([])


async def test_publishing_where_nobody_listens(publishing: LiveEvents) -> None:
    await publishing.publish([("a", b"1")])


async def test_every_subscriber_of_a_channel_gets_everything(listening: LiveEvents, publishing: LiveEvents) -> None:
    watchers = [Watcher() for _ in range(20)]
    await asyncio.gather(*(watcher.subscribe(listening, "a") for watcher in watchers))
    await publishing.publish([("a", b"1"), ("a", b"2")])
    await until(lambda: all(watcher.seen == [b"1", b"2"] for watcher in watchers))


async def test_many_channels_subscribed_at_once(listening: LiveEvents, publishing: LiveEvents) -> None:
    watchers = {f"command.{number}": Watcher() for number in range(1500)}
    await asyncio.gather(*(watcher.subscribe(listening, channel) for channel, watcher in watchers.items()))
    await publishing.publish([(channel, channel.encode()) for channel in watchers])
    await until(lambda: all(watcher.seen == [channel.encode()] for channel, watcher in watchers.items()))


async def test_subscription_that_is_closed_gets_nothing_and_leaves_the_others(
    listening: LiveEvents, publishing: LiveEvents
) -> None:
    leaving, staying = Watcher(), Watcher()
    await asyncio.gather(leaving.subscribe(listening, "a"), staying.subscribe(listening, "a"))
    await leaving.close()
    await leaving.close()
    await publishing.publish([("a", b"1")])
    await until(lambda: staying.seen == [b"1"])
    assert leaving.seen == []


async def test_leaving_and_coming_back_at_once(listening: LiveEvents, publishing: LiveEvents) -> None:
    first, second = Watcher(), Watcher()
    await first.subscribe(listening, "a")
    for _ in range(50):
        await asyncio.gather(first.close(), second.subscribe(listening, "a"))
        first, second = second, Watcher()
    await publishing.publish([("a", b"1")])
    await until(lambda: first.seen == [b"1"])


async def test_subscriber_that_gives_up_waiting_leaves_nothing_behind(
    listening: LiveEvents, publishing: LiveEvents
) -> None:
    watcher, other = Watcher(), Watcher()
    attempt = asyncio.create_task(watcher.subscribe(listening, "a"))
    await asyncio.sleep(0)
    attempt.cancel()
    await asyncio.wait([attempt])
    await other.subscribe(listening, "a")
    await publishing.publish([("a", b"1")])
    await until(lambda: other.seen == [b"1"])


async def test_subscriber_that_raises_harms_no_other(listening: LiveEvents, publishing: LiveEvents) -> None:
    before, after = Watcher(), Watcher()

    def fail(_: bytes) -> None:
        raise ValueError("cannot be read")

    await before.subscribe(listening, "a")
    await listening.subscribe("a", fail, lambda: None)
    await after.subscribe(listening, "a")
    with capture_logs() as logs:
        await publishing.publish([("a", b"1"), ("a", b"2")])
        await until(lambda: before.seen == after.seen == [b"1", b"2"])
    assert [entry["event"] for entry in logs] == ["live_event_subscriber_failed"] * 2


async def test_closed_is_closed(listening: LiveEvents) -> None:
    await Watcher().subscribe(listening, "a")
    await listening.close()
    with pytest.raises(ConnectionError):
        await listening.publish([("a", b"1")])
    await listening.close()
