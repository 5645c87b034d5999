"""What every messaging adapter promises; the same tests run on all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from service_kit.messaging.memory import MemoryBroker, MemoryMessaging
from service_kit.messaging.port import DEAD_LETTER_QUEUE, IncomingMessage, Messaging, Unconfirmed, Unroutable
from service_kit.messaging.rabbitmq import RabbitMessaging
from tests.contract.messaging_support import Inbox, bodies, message
from tests.support.waiting import until, until_it

pytestmark = pytest.mark.usefixtures("rabbitmq_server")

Open = Callable[[], Awaitable[Messaging]]

ALWAYS = 0.3  # seconds for which something that must not happen is watched for


@pytest.fixture(params=["memory", "rabbitmq"])
async def open_messaging(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Opens users of one broker, as services are."""
    opened: list[Messaging] = []
    broker = MemoryBroker()
    url = request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else ""

    async def open_one() -> Messaging:
        messaging: Messaging = RabbitMessaging(url) if url else MemoryMessaging(broker)
        opened.append(messaging)
        await until(lambda: messaging.connected)
        return messaging

    yield open_one
    for messaging in opened:
        await messaging.close()


@pytest.fixture
async def messaging(open_messaging: Open) -> Messaging:
    return await open_messaging()


async def test_confirmed_message_arrives_as_it_was_sent(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)

    outcomes = await messaging.publish([message("key", b"\x00\xff body", traceparent="00-1-2-01")])

    assert outcomes == [None]
    delivery = await inbox.next()
    assert delivery.body == b"\x00\xff body"
    assert delivery.routing_key == "key"
    assert dict(delivery.headers) == {"traceparent": "00-1-2-01"}
    assert not delivery.redelivered


async def test_nothing_to_publish(messaging: Messaging) -> None:
    assert await messaging.publish([]) == []


async def test_message_of_a_mebibyte(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)
    body = bytes(range(256)) * 4096

    assert await messaging.publish([message("key", body), message("key", b"")]) == [None, None]

    assert [delivery.body for delivery in await inbox.take(2)] == [body, b""]


async def test_unroutable_message_is_told_apart_from_its_neighbours(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)

    outcomes = await messaging.publish([message("key", "1"), message("nowhere", "2"), message("key", "3")])

    assert [type(outcome) for outcome in outcomes] == [type(None), Unroutable, type(None)]
    assert bodies(await inbox.take(2)) == ["1", "3"]


async def test_queue_takes_several_routing_keys_and_only_those(messaging: Messaging) -> None:
    first, second = Inbox(), Inbox()
    await messaging.consume("first", ["a", "b"], first, prefetch=10)
    await messaging.consume("second", ["c"], second, prefetch=10)

    await messaging.publish([message(key, key) for key in "abc"])

    assert bodies(await first.take(2)) == ["a", "b"]
    assert bodies(await second.take(1)) == ["c"]


async def test_handlers_are_started_in_queue_order(messaging: Messaging) -> None:
    started: list[str] = []

    async def handler(delivery: IncomingMessage) -> None:
        started.append(delivery.body.decode())
        await asyncio.sleep(0)
        await delivery.ack()

    await messaging.consume("work", ["key"], handler, prefetch=20)
    sent = [str(number) for number in range(300)]
    for start in range(0, 300, 50):
        await messaging.publish([message("key", body) for body in sent[start : start + 50]])

    await until(lambda: len(started) == 300)
    assert started == sent


async def test_concurrent_publishers_each_get_their_own_outcomes(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1000)

    outcomes = await asyncio.gather(
        *(messaging.publish([message("key"), message("nowhere" if n % 2 else "key")]) for n in range(40))
    )

    assert [[type(one) for one in pair] for pair in outcomes] == [
        [type(None), Unroutable if n % 2 else type(None)] for n in range(40)
    ]
    await inbox.take(60)


