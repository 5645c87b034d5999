"""The sessions of this connector: newest wins, silent ones end, and all move elsewhere when the connector stops."""

import asyncio
import random
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from service_kit.logging import get_logger
from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector import metrics
from vehicle_connector.executor import Executor
from vehicle_links.vehicle_link import AttemptKey, VehicleLink

_log = get_logger(__name__)

# "Seen" is told to the command service at most this often for each vehicle.
_SEEN_SECONDS = 10.0


class ClosedSessions(Protocol):
    def session_closed(self, vehicle_id: str, session_epoch: int, reason: str) -> None: ...


class OpenLink(VehicleLink, Protocol):
    """A link while its vehicle is there: dialled in, or dialled."""

    ended: bool
    reported_at: float

    @property
    def heard_at(self) -> float:
        """On the monotonic clock: when the vehicle last showed that it is there."""

    def close(self) -> None:
        """Writes nothing more; what waits was not written."""

    def stop(self) -> None:
        """Ends the connection."""

    def move(self, reason: str, reconnect_after_ms: int) -> None:
        """The vehicle is to be served by another connector, after that time."""


class Sessions:
    """By vehicle; one shared check of the heartbeats instead of a timer each."""

    def __init__(self, executor: Executor, closed: ClosedSessions, *, heartbeat_timeout_seconds: float) -> None:
        self._executor = executor
        self._closed = closed
        self._heartbeat_timeout = heartbeat_timeout_seconds
        self._links: dict[str, OpenLink] = {}
        self._all_gone = asyncio.Event()
        self.draining = False

    def __len__(self) -> int:
        return len(self._links)

    def open(
        self, link: OpenLink, held: Collection[AttemptKey], take_ups: Iterable[wire.TakeUp]
    ) -> list[tuple[wire.TakeUp, int]] | None:
        """None: the vehicle has a newer session already. Else what becomes of each command that it holds."""
        older = self._links.get(link.vehicle_id)
        if older is not None:
            if older.session_epoch >= link.session_epoch:
                return None
            self.end(older, "superseded")
        self._links[link.vehicle_id] = link
        metrics.SESSIONS_OPENED.inc()
        return self._executor.link_opened(link, held, take_ups)

    def end(self, link: OpenLink, reason: str) -> None:
        """Once; what is said again later does not count."""
        if link.ended:
            return
        link.close()
        if self._links.get(link.vehicle_id) is link:
            del self._links[link.vehicle_id]
        self._executor.on_link_lost(link)
        self._closed.session_closed(link.vehicle_id, link.session_epoch, reason)
        metrics.SESSIONS_ENDED.labels(reason).inc()
        link.stop()
        if not self._links:
            self._all_gone.set()

    def supersede(self, vehicle_id: str, session_epoch: int) -> None:
        """The command service knows of a newer session, elsewhere."""
        link = self._links.get(vehicle_id)
        if link is not None and link.session_epoch <= session_epoch:
            self.end(link, "superseded")

    def take_seen(self) -> Iterator[wire.SessionSeen]:
        """Those heard of since they were last reported."""
        now = time.monotonic()
        for link in self._links.values():
            if link.heard_at > link.reported_at and now - link.reported_at >= _SEEN_SECONDS:
                link.reported_at = now
                yield wire.SessionSeen(vehicle_id=link.vehicle_id, session_epoch=link.session_epoch)

    async def watch_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_timeout / 10)
            self._end_silent(time.monotonic() - self._heartbeat_timeout)

    def _end_silent(self, heard_before: float) -> None:
        silent = [link for link in self._links.values() if link.heard_at < heard_before]
        for link in silent:
            self.end(link, "heartbeat_lost")
        if silent:
            _log.info("sessions_lost", reason="no heartbeat", sessions=len(silent))

    async def move_away(self, spread_seconds: float) -> None:
        """Tell all vehicles to go elsewhere, spread over some time, and end the sessions of those that are still here
        after twice that time."""
        self.draining = True
        for link in self._links.values():
            link.move("draining", int(random.uniform(0, spread_seconds) * 1000))  # noqa: S311  jitter
        if self._links:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(2 * spread_seconds):
                    await self._all_gone.wait()
            except TimeoutError:
                pass
        for link in list(self._links.values()):
            self.end(link, "draining")
