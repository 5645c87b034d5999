"""Live events over Redis pub/sub: one connection that listens for the whole process, and pipelined publishes."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from redis.asyncio import Connection, Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from service_kit.backoff import Backoff
from service_kit.batcher import Batcher
from service_kit.live_events.port import OnGap, OnMessage
from service_kit.live_events.subscribers import Subscriber, Subscribers
from service_kit.logging import get_logger

_log = get_logger(__name__)

_CONNECT_SECONDS = 2.0
_PUBLISH_SECONDS = 2.0
_SILENCE_SECONDS = 5.0
# After a failed publish nobody tries again for so long: what is away must not slow down who announces.
_AWAY_SECONDS = 0.5
_AWAY = (RedisError, OSError, TimeoutError)


class RedisLiveEvents:
    """See the port. Connects when it is first used, and again, with backoff, whenever the connection breaks."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_PUBLISH_SECONDS,
            health_check_interval=0,
            retry_on_error=[],
            socket_keepalive=True,
            # RESP2: what is published comes as a plain reply.
            protocol=2,
        )
        self._listener = _Listener(self._client)
        self._away_until = 0.0

    @property
    def connected(self) -> bool:
        return time.monotonic() >= self._away_until and not self._listener.broken

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """See the port."""
        pipeline = self._client.pipeline(transaction=False)
        for channel, payload in events:
            pipeline.publish(channel, payload)
        try:
            await pipeline.execute()
        except _AWAY as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise ConnectionError(f"Redis is away: {error}") from error

    async def subscribe(self, channel: str, on_message: OnMessage, on_gap: OnGap) -> "RedisSubscription":
        """See the port."""
        subscriber = Subscriber(channel, on_message, on_gap)
        await self._listener.add(subscriber)
        return RedisSubscription(self._listener, subscriber)

    async def close(self) -> None:
        """See the port."""
        await self._listener.close()
        await self._client.aclose()


class RedisSubscription:
    def __init__(self, listener: "_Listener", subscriber: Subscriber) -> None:
        self._listener = listener
        self._subscriber = subscriber

    async def close(self) -> None:
        """The channel is left when nobody of this process listens to it any more."""
        await self._listener.remove(self._subscriber)


class _Listener:
    """The one connection that listens. What it is subscribed to follows `subscribers`, many changes at a time."""

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._subscribers = Subscribers()
        self._changes: Batcher[str, None] = Batcher(self._send_changes)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._subscribed: set[str] = set()
        # SUBSCRIBEs that are sent and not confirmed yet, and who waits for them.
        self._unconfirmed: Counter[str] = Counter()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @property
    def broken(self) -> bool:
        return self._task is not None and self._connection is None

    async def add(self, subscriber: Subscriber) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="redis live events")
        channel = subscriber.channel
        self._subscribers.add(subscriber)
        try:
            if channel in self._subscribed and not self._unconfirmed[channel]:
                return
            waiting = self._waiting.get(channel)
            if waiting is None:
                waiting = self._waiting[channel] = asyncio.get_running_loop().create_future()
            await self._changes.submit(channel)
            await asyncio.shield(waiting)
        except BaseException:
            # The caller has given up: nobody will close this subscription.
            await asyncio.shield(self.remove(subscriber))
            raise

    async def remove(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)
        if subscriber.channel not in self._subscribers:
            await self._changes.submit(subscriber.channel)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._waiting.values():
            waiting.cancel()

    async def _run(self) -> None:
        backoff, first = Backoff(), True
        while True:
            connection: Connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._resubscribe(connection)
                if not first:
                    self._subscribers.tell_gap()
                backoff.reset()
                await self._listen(connection)
            except _AWAY as error:
                pause = backoff.pause()
                _log.warning("redis_away", reason=str(error), retry_seconds=round(pause, 2))
                first = False
            finally:
                self._connection = None
                await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)

    async def _listen(self, connection: Connection) -> None:
        """Until the connection breaks; one that is silent is asked whether it still lives."""
        asked = False
        while True:
            try:
                reply = await connection.read_response(timeout=_SILENCE_SECONDS, disconnect_on_error=False)
            except (RedisTimeout, TimeoutError):
                if asked:
                    raise
                await connection.send_command("PING")
                asked = True
            else:
                asked = False
                self._take(reply)

    async def _resubscribe(self, connection: Connection) -> None:
        self._unconfirmed.clear()
        channels = self._subscribers.channels
        self._subscribed = set(channels)
        self._connection = connection
        await self._send(connection, "SUBSCRIBE", channels)

    async def _send_changes(self, channels: Sequence[str]) -> list[None]:
        connection = self._connection
        if connection is not None:
            wanted = {channel for channel in channels if channel in self._subscribers}
            leave = [channel for channel in set(channels) - wanted if channel in self._subscribed]
            join = [channel for channel in wanted if channel not in self._subscribed]
            self._subscribed.difference_update(leave)
            self._subscribed.update(join)
            try:
                await self._send(connection, "UNSUBSCRIBE", leave)
                await self._send(connection, "SUBSCRIBE", join)
            except _AWAY:
                # The reader notices as well, and subscribes to everything anew.
                pass
        return [None] * len(channels)

    async def _send(self, connection: Connection, command: str, channels: Sequence[str]) -> None:
        if channels:
            if command == "SUBSCRIBE":
                self._unconfirmed.update(channels)
            await connection.send_command(command, *channels)

    def _take(self, reply: list[bytes]) -> None:
        kind, channel = reply[0], reply[1].decode()
        if kind == b"message":
            self._subscribers.deliver(channel, reply[2])
        elif kind == b"subscribe":
            self._unconfirmed[channel] -= 1
            if self._unconfirmed[channel] <= 0:
                del self._unconfirmed[channel]
                waiting = self._waiting.pop(channel, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