async def test_no_more_than_prefetch_are_unacknowledged(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=3)
    await messaging.publish([message("key", str(number)) for number in range(5)])

    held = await inbox.take(3)
    assert await inbox.nothing_for(ALWAYS)

    await held[1].ack()
    assert (await inbox.next()).body == b"3"
    assert await inbox.nothing_for(ALWAYS)


async def test_acknowledged_out_of_order_none_comes_again(open_messaging: Open) -> None:
    messaging = await open_messaging()
    inbox = Inbox()
    consumer = await messaging.consume("work", ["key"], inbox, prefetch=10)
    await messaging.publish([message("key", str(number)) for number in range(8)])
    held = await inbox.take(8)
    for number in (3, 0, 1, 7, 5):
        await held[number].ack()
    await held[6].reject()
    await consumer.stop()

    again = Inbox()
    await (await open_messaging()).consume("work", ["key"], again, prefetch=10)

    assert bodies(await again.take(2)) == ["2", "4"]
    assert await again.nothing_for(ALWAYS)


async def test_stopped_consumer_leaves_the_queue_and_what_it_did_not_handle(messaging: Messaging) -> None:
    inbox = Inbox()
    consumer = await messaging.consume("work", ["key"], inbox, prefetch=2)
    await messaging.publish([message("key", str(number)) for number in range(4)])
    held = await inbox.take(2)
    await held[0].ack()
    await inbox.next()

    await consumer.stop()
    assert await messaging.publish([message("key", "4")]) == [None]

    await messaging.consume("work", ["key"], inbox, prefetch=10)
    again = await inbox.take(4)
    assert sorted(bodies(again)) == ["1", "2", "3", "4"]
    assert {delivery.body.decode(): delivery.redelivered for delivery in again} == {
        "1": True,
        "2": True,
        "3": False,
        "4": False,
    }


async def test_stopping_waits_for_running_handlers_and_takes_no_more(messaging: Messaging) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()
    handled: list[bytes] = []

    async def handler(delivery: IncomingMessage) -> None:
        started.set()
        await may_end.wait()
        handled.append(delivery.body)
        await delivery.ack()

    consumer = await messaging.consume("work", ["key"], handler, prefetch=1)
    await messaging.publish([message("key", "1"), message("key", "2")])
    await started.wait()
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping], timeout=ALWAYS)
    assert not stopping.done()

    may_end.set()
    await stopping
    await consumer.stop()

    assert handled == [b"1"]
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)
    assert bodies([await inbox.next()]) == ["2"]
    assert await inbox.nothing_for(ALWAYS)


async def test_what_a_crashed_consumer_held_is_delivered_to_another(open_messaging: Open) -> None:
    crashing, surviving = await open_messaging(), await open_messaging()
    inbox = Inbox()
    await crashing.consume("work", ["key"], inbox, prefetch=10)
    await surviving.publish([message("key", "1"), message("key", "2"), message("key", "3")])
    held = await inbox.take(3)
    await held[0].ack()
    other = Inbox()
    await until(lambda: held)
    await crashing.close()
    await surviving.consume("work", ["key"], other, prefetch=10)

    again = await other.take(2)
    assert bodies(again) in (["2", "3"], ["1", "2"])  # an acknowledgement may be lost with its connection
    assert all(delivery.redelivered for delivery in again)
    await held[1].ack()  # does nothing
    await held[2].reject()
    assert not crashing.connected
    assert [type(outcome) for outcome in await crashing.publish([message("key")])] == [Unconfirmed]


async def test_closing_cancels_running_handlers(open_messaging: Open) -> None:
    messaging = await open_messaging()
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: IncomingMessage) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await messaging.consume("work", ["key"], handler, prefetch=1)
    await messaging.publish([message("key")])
    await started.wait()
    await messaging.close()
    assert cancelled.is_set()
    await messaging.close()


async def test_requeued_message_comes_again(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1)
    await messaging.publish([message("key", "1"), message("key", "2")])

    await (await inbox.next()).requeue()

    seen = {}
    for _ in range(2):
        delivery = await inbox.next()
        seen[delivery.body] = delivery.redelivered
        await delivery.ack()
    assert seen == {b"1": True, b"2": False}


