"""RabbitMQ that restarts, hangs, is away or refuses: what the in-memory broker cannot do."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import aiormq
import pytest
from structlog.testing import capture_logs

from service_kit.messaging.port import IncomingMessage, Unconfirmed
from service_kit.messaging.rabbitmq import RabbitMessaging
from tests.contract.messaging_support import Inbox, bodies, message
from tests.support.servers import RabbitServer
from tests.support.waiting import until

Open = Callable[..., RabbitMessaging]


@pytest.fixture
async def open_messaging(rabbitmq_url: str) -> AsyncIterator[Open]:
    opened: list[RabbitMessaging] = []

    def open_one(confirm_seconds: float = 5.0, queue_seconds: float = 10.0) -> RabbitMessaging:
        opened.append(RabbitMessaging(rabbitmq_url, confirm_seconds=confirm_seconds, queue_seconds=queue_seconds))
        return opened[-1]

    yield open_one
    for messaging in opened:
        await messaging.close()


async def test_restart_in_mid_work_loses_no_confirmed_message(
    open_messaging: Open, rabbitmq_server: RabbitServer
) -> None:
    publishing, consuming = open_messaging(), open_messaging()
    await until(lambda: publishing.connected and consuming.connected)
    confirmed: set[bytes] = set()
    handled: set[bytes] = set()
    back_up = asyncio.Event()

    async def handler(delivery: IncomingMessage) -> None:
        await asyncio.sleep(0)
        handled.add(delivery.body)
        await delivery.ack()

    async def publish_all_the_time() -> None:
        for number in itertools.count():
            batch = [message("key", f"{number}-{n}") for n in range(5)]
            outcomes = await publishing.publish(batch)
            confirmed.update(sent.body for sent, outcome in zip(batch, outcomes, strict=True) if outcome is None)
            if back_up.is_set() and outcomes == [None] * 5:
                return

    await consuming.consume("work", ["key"], handler, prefetch=20)
    publisher = asyncio.create_task(publish_all_the_time())
    await until(lambda: len(handled) > 100)

    await asyncio.to_thread(rabbitmq_server.stop)
    await until(lambda: not publishing.connected and not consuming.connected)
    before = len(confirmed)
    await asyncio.to_thread(rabbitmq_server.start)
    back_up.set()

    await publisher
    assert len(confirmed) > before
    await until(lambda: confirmed <= handled)
    assert publishing.connected
    assert consuming.connected


async def test_crash_right_after_the_queue_was_declared(open_messaging: Open, rabbitmq_server: RabbitServer) -> None:
    """The queue is back without a leader, for good: the consumer must get over it."""
    messaging = open_messaging(confirm_seconds=1, queue_seconds=1)
    await until(lambda: messaging.connected)
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)

    await asyncio.to_thread(rabbitmq_server.kill)
    await until(lambda: not messaging.connected)
    await asyncio.to_thread(rabbitmq_server.start)

    await until(lambda: messaging.connected)
    assert await messaging.publish([message("key", "again")]) == [None]
    assert bodies([await inbox.next()]) == ["again"]


async def test_broker_that_is_away_at_first_and_comes(open_messaging: Open, rabbitmq_server: RabbitServer) -> None:
    await asyncio.to_thread(rabbitmq_server.stop)
    messaging = open_messaging(confirm_seconds=0.2)
    inbox = Inbox()
    loop = asyncio.get_running_loop()

    consumer = await messaging.consume("work", ["key"], inbox, prefetch=10)
    stopped = await messaging.consume("other", ["other"], inbox, prefetch=10)
    await stopped.stop()
    began = loop.time()
    outcomes = await messaging.publish([message("key", "too early"), message("key", "too early")])

    assert [type(outcome) for outcome in outcomes] == [Unconfirmed, Unconfirmed]
    assert loop.time() - began < 2
    assert not messaging.connected

    await asyncio.to_thread(rabbitmq_server.start)
    await until(lambda: messaging.connected)
    assert await messaging.publish([message("key", "now")]) == [None]
    assert bodies([await inbox.next()]) == ["now"]
    await consumer.stop()


async def test_delivery_of_a_lost_connection_comes_again_and_can_only_be_settled_then(
    open_messaging: Open, rabbitmq_url: str
) -> None:
    messaging = open_messaging()
    await until(lambda: messaging.connected)
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)
    await messaging.publish([message("key", str(number)) for number in range(4)])
    held = await inbox.take(4)

    await delete_queue(rabbitmq_url, "sovd.unknown")  # leaves it alone
    assert await messaging.publish([message("key", "4")]) == [None]
    held.append(await inbox.next())

    await lose_connection(messaging)
    await held[0].ack()
    await held[1].reject()
    await held[2].requeue()
    await until(lambda: messaging.connected)

    again = await inbox.take(5)
    assert sorted(bodies(again)) == ["0", "1", "2", "3", "4"]
    assert all(delivery.redelivered for delivery in again)
    for delivery in again:
        await delivery.ack()
    await messaging.publish([message("key", "5")])
    assert bodies([await inbox.next()]) == ["5"]


async def test_consumer_whose_queue_is_deleted_declares_it_again(open_messaging: Open, rabbitmq_url: str) -> None:
    messaging = open_messaging()
    await until(lambda: messaging.connected)
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)

    await delete_queue(rabbitmq_url, "work")
    await until(lambda: not messaging.connected)
    await until(lambda: messaging.connected)

    assert await messaging.publish([message("key", "again")]) == [None]
    assert bodies([await inbox.next()]) == ["again"]


async def test_queue_declared_otherwise_by_others_is_said_and_tried_again(
    open_messaging: Open, rabbitmq_url: str
) -> None:
    async with aiormq.connect(rabbitmq_url) as connection:
        await (await connection.channel()).queue_declare("work")
    messaging = open_messaging()
    await until(lambda: messaging.connected)
    with capture_logs() as logs:
        await messaging.consume("work", ["key"], Inbox(), prefetch=10)
        await until(lambda: not messaging.connected)
    assert "inequivalent arg" in str(logs[0]["reason"])

    await delete_queue(rabbitmq_url, "work")
    await until(lambda: messaging.connected)
    assert await messaging.publish([message("key")]) == [None]


async def test_broker_that_hangs_confirms_nothing_and_holds_nobody_up(
    open_messaging: Open, rabbitmq_server: RabbitServer
) -> None:
    messaging = open_messaging(confirm_seconds=0.3)
    await until(lambda: messaging.connected)
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1000)
    loop = asyncio.get_running_loop()

    rabbitmq_server.pause()
    began = loop.time()
    # More than the sockets' buffers take: some publishers do not even get their messages on their way.
    outcomes = await asyncio.gather(*(messaging.publish([message("key", bytes(500_000))]) for _ in range(60)))
    assert {type(outcome) for (outcome,) in outcomes} == {Unconfirmed}
    assert loop.time() - began < 3
    rabbitmq_server.resume()

    async def confirmed() -> bool:
        return await messaging.publish([message("key", "after")]) == [None]

    async with asyncio.timeout(30):
        while not await confirmed():
            pass
    while (await inbox.next()).body != b"after":
        pass
    # Numbers of confirms still belong to the messages they were given for.
    outcome, unroutable = await messaging.publish([message("key"), message("nowhere")])
    assert (outcome, type(unroutable).__name__) == (None, "Unroutable")


async def test_refused_login_is_one_line_each_time(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    wrong = urlunsplit(parts._replace(netloc=f"nobody:wrong-password@{parts.hostname}:{parts.port}"))
    with capture_logs() as logs:
        messaging = RabbitMessaging(wrong)
        await until(lambda: len(logs) >= 3)
        await messaging.close()
    assert {entry["event"] for entry in logs} == {"rabbitmq_away"}
    assert "ACCESS_REFUSED" in str(logs[0]["reason"])
    assert "wrong-password" not in str(logs)
    pauses = [entry["retry_in_seconds"] for entry in logs]
    assert pauses[0] < pauses[2]


async def test_virtual_host_that_does_not_exist_is_said(rabbitmq_url: str) -> None:
    with capture_logs() as logs:
        messaging = RabbitMessaging(rabbitmq_url + "-missing")
        await until(lambda: logs)
        await messaging.close()
    assert "does not exist" in str(logs[0]["reason"])


async def lose_connection(messaging: RabbitMessaging) -> None:
    """As a network does: without a word."""
    connection = messaging._connection
    assert isinstance(connection, aiormq.Connection)
    connection._reader_task.cancel()
    await until(lambda: not messaging.connected)


async def delete_queue(url: str, name: str) -> None:
    async with aiormq.connect(url) as connection:
        await (await connection.channel()).queue_delete(name)
