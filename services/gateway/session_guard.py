"""Is a login session still live? Asked by every request and every open WebSocket, answered from a short cache."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from service_kit.batcher import Batcher
from service_kit.errors import ServiceError
from service_kit.live_events.port import LiveEvents, Subscription
from service_kit.logging import get_logger

CHANNEL = "login_sessions"
# A session that was ended elsewhere is noticed after this long at the latest; with Redis, at once.
CACHE_SECONDS = 20.0
WATCH_SECONDS = 15.0

FindLive = Callable[[Collection[str]], Awaitable[Collection[str]]]
OnEnd = Callable[[], None]

log = get_logger(__name__)


class SessionGuard:
    """`find_live` is given session ids and returns those that are live: not ended, not expired, the user active."""

    def __init__(
        self, find_live: FindLive, live_events: LiveEvents, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find_live = find_live
        self._live_events = live_events
        self._clock = clock
        self._live_until: dict[str, float] = {}
        self._watchers: dict[str, set[OnEnd]] = {}
        # Since the last check began: its answer may be older than that.
        self._ended: set[str] = set()
        self._checks: Batcher[str, bool] = Batcher(self._check_batch)
        self._subscription: Subscription | None = None

    def is_known_live(self, sid: str) -> bool:
        """Without asking anybody; False also means "not known"."""
        return self._live_until.get(sid, 0.0) > self._clock()

    async def is_live(self, sid: str) -> bool:
        return self.is_known_live(sid) or await self._checks.submit(sid)

    def watch(self, sid: str, on_end: OnEnd) -> Callable[[], None]:
        """Calls `on_end` once when the session is found ended; returns what stops watching. For open WebSockets."""
        self._watchers.setdefault(sid, set()).add(on_end)
        return lambda: self._unwatch(sid, on_end)

    def is_watched(self, sid: str) -> bool:
        """Whether the session has a WebSocket open here."""
        return sid in self._watchers

    async def announce_end(self, sids: Sequence[str]) -> None:
        """After a session was ended in the database: here at once, elsewhere by a hint that may get lost."""
        for sid in sids:
            self._end(sid)
        with contextlib.suppress(ConnectionError):
            await self._live_events.publish([(CHANNEL, sid.encode()) for sid in sids])

    async def subscribe(self) -> None:
        self._subscription = await self._live_events.subscribe(CHANNEL, self._on_hint, self._forget)

    async def run(self) -> None:
        """Re-checks the sessions of open WebSockets for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.check_watched()
            except ServiceError as error:
                log.warning("login_sessions_not_checked", error=error.message)

    async def check_watched(self) -> None:
        """One batch for all open WebSockets; forgets what nobody asks about any more."""
        now = self._clock()
        self._live_until = {sid: until for sid, until in self._live_until.items() if until > now}
        await asyncio.gather(*(self._checks.submit(sid) for sid in list(self._watchers)))

    async def close(self) -> None:
        if self._subscription is not None:
            await self._subscription.close()

    async def _check_batch(self, sids: list[str]) -> list[bool]:
        # The clock is read before asking: the answer is as old as the question.
        until = self._clock() + CACHE_SECONDS
        self._ended.clear()
        live = set(await self._find_live(set(sids))) - self._ended
        for sid in sids:
            if sid in live:
                self._live_until[sid] = until
            else:
                self._end(sid)
        return [sid in live for sid in sids]

    def _on_hint(self, payload: bytes) -> None:
        self._end(payload.decode())

    def _forget(self) -> None:
        self._live_until.clear()

    def _end(self, sid: str) -> None:
        self._ended.add(sid)
        self._live_until.pop(sid, None)
        for on_end in self._watchers.pop(sid, set()):
            on_end()

    def _unwatch(self, sid: str, on_end: OnEnd) -> None:
        watchers = self._watchers.get(sid)
        if watchers is not None:
            watchers.discard(on_end)
            if not watchers:
                del self._watchers[sid]
