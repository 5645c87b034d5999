"""The messaging port: work queues with confirms, bounded prefetch and a dead-letter queue.

Adapters: rabbitmq.RabbitMessaging(url) and memory.MemoryMessaging(broker), which share a MemoryBroker within a process.
Both are made inside a running event loop and need no start: an adapter whose broker is away connects when it is back.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

COMMANDS_EXCHANGE = "sovd.commands"
DEAD_LETTER_QUEUE = "sovd.dead"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to COMMANDS_EXCHANGE. Published persistent and mandatory.

    `message_id` is unique among the messages that wait for their confirms: by it the broker says what it returned.
    """

    routing_key: str
    body: bytes
    message_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


class PublishError(Exception):
    """The broker did not take the message over, or nobody can say that it did."""


class Unroutable(PublishError):
    """No queue is bound to the routing key: nobody will ever see the message."""


class Unconfirmed(PublishError):
    """No confirm in time, or the connection broke: the message may or may not have been taken."""


class IncomingMessage(Protocol):
    """A delivery. Exactly one of ack, reject or requeue is called, once; after a lost connection they do nothing."""

    @property
    def body(self) -> bytes: ...

    @property
    def routing_key(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def redelivered(self) -> bool: ...

    async def ack(self) -> None: ...

    async def reject(self) -> None:
        """To the dead-letter queue."""

    async def requeue(self) -> None:
        """To be delivered again; where in the queue is up to the broker."""


Handler = Callable[[IncomingMessage], Awaitable[None]]


class Consumer(Protocol):
    """A running consumer. A handler that raises has its message rejected (dead letter); the consumer lives on."""

    async def stop(self) -> None:
        """No more deliveries; the queue stays. Handlers that run are awaited; unhandled deliveries go back."""


class Messaging(Protocol):
    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishError | None]:
        """Publish all, then await their confirms together, at most the adapter's confirm timeout (s).

        Returns, in order, None for a confirmed message, else Unroutable or Unconfirmed. Never raises for a broker
        that is away: its messages are Unconfirmed.
        """

    async def consume(
        self, queue: str, routing_keys: Sequence[str], handler: Handler, *, prefetch: int, expires_ms: int | None = None
    ) -> Consumer:
        """Declare `queue` (durable quorum queue, dead letters to DEAD_LETTER_QUEUE, removed after `expires_ms`
        unused), bind it and deliver at most `prefetch` unacknowledged messages at a time, each to `handler` in a task
        of its own, started in queue order. Survives broker restarts by itself: reconnects, redeclares, goes on.
        Returns once it consumes; at once while the broker is away, and then begins when it is back.
        """

    @property
    def connected(self) -> bool:
        """Whether it can publish now and all its consumers consume."""

    async def close(self) -> None:
        """Ends at once: running handlers are cancelled, unacknowledged messages go back. Stop consumers before."""