async def test_second_word_on_a_delivery_is_ignored(messaging: Messaging) -> None:
    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1)
    await messaging.publish([message("key", "1"), message("key", "2")])
    first = await inbox.next()
    await first.ack()
    await first.ack()
    await first.reject()
    second = await inbox.next()
    await second.ack()
    await messaging.publish([message("key", "3")])
    assert bodies([second, await inbox.next()]) == ["2", "3"]


def dead_letters(queue: str) -> float:
    return REGISTRY.get_sample_value("sovd_dead_letters_total", {"queue": queue}) or 0.0


async def test_rejected_message_goes_to_the_dead_letter_queue_and_is_counted(messaging: Messaging) -> None:
    inbox, dead = Inbox(), Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1)
    await messaging.consume(DEAD_LETTER_QUEUE, [], dead, prefetch=10)
    before = dead_letters("work")
    await messaging.publish([message("key", "bad", traceparent="00-1-2-01"), message("key", "good")])

    await (await inbox.next()).reject()

    buried = await dead.next()
    assert (buried.body, buried.headers["traceparent"]) == (b"bad", "00-1-2-01")
    assert (await inbox.next()).body == b"good"
    assert dead_letters("work") == before + 1


async def test_message_whose_handler_raises_goes_to_the_dead_letter_queue(messaging: Messaging) -> None:
    dead, handled = Inbox(), asyncio.Queue[bytes]()

    async def handler(delivery: IncomingMessage) -> None:
        if delivery.body == b"bad":
            raise ValueError("cannot be read")
        handled.put_nowait(delivery.body)
        await delivery.ack()

    await messaging.consume("work", ["key"], handler, prefetch=1)
    await messaging.consume(DEAD_LETTER_QUEUE, [], dead, prefetch=10)

    await messaging.publish([message("key", "bad"), message("key", "good")])

    assert (await dead.next()).body == b"bad"
    assert await asyncio.wait_for(handled.get(), 30) == b"good"


async def test_handler_that_raises_after_acknowledging_buries_nothing(messaging: Messaging) -> None:
    dead, handled = Inbox(), asyncio.Event()

    async def handler(delivery: IncomingMessage) -> None:
        await delivery.ack()
        handled.set()
        raise ValueError("too late")

    await messaging.consume("work", ["key"], handler, prefetch=1)
    await messaging.consume(DEAD_LETTER_QUEUE, [], dead, prefetch=10)
    await messaging.publish([message("key")])
    await handled.wait()
    assert await dead.nothing_for(ALWAYS)


async def test_what_is_rejected_from_the_dead_letter_queue_is_gone(messaging: Messaging) -> None:
    inbox, dead = Inbox(), Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=10)
    await messaging.consume(DEAD_LETTER_QUEUE, [], dead, prefetch=10)
    await messaging.publish([message("key")])
    await (await inbox.next()).reject()
    await (await dead.next()).reject()
    assert await dead.nothing_for(ALWAYS)


async def test_unused_queue_expires_with_what_it_holds(messaging: Messaging) -> None:
    consumer = await messaging.consume("work", ["key"], Inbox(), prefetch=1, expires_ms=400)
    assert await messaging.publish([message("key")]) == [None]
    await consumer.stop()

    async def is_gone() -> bool:
        return isinstance((await messaging.publish([message("key")]))[0], Unroutable)

    await until_it(is_gone)

    inbox = Inbox()
    await messaging.consume("work", ["key"], inbox, prefetch=1, expires_ms=400)
    assert await inbox.nothing_for(ALWAYS)


async def test_queue_in_use_does_not_expire(messaging: Messaging) -> None:
    inbox = Inbox()
    consumer = await messaging.consume("work", ["key"], Inbox(), prefetch=1, expires_ms=400)
    await consumer.stop()
    await messaging.consume("work", ["key"], inbox, prefetch=1, expires_ms=400)
    assert await inbox.nothing_for(0.8)
    assert await messaging.publish([message("key")]) == [None]
    await inbox.next()
