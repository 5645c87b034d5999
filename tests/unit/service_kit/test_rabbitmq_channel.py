"""What goes over a RabbitMQ channel: numbers of confirms, and as few acknowledgements as possible."""

import asyncio
from typing import Any, cast

import aiormq
import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from service_kit.messaging.port import OutgoingMessage
from service_kit.messaging.rabbitmq_consumer import Settlements
from service_kit.messaging.rabbitmq_publisher import RabbitPublisher


class FakeChannel:
    """As much of the library's channel as ours use."""

    def __init__(self, room: int = 0) -> None:
        self.number = 1
        self.is_closed = False
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.write_queue: asyncio.Queue[ChannelFrame] = asyncio.Queue(room)
        self.delivery_tag = 0
        self.confirmations: dict[int, asyncio.Future[Any]] = {}
        self.message_id_delivery_tag: dict[str, int] = {}
        self.max_content_size = 10

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()

    def written(self) -> list[Any]:
        """The frames that are on their way, taken off."""
        frames = []
        while not self.write_queue.empty():
            payload = self.write_queue.get_nowait().payload
            while payload:
                size, _, frame = pamqp.frame.unmarshal(payload)
                frames.append(frame)
                payload = payload[size:]
        return frames


def settlements_of(channel: FakeChannel) -> Settlements:
    return Settlements(cast("aiormq.Channel", channel))


async def test_an_unbroken_run_is_acknowledged_in_one_frame() -> None:
    channel = FakeChannel()
    settlements = settlements_of(channel)
    for tag in range(1, 6):
        settlements.delivered(tag)
    for tag in (2, 1, 3, 5):
        settlements.acknowledge(tag)
    await settlements.flush()
    assert [(frame.delivery_tag, frame.multiple) for frame in channel.written()] == [(3, True), (5, False)]


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["ack", "reject", "requeue", "turn"])), max_size=60))
def test_the_broker_hears_of_each_delivery_what_was_said_of_it_and_once(steps: list[tuple[int, str]]) -> None:
    async def run() -> None:
        channel = FakeChannel()
        settlements = settlements_of(channel)
        said: dict[int, str] = {}
        open_tags = dict.fromkeys(range(1, 13))
        for tag in open_tags:
            settlements.delivered(tag)
        heard: dict[int, str] = {}
        for tag, what in steps:
            if what == "turn":
                await asyncio.sleep(0)
            elif tag not in said:
                said[tag] = what
                if what == "ack":
                    settlements.acknowledge(tag)
                else:
                    assert await settlements.reject(tag, requeue=what == "requeue")
        await settlements.flush()
        for frame in channel.written():
            hear(frame, open_tags, heard)
        assert heard == said

    asyncio.run(run())


def hear(frame: Any, open_tags: dict[int, None], heard: dict[int, str]) -> None:
    """As a broker does, for which a delivery it has heard of already is an error."""
    said: int = frame.delivery_tag
    what, tags = "ack", [said]
    if isinstance(frame, Basic.Reject):
        what = "requeue" if frame.requeue else "reject"
    elif frame.multiple:
        tags = [tag for tag in open_tags if tag <= said]
    for tag in tags:
        del open_tags[tag]
        heard[tag] = what


async def test_acknowledging_over_a_lost_connection_neither_fails_nor_waits_for_ever() -> None:
    channel = FakeChannel(room=1)
    settlements = settlements_of(channel)
    for tag in range(1, 5):
        settlements.delivered(tag)
    settlements.acknowledge(2)
    await settlements.flush()
    settlements.acknowledge(1)  # there is no room, and nobody will make any
    await asyncio.sleep(0)
    channel.is_closed = True
    channel.closing.set_result(None)
    await settlements.flush()
    settlements.acknowledge(3)
    await settlements.flush()
    assert not await settlements.reject(4, requeue=True)
    assert [frame.delivery_tag for frame in channel.written()] == [2]


async def test_acknowledgement_waits_for_room() -> None:
    channel = FakeChannel(room=1)
    settlements = settlements_of(channel)
    for tag in range(1, 4):
        settlements.delivered(tag)
    assert await settlements.reject(2, requeue=False)
    rejecting = asyncio.create_task(settlements.reject(3, requeue=False))
    await asyncio.sleep(0)
    assert [frame.delivery_tag for frame in channel.written()] == [2]
    assert await rejecting
    assert [frame.delivery_tag for frame in channel.written()] == [3]


def publisher_of(channel: FakeChannel) -> RabbitPublisher:
    return RabbitPublisher(cast("aiormq.Channel", channel))


async def test_messages_that_never_left_use_up_no_number() -> None:
    channel = FakeChannel(room=1)
    publisher = publisher_of(channel)
    channel.write_queue.put_nowait(ChannelFrame(b"", should_close=False))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await publisher.send([OutgoingMessage("key", b"1", "id-1"), OutgoingMessage("key", b"2", "id-2")])
    await asyncio.sleep(0)
    assert (channel.delivery_tag, channel.confirmations, channel.message_id_delivery_tag) == (0, {}, {})

    channel.written()
    sending = asyncio.create_task(publisher.send([OutgoingMessage("key", b"3", "id-3")]))
    (await channel.write_queue.get()).drain()
    (confirm,) = await sending
    assert channel.confirmations == {1: confirm}


async def test_body_longer_than_a_frame_is_cut() -> None:
    channel = FakeChannel()
    sending = asyncio.create_task(publisher_of(channel).send([OutgoingMessage("key", bytes(range(25)), "id")]))
    await asyncio.sleep(0)
    bodies = [frame.value for frame in channel.written() if hasattr(frame, "value")]
    assert b"".join(bodies) == bytes(range(25))
    assert [len(body) for body in bodies] == [10, 10, 5]
    sending.cancel()


async def test_publishing_on_a_closed_channel_is_refused() -> None:
    channel = FakeChannel()
    channel.is_closed = True
    publisher = publisher_of(channel)
    assert publisher.closed
    with pytest.raises(ConnectionError):
        await publisher.send([OutgoingMessage("key", b"", "id")])


async def test_confirm_of_a_connection_that_was_closed_is_none() -> None:
    channel = FakeChannel()
    confirm = channel.create_future()
    confirm.cancel()
    refused = channel.create_future()
    refused.set_exception(aiormq.AMQPConnectionError("gone"))
    outcomes = await publisher_of(channel).outcomes([confirm, refused], deadline=0)
    assert [str(outcome) for outcome in outcomes] == [
        "the connection was closed",
        "the broker refused it or was lost: gone",
    ]
