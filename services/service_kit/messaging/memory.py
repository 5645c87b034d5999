"""The messaging port inside one process, for the embedded mode and for unit tests."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from service_kit.logging import get_logger
from service_kit.messaging.metrics import dead_letters_of
from service_kit.messaging.port import (
    DEAD_LETTER_QUEUE,
    Handler,
    OutgoingMessage,
    PublishError,
    Unconfirmed,
    Unroutable,
)

_log = get_logger(__name__)


@dataclass(slots=True)
class _Queue:
    name: str
    waiting: deque["_Stored"] = field(default_factory=deque)
    consumers: list["MemoryConsumer"] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None

    def put(self, message: "_Stored") -> None:
        self.waiting.append(message)
        self.deliver()

    def deliver(self) -> None:
        while self.waiting and (consumer := next((one for one in self.consumers if one.has_room), None)):
            consumer.take(self.waiting.popleft())


@dataclass(slots=True)
class _Stored:
    body: bytes
    routing_key: str
    headers: Mapping[str, str]
    redelivered: bool = False


class MemoryBroker:
    """The queues that the MemoryMessaging of one process share, as services share a RabbitMQ."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._bindings: dict[str, list[_Queue]] = {}
        self.declare(DEAD_LETTER_QUEUE, [])

    def declare(self, name: str, routing_keys: Sequence[str]) -> _Queue:
        queue = self._queues.setdefault(name, _Queue(name))
        for key in routing_keys:
            bound = self._bindings.setdefault(key, [])
            if queue not in bound:
                bound.append(queue)
        return queue

    def delete(self, queue: _Queue) -> None:
        self._queues.pop(queue.name, None)
        for bound in self._bindings.values():
            if queue in bound:
                bound.remove(queue)

    def route(self, message: OutgoingMessage) -> bool:
        """False when no queue is bound to its routing key."""
        bound = self._bindings.get(message.routing_key)
        for queue in bound or ():
            queue.put(_Stored(message.body, message.routing_key, message.headers))
        return bool(bound)

    def bury(self, message: _Stored, queue: str) -> None:
        """To the dead-letter queue; from there to nowhere."""
        dead_letters_of(queue).inc()
        if queue != DEAD_LETTER_QUEUE:
            self._queues[DEAD_LETTER_QUEUE].put(_Stored(message.body, DEAD_LETTER_QUEUE, message.headers))


class MemoryMessaging:
    """One user of a broker: closing it leaves the others alone."""

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self._broker = broker or MemoryBroker()
        self._consumers: list[MemoryConsumer] = []
        self._closed = False

    @property
    def connected(self) -> bool:
        return not self._closed

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishError | None]:
        """See the port."""
        if self._closed:
            return [Unconfirmed("closed")] * len(messages)
        return [
            None if self._broker.route(message) else Unroutable(f"no queue is bound to {message.routing_key}")
            for message in messages
        ]

    async def consume(
        self, queue: str, routing_keys: Sequence[str], handler: Handler, *, prefetch: int, expires_ms: int | None = None
    ) -> "MemoryConsumer":
        """See the port."""
        declared = self._broker.declare(queue, routing_keys)
        consumer = MemoryConsumer(self._broker, declared, handler, prefetch, expires_ms, self._consumers.remove)
        self._consumers.append(consumer)
        consumer.begin()
        return consumer

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        for consumer in list(self._consumers):
            await consumer.abandon()


class MemoryDelivery:
    """A message from a queue (the port's IncomingMessage)."""

    __slots__ = ("_consumer", "_stored", "body", "headers", "redelivered", "routing_key")

    def __init__(self, stored: _Stored, consumer: "MemoryConsumer") -> None:
        self.body = stored.body
        self.routing_key = stored.routing_key
        self.headers = stored.headers
        self.redelivered = stored.redelivered
        self._stored = stored
        self._consumer = consumer

    async def ack(self) -> None:
        self._consumer.settle(self._stored)

    async def reject(self) -> None:
        self._consumer.settle(self._stored, self._consumer.bury)

    async def requeue(self) -> None:
        self._consumer.settle(self._stored, self._consumer.put_back)


class MemoryConsumer:
    """The port's Consumer."""

    def __init__(
        self,
        broker: MemoryBroker,
        queue: _Queue,
        handler: Handler,
        prefetch: int,
        expires_ms: int | None,
        forget: Callable[["MemoryConsumer"], None],
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._handler = handler
        self._prefetch = prefetch
        self._expires_ms = expires_ms
        self._forget = forget
        self._unsettled: dict[int, _Stored] = {}
        self._handling: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        return len(self._unsettled) < self._prefetch

    def begin(self) -> None:
        if self._queue.expiry is not None:
            self._queue.expiry.cancel()
        self._queue.consumers.append(self)
        self._queue.deliver()

    def take(self, message: _Stored) -> None:
        self._unsettled[id(message)] = message
        task = asyncio.create_task(self._handle(MemoryDelivery(message, self)))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    def settle(self, message: _Stored, move: Callable[[_Stored], None] | None = None) -> None:
        """Makes room for the next. Does nothing when the message is not this consumer's any more."""
        if self._unsettled.pop(id(message), None) is not None:
            if move is not None:
                move(message)
            self._queue.deliver()

    def bury(self, message: _Stored) -> None:
        self._broker.bury(message, self._queue.name)

    def put_back(self, message: _Stored) -> None:
        message.redelivered = True
        self._queue.waiting.appendleft(message)

    async def stop(self) -> None:
        """See the port."""
        self._leave()
        if self._handling:
            await asyncio.wait(self._handling)
        self._give_back()

    async def abandon(self) -> None:
        """Stop without waiting for handlers; what they had goes back to the queue."""
        self._leave()
        self._give_back()
        for task in self._handling:
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)

    def _leave(self) -> None:
        if self not in self._queue.consumers:
            return
        self._queue.consumers.remove(self)
        self._forget(self)
        if self._expires_ms is not None and not self._queue.consumers:
            loop = asyncio.get_running_loop()
            self._queue.expiry = loop.call_later(self._expires_ms / 1000, self._broker.delete, self._queue)

    def _give_back(self) -> None:
        left, self._unsettled = list(self._unsettled.values()), {}
        for message in reversed(left):
            self.put_back(message)
        self._queue.deliver()

    async def _handle(self, delivery: MemoryDelivery) -> None:
        try:
            await self._handler(delivery)
        except Exception as error:
            _log.error("message_handler_failed", queue=self._queue.name, exc_info=error)
            await delivery.reject()
