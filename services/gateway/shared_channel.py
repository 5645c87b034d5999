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

    __slots__ = ("_live_events", "_owner", "_subscribing", "_subscription", "_work", "name", "watchers")

    def __init__(self, live_events: LiveEvents, name: str, owner: ChannelOwner[Watcher]) -> None:
        self.name = name
        self.watchers: dict[Watcher, None] = {}
        self._live_events = live_events
        self._owner = owner
        self._subscription: Subscription | None = None
        self._subscribing = False
        self._work: asyncio.Task[None] | None = None

    @property
    def confirmed(self) -> bool:
        return self._subscription is not None

    def add(self, watcher: Watcher) -> None:
        self.watchers[watcher] = None
        self.settle()

    def discard(self, watcher: Watcher) -> None:
        self.watchers.pop(watcher, None)
        self._give_up_if_deserted()
        self.settle()

    def settle(self) -> None:
        """Makes the subscription agree with the watchers; to be called again after a failure."""
        if self._work is None and bool(self.watchers) != self.confirmed:
            self._work = asyncio.create_task(self._settle())
            self._work.add_done_callback(self._settled)

    async def close(self) -> None:
        """Whoever watches still is not told any more."""
        self.watchers.clear()
        self._give_up_if_deserted()
        self.settle()
        if self._work is not None:
            await asyncio.wait([self._work])

    def _give_up_if_deserted(self) -> None:
        # While the back end is away, a confirmation may be long in coming.
        if self._subscribing and not self.watchers and self._work is not None:
            self._work.cancel()

    async def _settle(self) -> None:
        while bool(self.watchers) != self.confirmed:
            await (self._subscribe() if self.watchers else self._unsubscribe())

    def _settled(self, work: "asyncio.Task[None]") -> None:
        self._work = None
        error = None if work.cancelled() else work.exception()
        if error is None:
            self.settle()  # somebody may have come or gone meanwhile
        else:  # one hint less: the recorded state serves, and the owner's clock settles again
            log.warning("live_channel_failed", channel=self.name, error=repr(error))
        if self._work is None and not self.watchers:
            self._owner.on_idle(self)

    async def _subscribe(self) -> None:
        self._subscribing = True
        try:
            self._subscription = await self._live_events.subscribe(self.name, self._on_message, self._on_missed)
        finally:
            self._subscribing = False
        self._on_missed()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    def _on_message(self, payload: bytes) -> None:
        self._owner.on_message(self, payload)

    def _on_missed(self) -> None:
        self._owner.on_missed(self)
