"""Live events over Redis pub/sub: one connection that listens for the whole process, and one that publishes."""

import asyncio
import math
import time
from collections.abc import Sequence

from hiredis import pack_command
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service_kit.live_events.port import OnGap, OnMessage
from service_kit.live_events.redis_listener import RedisListener
from service_kit.live_events.subscribers import Subscriber

_CONNECT_SECONDS = 2.0
_PUBLISH_SECONDS = 2.0
# After a failed publish `connected` says no for so long: what is away must not slow down who announces.
_AWAY_SECONDS = 0.5


class RedisLiveEvents:
    """See the port. Connects when it is first used, and again, with backoff, whenever a connection breaks."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),  # it is tried again here, not in the library
            protocol=2,  # what is published comes as a plain reply
        )
        self._publisher = _Publisher(self._pool)
        self._listener = RedisListener(self._pool)

    @property
    def connected(self) -> bool:
        return not self._publisher.away and not self._listener.broken

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """See the port. When the connection breaks in the middle, some may be delivered twice."""
        await self._publisher.publish(events)

    async def subscribe(self, channel: str, on_message: OnMessage, on_gap: OnGap) -> "RedisSubscription":
        """See the port."""
        subscriber = Subscriber(channel, on_message, on_gap)
        await self._listener.add(subscriber)
        return RedisSubscription(self._listener, subscriber)

    async def close(self) -> None:
        """See the port."""
        await self._listener.close()
        await self._publisher.close()


class RedisSubscription:
    def __init__(self, listener: RedisListener, subscriber: Subscriber) -> None:
        self._listener = listener
        self._subscriber = subscriber

    async def close(self) -> None:
        """The channel is left when nobody of this process listens to it any more."""
        await self._listener.remove(self._subscriber)


class _Publisher:
    """All publishes over one connection: in order, and for a fraction of what the library's pipeline costs."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._publishing = asyncio.Lock()
        self._away_until = 0.0
        self._closed = False

    @property
    def away(self) -> bool:
        return time.monotonic() < self._away_until

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        if not events:
            return
        async with self._publishing:
            try:
                async with asyncio.timeout(_PUBLISH_SECONDS):
                    await self._publish(events)
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + _AWAY_SECONDS
                raise ConnectionError(f"Redis is away: {error or 'no answer in time'}") from error

    async def close(self) -> None:
        self._closed = True
        await self._connection.disconnect(nowait=True)

    async def _publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        if self._closed:
            raise ConnectionError("closed")
        if self._connection.is_connected:
            try:
                return await self._exchange(events)
            except (RedisError, OSError):
                pass  # a connection that lay idle while Redis was restarted: a new one may do
        await self._connection.connect()  # type: ignore[no-untyped-call]
        return await self._exchange(events)

    async def _exchange(self, events: Sequence[tuple[str, bytes]]) -> None:
        connection = self._connection
        # The stubs know commands of one word only.
        commands = b"".join([pack_command(("PUBLISH", channel, payload)) for channel, payload in events])  # type: ignore[arg-type]
        try:
            await connection.send_packed_command(commands, check_health=False)
            for _ in events:
                await connection.read_response(timeout=math.inf)
        except BaseException:
            # Answers that nobody read would be taken for those of the next publish.
            await connection.disconnect(nowait=True)
            raise
