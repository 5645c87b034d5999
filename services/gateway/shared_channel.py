"""One subscription of a live channel that is there while somebody here watches, shared by all who do."""

import asyncio
from typing import Generic, Protocol, TypeVar

from service_kit.live_events.port import LiveEvents, Subscription
from service_kit.logging import get_logger

Watcher = TypeVar("Watcher")

log = get_logger(__name__)


class ChannelOwner(Protocol[Watcher]):
    """Whom a channel tells."""

    def on_message(self, channel: "SharedChannel[Watcher]", payload: bytes) -> None: ...

    def on_missed(self, channel: "SharedChannel[Watcher]") -> None:
        """Messages may have been missed: after the confirmation and after every gap."""

    def on_idle(self, channel: "SharedChannel[Watcher]") -> None:
        """Nobody watches and the subscription is closed: the channel may be forgotten."""


class SharedChannel(Generic[Watcher]):
    """Subscribes with the first watcher and unsubscribes with the last, whatever comes in between."""

    __slots__ = ("_live_events", "_owner", "_subscription", "_work", "name", "watchers")

    def __init__(self, live_events: LiveEvents, name: str, owner: ChannelOwner[Watcher]) -> None:
        self.name = name
        self.watchers: dict[Watcher, None] = {}
        self._live_events = live_events
        self._owner = owner
        self._subscription: Subscription | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def confirmed(self) -> bool:
        return self._subscription is not None

    def add(self, watcher: Watcher) -> None:
        self.watchers[watcher] = None
        self.settle()

    def discard(self, watcher: Watcher) -> None:
        self.watchers.pop(watcher, None)
        self.settle()

    def settle(self) -> None:
        """Makes the subscription agree with the watchers; to be called again after a failure."""
        if self._work is None and bool(self.watchers) != self.confirmed:
            self._work = asyncio.create_task(self._settle())

    async def close(self) -> None:
        """Whoever watches still is not told any more."""
        self.watchers.clear()
        self.settle()
        work = self._work
        if work is not None:
            if not self.confirmed:  # the back end may be away, then this subscription would not come soon
                work.cancel()
            await asyncio.wait([work])

    async def _settle(self) -> None:
        try:
            while bool(self.watchers) != self.confirmed:
                await (self._subscribe() if self.watchers else self._unsubscribe())
        except Exception as error:  # one hint less: the recorded state serves, and the owner's clock settles again
            log.warning("live_channel_failed", channel=self.name, error=repr(error))
        finally:
            self._work = None
            if not self.watchers:
                self._owner.on_idle(self)

    async def _subscribe(self) -> None:
        self._subscription = await self._live_events.subscribe(self.name, self._on_message, self._on_missed)
        self._on_missed()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    def _on_message(self, payload: bytes) -> None:
        self._owner.on_message(self, payload)

    def _on_missed(self) -> None:
        self._owner.on_missed(self)
