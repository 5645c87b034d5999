"""The live-events port inside one process, for the embedded mode and for unit tests."""

from collections.abc import Sequence

from service_kit.live_events.port import OnGap, OnMessage
from service_kit.live_events.subscribers import Subscriber, Subscribers


class InMemoryLiveEvents:
    """Whoever shares the object shares the channels."""

    def __init__(self) -> None:
        self._subscribers = Subscribers()
        self._closed = False

    @property
    def connected(self) -> bool:
        return not self._closed

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """See the port."""
        if self._closed:
            raise ConnectionError("closed")
        for channel, payload in events:
            self._subscribers.deliver(channel, payload)

    async def subscribe(self, channel: str, on_message: OnMessage, on_gap: OnGap) -> "_Subscription":
        """See the port."""
        subscriber = Subscriber(channel, on_message, on_gap)
        self._subscribers.add(subscriber)
        return _Subscription(self._subscribers, subscriber)

    async def close(self) -> None:
        """See the port."""
        self._closed = True


class _Subscription:
    def __init__(self, subscribers: Subscribers, subscriber: Subscriber) -> None:
        self._subscribers = subscribers
        self._subscriber = subscriber

    async def close(self) -> None:
        self._subscribers.remove(self._subscriber)
