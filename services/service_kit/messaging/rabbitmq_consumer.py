"""Consuming a RabbitMQ queue."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import aiormq
from aiormq.abc import AbstractConnection, ChannelFrame, DeliveredMessage
from pamqp.commands import Basic

from service_kit.logging import get_logger
from service_kit.messaging.metrics import dead_letters_of
from service_kit.messaging.port import COMMANDS_EXCHANGE, DEAD_LETTER_QUEUE, Handler
from service_kit.messaging.rabbitmq_errors import CONNECTION_ERRORS

# The library's buffer of 10 frames makes its reader and its channel take turns: a third of the time of consuming.
FRAMES_PER_MESSAGE = 3

_log = get_logger(__name__)


def queue_arguments(queue: str, expires_ms: int | None) -> dict[str, Any]:
    """What a queue is declared with; every declaration of it has to say the same."""
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if queue != DEAD_LETTER_QUEUE:
        arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD_LETTER_QUEUE}
    if expires_ms is not None:
        arguments["x-expires"] = expires_ms
    return arguments


class Settlements:
    """The acknowledgements of one channel, in as few frames as possible: those of one turn of the event loop go as one
    write, and those of an unbroken run from the oldest delivery as one frame."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._open: dict[int, None] = {}  # delivered, and nothing said to the broker; in the order of delivery
        self._acknowledged: set[int] = set()
        self._writing: asyncio.Task[None] | None = None

    def delivered(self, tag: int) -> None:
        self._open[tag] = None

    def acknowledge(self, tag: int) -> None:
        self._acknowledged.add(tag)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def reject(self, tag: int, *, requeue: bool) -> bool:
        """False when the broker cannot be told any more, and will deliver the message again."""
        # Still open, so that no acknowledgement of a run goes past it before this is on its way.
        if not await self._send([Basic.Reject(delivery_tag=tag, requeue=requeue)]):
            return False
        self._open.pop(tag, None)
        return True

    async def flush(self) -> None:
        """Returns when all that was acknowledged is on its way."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while self._acknowledged:
            frames: list[Basic.Ack] = []
            if run := self._oldest_run():
                frames.append(Basic.Ack(delivery_tag=run, multiple=True))
            frames += [Basic.Ack(delivery_tag=tag) for tag in self._acknowledged]
            for tag in self._acknowledged:
                del self._open[tag]
            self._acknowledged = set()
            await self._send(frames)

    def _oldest_run(self) -> int:
        """Takes out the run of acknowledged deliveries before the first that is not, and returns its last."""
        run = []
        for tag in self._open:
            if tag not in self._acknowledged:
                break
            run.append(tag)
        for tag in run:
            del self._open[tag]
            self._acknowledged.remove(tag)
        return run[-1] if run else 0

    async def _send(self, frames: Sequence[Basic.Ack | Basic.Reject]) -> bool:
        channel = self._channel
        if channel.is_closed:
            return False
        data = ChannelFrame.marshall(channel.number, frames)
        try:
            channel.write_queue.put_nowait(data)
        except asyncio.QueueFull:
            return await self._send_when_there_is_room(data)
        return True

    async def _send_when_there_is_room(self, data: ChannelFrame) -> bool:
        """Of a connection that is lost nobody empties the queue any more."""
        putting = asyncio.ensure_future(self._channel.write_queue.put(data))
        await asyncio.wait([putting, self._channel.closing], return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()
        return putting.done() and not putting.cancelled()


class RabbitDelivery:
    """A message from a queue (the port's IncomingMessage)."""

    __slots__ = ("_delivered", "_queue", "_settled", "_settlements", "_tag", "body", "redelivered", "routing_key")

    def __init__(self, delivered: DeliveredMessage, queue: str, settlements: Settlements) -> None:
        self.body = delivered.body
        self.routing_key: str = delivered.routing_key or ""
        self.redelivered = bool(delivered.redelivered)
        self._delivered = delivered
        self._queue = queue
        self._settlements = settlements
        self._settled = False
        self._tag = cast("int", delivered.delivery_tag)
        settlements.delivered(self._tag)

    @property
    def headers(self) -> Mapping[str, str]:
        """Of other senders' headers, what is no text as text."""
        return {key: str(value) for key, value in (self._delivered.header.properties.headers or {}).items()}

    async def ack(self) -> None:
        if self._settle():
            self._settlements.acknowledge(self._tag)

    async def reject(self) -> None:
        if self._settle() and await self._settlements.reject(self._tag, requeue=False):
            dead_letters_of(self._queue).inc()

    async def requeue(self) -> None:
        if self._settle():
            await self._settlements.reject(self._tag, requeue=True)

    def _settle(self) -> bool:
        # A second word on a delivery would make the broker close the channel.
        first, self._settled = not self._settled, True
        return first


class RabbitConsumer:
    """The port's Consumer. Opened on one connection after the other, by who owns them."""

    def __init__(
        self,
        queue: str,
        routing_keys: Sequence[str],
        handler: Handler,
        prefetch: int,
        expires_ms: int | None,
        *,
        queue_seconds: float,
        forget: Callable[["RabbitConsumer"], None],
    ) -> None:
        self._queue = queue
        self._routing_keys = routing_keys
        self._handler = handler
        self._prefetch = prefetch
        self._expires_ms = expires_ms
        self._queue_seconds = queue_seconds
        self._forget = forget
        self._connection: AbstractConnection | None = None
        self._channel: aiormq.Channel | None = None
        self._settlements: Settlements | None = None
        self._handling: set[asyncio.Task[None]] = set()
        self._stopped = False
        dead_letters_of(queue)  # a series that begins with 0: from nothing to 1 is no increase

    def opened_on(self, connection: AbstractConnection) -> bool:
        return self._connection is connection

    async def open(self, connection: AbstractConnection, on_broken: Callable[[], None]) -> None:
        """Declare the queue and consume it over a channel of its own; once per connection."""
        self._connection = connection
        room = FRAMES_PER_MESSAGE * self._prefetch
        channel = cast("aiormq.Channel", await connection.channel(publisher_confirms=False, frame_buffer_size=room))
        self._channel = channel
        channel.closing.add_done_callback(lambda _: None if self._stopped else on_broken())
        channel.on_consumer_cancel_callbacks.add(lambda _: on_broken())  # its queue was deleted, say
        await channel.basic_qos(prefetch_count=self._prefetch)
        arguments = queue_arguments(self._queue, self._expires_ms)
        await channel.queue_declare(self._queue, durable=True, arguments=arguments)
        for key in self._routing_keys:
            await channel.queue_bind(self._queue, COMMANDS_EXCHANGE, key)
        self._settlements = Settlements(channel)
        receive = partial(self._receive, self._settlements)
        try:
            async with asyncio.timeout(self._queue_seconds):
                await channel.basic_consume(self._queue, receive, consumer_tag=self._queue)
        except TimeoutError:
            await self._delete_dead_queue(connection)
            raise

    async def _delete_dead_queue(self, connection: AbstractConnection) -> None:
        """The broker answers, the queue does not: it has no leader and will not get one.

        So it is after a crash of the broker in the seconds after it was declared (rabbitmq-server issue 15725). What
        it held is lost either way; the next attempt declares it anew.
        """
        _log.warning("rabbitmq_queue_without_leader_deleted", queue=self._queue)
        channel = await connection.channel()
        await channel.queue_delete(self._queue)

    async def stop(self) -> None:
        """See the port."""
        if self._stopped:
            return
        self._stopped = True
        self._forget(self)
        channel = self._channel
        with suppress(*CONNECTION_ERRORS):
            if channel is not None:
                await channel.basic_cancel(self._queue)
        if self._handling:
            await asyncio.wait(self._handling)
        with suppress(*CONNECTION_ERRORS):
            if channel is not None and self._settlements is not None:
                await self._settlements.flush()
                await channel.close()

    async def abandon(self) -> None:
        """Stop without waiting for handlers; what they had goes back to the queue."""
        self._stopped = True
        self._forget(self)
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)

    async def _receive(self, settlements: Settlements, delivered: DeliveredMessage) -> None:
        if self._stopped:
            return  # goes back to the queue with the channel
        delivery = RabbitDelivery(delivered, self._queue, settlements)
        # A task of our own: the library cancels its tasks when the connection is lost.
        task = asyncio.create_task(self._handle(delivery))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self, delivery: RabbitDelivery) -> None:
        try:
            await self._handler(delivery)
        except Exception as error:
            _log.error("message_handler_failed", queue=self._queue, exc_info=error)
            await delivery.reject()
