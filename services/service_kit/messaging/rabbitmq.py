"""The messaging port on RabbitMQ, by aiormq (the layer below aio-pika; see docs/adr/0004).

One connection, kept up in the background: on whatever goes wrong with it or one of its channels it is closed, opened
again after a pause, and everything is declared anew. There is one way to recover, and a restart of the broker tests it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiormq
from aiormq.abc import AbstractConnection

from service_kit.backoff import Backoff
from service_kit.logging import get_logger
from service_kit.messaging.port import (
    COMMANDS_EXCHANGE,
    DEAD_LETTER_QUEUE,
    Handler,
    OutgoingMessage,
    PublishError,
    Unconfirmed,
)
from service_kit.messaging.rabbitmq_consumer import RabbitConsumer, queue_arguments
from service_kit.messaging.rabbitmq_errors import CONNECTION_ERRORS, reason_of
from service_kit.messaging.rabbitmq_publisher import RabbitPublisher

# How soon a broker that hangs is noticed: three of these.
HEARTBEAT_SECONDS = 10
SET_UP_SECONDS = 30.0
CLOSE_SECONDS = 5.0

_log = get_logger(__name__)
# What it says in several lines and stack traces for every attempt is said here in one.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


class RabbitMessaging:
    """Connects by itself, from its construction on (in a running event loop), and again whenever it has to.

    A message without a confirm after `confirm_seconds` is Unconfirmed; a queue that does not let itself be consumed for
    `queue_seconds`, while its broker answers, is taken for dead.
    """

    def __init__(self, url: str, *, confirm_seconds: float = 5.0, queue_seconds: float = 10.0) -> None:
        self._address = _with_heartbeat(url)
        self._confirm_seconds = confirm_seconds
        self._queue_seconds = queue_seconds
        self._publisher: asyncio.Future[RabbitPublisher] = asyncio.get_running_loop().create_future()
        self._consumers: list[RabbitConsumer] = []
        self._connection: AbstractConnection | None = None
        self._broken = asyncio.Event()  # the connection is of no use any more
        self._ready = False
        self._keeper = asyncio.create_task(self._keep_connected(), name="rabbitmq connection")

    @property
    def connected(self) -> bool:
        """Whether it can publish now and all its consumers consume."""
        return self._ready

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishError | None]:
        """See the port. While the broker is away this waits for it, as long as for a confirm."""
        if not messages:
            return []
        deadline = asyncio.get_running_loop().time() + self._confirm_seconds
        try:
            async with asyncio.timeout_at(deadline):
                publisher = await self._open_publisher()
                confirms = await publisher.send(messages)
        except CONNECTION_ERRORS as error:
            return [Unconfirmed(f"not published: {reason_of(error)}")] * len(messages)
        return await publisher.outcomes(confirms, deadline)

    async def consume(
        self, queue: str, routing_keys: Sequence[str], handler: Handler, *, prefetch: int, expires_ms: int | None = None
    ) -> RabbitConsumer:
        """See the port. Returns at once while the broker is away: the consumer begins when it is back."""
        consumer = RabbitConsumer(
            queue, routing_keys, handler, prefetch, expires_ms, queue_seconds=self._queue_seconds, forget=self._forget
        )
        self._consumers.append(consumer)
        if self._ready and self._connection is not None:
            broken = self._broken
            try:
                async with asyncio.timeout(SET_UP_SECONDS):
                    await consumer.open(self._connection, broken.set)
            except CONNECTION_ERRORS as error:
                _log.warning("rabbitmq_consumer_refused", queue=queue, reason=reason_of(error))
                broken.set()  # all is set up again, this consumer too
        return consumer

    async def close(self) -> None:
        """Ends at once: what was delivered and not acknowledged goes back to its queue."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        for consumer in list(self._consumers):
            await consumer.abandon()
        if not self._publisher.done():
            self._publisher.set_exception(ConnectionError("closed"))
            self._publisher.exception()  # somebody looked: no complaint when nobody publishes any more

    async def _open_publisher(self) -> RabbitPublisher:
        while True:
            publisher = await asyncio.shield(self._publisher)
            if not publisher.closed:
                return publisher
            await asyncio.sleep(0)  # the keeper is about to notice, and to put another in its place

    def _forget(self, consumer: RabbitConsumer) -> None:
        self._consumers.remove(consumer)

    async def _keep_connected(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._serve_one_connection(backoff)
                reason = "the connection was lost"
            except asyncio.CancelledError:
                if _asked_to_stop():
                    raise
                reason = "the connection was closed"  # which cancels what the library was doing for us
            except Exception as error:  # whatever it was, the next attempt may do
                reason = reason_of(error)
            pause = backoff.pause()
            _log.warning("rabbitmq_away", reason=reason, retry_in_seconds=round(pause, 2))
            await asyncio.sleep(pause)

    async def _serve_one_connection(self, backoff: Backoff) -> None:
        self._broken = broken = asyncio.Event()
        connection = aiormq.Connection(self._address)
        try:
            async with asyncio.timeout(SET_UP_SECONDS):
                await self._connect(connection)
                connection.closing.add_done_callback(lambda _: broken.set())
                await self._set_up(connection)
            _log.info("rabbitmq_connected")
            backoff.reset()
            await broken.wait()
        finally:
            self._tear_down()
            with suppress(TimeoutError):  # a broker that hangs does not answer a goodbye either
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close(ConnectionError("closed"))

    async def _connect(self, connection: aiormq.Connection) -> None:
        try:
            await connection.connect()
        except aiormq.exceptions.InvalidFrameError as error:  # a goodbye where the library expects a welcome
            raise ConnectionRefusedError(
                f"the broker refused virtual host {connection.vhost!r}: it does not exist, or not for this user"
            ) from error

    async def _set_up(self, connection: AbstractConnection) -> None:
        broken = self._broken
        channel = cast("aiormq.Channel", await connection.channel())
        channel.closing.add_done_callback(lambda _: broken.set())
        await channel.exchange_declare(COMMANDS_EXCHANGE, exchange_type="direct", durable=True)
        arguments = queue_arguments(DEAD_LETTER_QUEUE, None)
        await channel.queue_declare(DEAD_LETTER_QUEUE, durable=True, arguments=arguments)
        while waiting := [consumer for consumer in self._consumers if not consumer.opened_on(connection)]:
            await waiting[0].open(connection, broken.set)
        self._connection = connection
        self._ready = True
        self._publisher.set_result(RabbitPublisher(channel))

    def _tear_down(self) -> None:
        self._ready = False
        self._connection = None
        if self._publisher.done():
            self._publisher = asyncio.get_running_loop().create_future()


def _with_heartbeat(url: str) -> str:
    parts = urlsplit(url)
    options = {"heartbeat": str(HEARTBEAT_SECONDS), **dict(parse_qsl(parts.query))}
    return parts._replace(query=urlencode(options)).geturl()


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
