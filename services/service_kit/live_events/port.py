"""The live-events port: a hint to whoever watches now. Nothing is stored; what must not be lost is in the database.

Adapters: redis.RedisLiveEvents(url) and memory.InMemoryLiveEvents(), which is shared by all parts of a process.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

OnMessage = Callable[[bytes], None]
OnGap = Callable[[], None]


class Subscription(Protocol):
    async def close(self) -> None: ...


class LiveEvents(Protocol):
    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Send (channel, payload) pairs, in order, as one batch. Raises ConnectionError when the back end is away.

        Batches go in the order of the calls. A connection that breaks meanwhile may lose some or deliver some twice.
        """

    async def subscribe(self, channel: str, on_message: OnMessage, on_gap: OnGap) -> Subscription:
        """Returns once the subscription is confirmed: what is published after that is delivered, in order.

        `on_message` is called in the event loop and must return at once (put it in a queue of your own); one that
        raises harms no other subscriber. `on_gap` is called when messages may have been missed (the connection was
        lost and is back, or the back end cut off a slow reader): read the recorded state again. Subscribing while the
        back end is away does not fail: it is confirmed as soon as it is back (`on_gap` is called then).
        Concurrent calls share round trips. Raises ConnectionError when this is closed meanwhile.
        """

    @property
    def connected(self) -> bool:
        """As far as is known. False while connecting, and for a moment after a publish that failed."""

    async def close(self) -> None: ...
