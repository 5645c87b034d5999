"""What the live-events suites share."""

from service_kit.live_events.port import LiveEvents, Subscription


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.gaps = 0
        self._subscription: Subscription | None = None

    async def subscribe(self, live_events: LiveEvents, channel: str) -> None:
        self._subscription = await live_events.subscribe(channel, self.seen.append, self._on_gap)

    async def close(self) -> None:
        assert self._subscription is not None
        await self._subscription.close()

    def _on_gap(self) -> None:
        self.gaps += 1
