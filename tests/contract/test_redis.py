"""Redis that restarts, hangs, is away, refuses or cuts off: what happens only with a server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from structlog.testing import capture_logs

from service_kit.live_events import redis_listener
from service_kit.live_events.redis import RedisLiveEvents
from tests.contract.live_events_support import Watcher
from tests.support.servers import RedisServer
from tests.support.waiting import until, until_it

Open = Callable[[], RedisLiveEvents]


@pytest.fixture
async def open_live_events(redis_url: str) -> AsyncIterator[Open]:
    opened: list[RedisLiveEvents] = []

    def open_one() -> RedisLiveEvents:
        opened.append(RedisLiveEvents(redis_url))
        return opened[-1]

    yield open_one
    for live_events in opened:
        await live_events.close()


async def publishes(live_events: RedisLiveEvents, *events: tuple[str, bytes]) -> bool:
    try:
        await live_events.publish(events)
    except ConnectionError:
        return False
    return True


async def test_restart_is_a_gap_and_delivery_goes_on(open_live_events: Open, redis_server: RedisServer) -> None:
    listening, publishing = open_live_events(), open_live_events()
    watchers = {f"command.{number}": Watcher() for number in range(50)}
    await asyncio.gather(*(watcher.subscribe(listening, channel) for channel, watcher in watchers.items()))
    left = Watcher()
    await left.subscribe(listening, "left")
    await listening.subscribe("command.1", lambda _: None, lambda: 1 / 0)  # type: ignore[arg-type]
    assert await publishes(publishing, ("left", b"1"))

    await asyncio.to_thread(redis_server.kill)
    await until(lambda: not listening.connected)
    assert not await publishes(publishing, ("command.1", b"lost"))
    assert not publishing.connected
    await left.close()
    assert all(watcher.gaps == 0 for watcher in watchers.values())
    await asyncio.to_thread(redis_server.start)

    await until(lambda: all(watcher.gaps == 1 for watcher in watchers.values()))
    assert listening.connected
    assert await publishes(publishing, *[(channel, channel.encode()) for channel in watchers], ("left", b"2"))
    await until(lambda: all(watcher.seen == [channel.encode()] for channel, watcher in watchers.items()))
    assert (left.gaps, left.seen) == (0, [b"1"])


async def test_publisher_that_was_idle_over_a_restart_does_not_notice(
    open_live_events: Open, redis_server: RedisServer
) -> None:
    publishing = open_live_events()
    await publishing.publish([("a", b"1")])
    await asyncio.to_thread(redis_server.restart)
    await publishing.publish([("a", b"2")])
    assert publishing.connected


async def test_subscribing_while_redis_is_away_is_confirmed_when_it_is_back(
    open_live_events: Open, redis_server: RedisServer
) -> None:
    await asyncio.to_thread(redis_server.stop)
    listening, publishing = open_live_events(), open_live_events()
    watcher, gone = Watcher(), Watcher()
    subscribing = asyncio.create_task(watcher.subscribe(listening, "a"))
    giving_up = asyncio.create_task(gone.subscribe(listening, "b"))
    with capture_logs() as logs:
        await until(lambda: len(logs) >= 2)
    assert {entry["event"] for entry in logs} == {"redis_away"}
    assert not subscribing.done()
    assert not listening.connected
    giving_up.cancel()
    await asyncio.wait([giving_up])

    await asyncio.to_thread(redis_server.start)

    await subscribing
    await until(lambda: watcher.gaps == 1)
    await publishing.publish([("a", b"1"), ("b", b"1")])
    await until(lambda: watcher.seen == [b"1"])
    assert (gone.gaps, gone.seen) == (0, [])


async def test_slow_reader_is_cut_off_told_and_goes_on(
    open_live_events: Open, redis_server: RedisServer, redis_url: str
) -> None:
    listening, publishing = open_live_events(), open_live_events()
    watcher, reading, flooded = Watcher(), threading.Event(), threading.Event()

    def read_slowly(_: bytes) -> None:
        reading.set()
        flooded.wait(30)  # holds up the whole event loop, as a process that is too busy does

    await watcher.subscribe(listening, "a")
    slow = await listening.subscribe("slow", read_slowly, lambda: None)

    def flood() -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.config_set("client-output-buffer-limit", "pubsub 100000 0 0")
            client.publish("slow", b"")
            reading.wait(30)
            while client.publish("a", bytes(100_000)):  # until Redis has nobody left to send it to
                pass
        flooded.set()

    await asyncio.to_thread(flood)
    await until(lambda: watcher.gaps == 1)
    await slow.close()
    before = len(watcher.seen)
    await publishing.publish([("a", b"after")])
    await until(lambda: watcher.seen[before:] == [b"after"])


async def test_redis_that_hangs_is_noticed_by_silence(
    open_live_events: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_listener, "SILENCE_SECONDS", 0.2)
    listening = open_live_events()
    watcher = Watcher()
    await watcher.subscribe(listening, "a")
    await until_silent_twice(listening)
    assert listening.connected

    redis_server.pause()
    await until(lambda: not listening.connected)
    redis_server.resume()

    await until(lambda: watcher.gaps >= 1)
    assert await publishes(listening, ("a", b"after"))
    await until(lambda: watcher.seen == [b"after"])


async def test_redis_that_hangs_holds_no_publisher_up_for_long(
    open_live_events: Open, redis_server: RedisServer
) -> None:
    publishing = open_live_events()
    await publishing.publish([("a", b"1")])
    redis_server.pause()
    began = asyncio.get_running_loop().time()
    assert not await publishes(publishing, ("a", b"2"))
    assert asyncio.get_running_loop().time() - began < 5
    assert not publishing.connected
    redis_server.resume()
    await until_it(lambda: publishes(publishing, ("a", b"3")))
    await until(lambda: publishing.connected)


async def test_silence_without_any_subscription(open_live_events: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_listener, "SILENCE_SECONDS", 0.05)
    listening, watcher = open_live_events(), Watcher()
    await watcher.subscribe(listening, "a")
    await watcher.close()
    await until_silent_twice(listening)
    await watcher.subscribe(listening, "b")
    await publishes(listening, ("b", b"1"))
    await until(lambda: watcher.seen == [b"1"])
    assert watcher.gaps == 0


async def test_refused_login_is_one_line_each_time(redis_server: RedisServer, redis_url: str) -> None:
    parts = urlsplit(redis_url)
    live_events = RedisLiveEvents(urlunsplit(parts._replace(netloc=f":wrong-password@{parts.netloc}")))
    with capture_logs() as logs:
        subscribing = asyncio.create_task(Watcher().subscribe(live_events, "a"))
        await until(lambda: len(logs) >= 3)
        await live_events.close()
    with pytest.raises(ConnectionError, match="closed"):
        await subscribing
    assert {entry["event"] for entry in logs} == {"redis_away"}
    assert "wrong-password" not in str(logs)
    assert logs[0]["retry_in_seconds"] < logs[2]["retry_in_seconds"]


async def test_refused_command_is_an_error_and_the_next_publish_works(open_live_events: Open, redis_url: str) -> None:
    publishing = open_live_events()
    await publishing.publish([("a", b"1")])
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-publish")
        try:
            with pytest.raises(ConnectionError, match="no permissions"):
                await publishing.publish([("a", b"2"), ("a", b"3")])
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+publish")
    await publishing.publish([("a", b"4")])


async def until_silent_twice(live_events: RedisLiveEvents) -> None:
    """Until the listener has asked twice whether its silent connection still lives."""
    connection = live_events._listener._connection
    assert connection is not None
    asked = []
    send = connection.send_command

    async def count(*command: object) -> None:
        asked.append(command)
        await send(*command)

    connection.send_command = count  # type: ignore[method-assign]
    await until(lambda: asked.count(("PING",)) >= 2)
    connection.send_command = send  # type: ignore[method-assign]
