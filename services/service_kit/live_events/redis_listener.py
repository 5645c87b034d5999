"""The one connection of a process that listens to Redis channels."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import RedisError

from service_kit.backoff import Backoff
from service_kit.batcher import Batcher
from service_kit.live_events.subscribers import Subscriber, Subscribers
from service_kit.logging import get_logger

# A connection that is silent for so long is asked whether it still lives, and given up after as long again.
SILENCE_SECONDS = 5.0
_MOVED_SECONDS = 0.1

_RESUBSCRIBED = b"resubscribed"
_AWAY = (RedisError, OSError, TimeoutError)

_log = get_logger(__name__)


class RedisListener:
    """What the connection is subscribed to follows `subscribers`, many changes in one round trip."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._subscribers = Subscribers()
        self._changes: Batcher[str, None] = Batcher(self._send_changes)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._subscribed: set[str] = set()  # on this connection, confirmed or not
        self._unconfirmed: Counter[str] = Counter()  # SUBSCRIBEs on their way
        self._waiting: dict[str, asyncio.Future[None]] = {}  # for the confirmation
        self._may_have_missed = False

    @property
    def broken(self) -> bool:
        return self._task is not None and self._connection is None

    async def add(self, subscriber: Subscriber) -> None:
        """Returns when its channel is confirmed."""
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
        """Leaves the channel when that was the last that listened to it."""
        self._subscribers.remove(subscriber)
        if subscriber.channel not in self._subscribers:
            await self._changes.submit(subscriber.channel)

    async def close(self) -> None:
        """Who waits for a confirmation gets a ConnectionError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("closed"))
                waiting.exception()  # seen: perhaps nobody waits any more
        self._waiting.clear()

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._serve_one_connection(backoff)
            except _AWAY as error:
                reason = str(error) or "no answer in time"
            except Exception as error:  # whatever it was, the next connection may do
                reason = repr(error)
            pause = backoff.pause()
            _log.warning("redis_away", reason=reason, retry_in_seconds=round(pause, 2))
            await asyncio.sleep(pause)

    async def _serve_one_connection(self, backoff: Backoff) -> None:
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            self._connection = connection
            await self._resubscribe(connection)
            if self._may_have_missed:
                _log.info("redis_connected")
            backoff.reset()
            await self._listen(connection)
        finally:
            self._connection = None
            self._subscribed.clear()
            self._unconfirmed.clear()
            self._may_have_missed = True
            await connection.disconnect(nowait=True)

    async def _resubscribe(self, connection: Connection) -> None:
        channels = self._subscribers.channels
        await self._join(connection, channels)
        if channels and self._may_have_missed:
            # Its answer comes after the confirmations: what is published from then on is not missed.
            await connection.send_command("PING", _RESUBSCRIBED)

    async def _listen(self, connection: Connection) -> None:
        """Until the connection breaks."""
        asked = False
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS) as silence:
                    while True:
                        self._take(await connection.read_response(timeout=math.inf, disconnect_on_error=False))
                        asked = False
                        # Moving a timer costs as much as a message: not for every one of a burst.
                        if (silence_at := clock() + SILENCE_SECONDS) > (silence.when() or 0) + _MOVED_SECONDS:
                            silence.reschedule(silence_at)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await connection.send_command("PING")

    async def _send_changes(self, channels: Sequence[str]) -> list[None]:
        connection = self._connection
        if connection is not None:
            wanted = {channel for channel in channels if channel in self._subscribers}
            leave = [channel for channel in set(channels) - wanted if channel in self._subscribed]
            try:
                if leave:
                    self._subscribed.difference_update(leave)
                    await connection.send_command("UNSUBSCRIBE", *leave)
                await self._join(connection, [channel for channel in wanted if channel not in self._subscribed])
            except _AWAY:
                pass  # the reader notices as well, and all is subscribed anew
        return [None] * len(channels)

    async def _join(self, connection: Connection, channels: Sequence[str]) -> None:
        if channels:
            self._subscribed.update(channels)
            self._unconfirmed.update(channels)
            await connection.send_command("SUBSCRIBE", *channels)

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):
            return  # the answer to a PING while there is no subscription
        kind, channel = reply[0], reply[1]
        if kind == b"message":
            self._subscribers.deliver(channel.decode(), reply[2])
        elif kind == b"subscribe":
            self._confirm(channel.decode())
        elif kind == b"pong" and channel == _RESUBSCRIBED:
            self._subscribers.tell_gap()

    def _confirm(self, channel: str) -> None:
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] <= 0:
            del self._unconfirmed[channel]
            waiting = self._waiting.pop(channel, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
