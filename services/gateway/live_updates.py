"""The viewers of this process: what happens to a command goes to every socket that watches it.

Live events (Redis) are a hint that makes viewers fast; the recorded state (the command service) makes them right. A
viewer subscribes, awaits the confirmation and replays; from then on it is fed by live events, re-read at once when
one is missing, and all open viewers are re-read together every few seconds and whenever live events may have been
lost. A socket that is slow is not buffered for: its viewers are re-read when it has drained. Who sends a command while
a socket is open will watch it: it is subscribed to before it exists, and its viewer need not replay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from google.protobuf.message import DecodeError

from gateway.expected_command import ExpectedCommand
from gateway.outlet import Outlet
from gateway.shared_channel import SharedChannel
from gateway.vehicle_feed import VehicleFeed
from gateway.viewer import Event, View, events_from
from service_kit.batcher import Batcher
from service_kit.errors import ServiceError
from service_kit.live_events.port import LiveEvents
from service_kit.logging import get_logger
from sovd_protos.command.v1.command_pb2 import CommandUpdates, KnownState
from sovd_protos.live.v1.live_pb2 import CommandEvents

# So many viewers are re-read in one call.
MAX_READ = 500
# Commands that were sent and that nobody watches yet.
MAX_EXPECTED = 1000
# Of sockets that are asked to close when the service stops.
CLOSE_SECONDS = 2.0

# Answers in the order asked.
ReadUpdates = Callable[[list[KnownState]], Awaitable[Sequence[CommandUpdates]]]

log = get_logger(__name__)


class Viewer(View):
    """One socket's view of one command."""

    __slots__ = ("channel", "command_id", "late", "missed", "on_end", "outlet", "reading")

    def __init__(self, command_id: str, after: int, outlet: Outlet, on_end: Callable[[bool], None]) -> None:
        super().__init__(after)
        self.command_id = command_id
        self.outlet = outlet
        # Called once: after the last event was put (True), or because there is no such command (False).
        self.on_end = on_end
        self.channel: CommandChannel | None = None
        self.reading = False
        # While it is being read: something was dropped, and the answer may be too old to have it …
        self.missed = False
        # … or something came that must wait for what the answer, with luck, has.
        self.late = False


CommandChannel = SharedChannel[Viewer | ExpectedCommand]


class LiveUpdates:
    """Feeds viewers; `run` is its clock and has to run in the background."""

    def __init__(self, live_events: LiveEvents, read_updates: ReadUpdates, *, reread_seconds: float = 2.0) -> None:
        self.vehicles = VehicleFeed(live_events)
        self._live_events = live_events
        self._read_updates = read_updates
        self._reread_seconds = reread_seconds
        self._channels: dict[str, CommandChannel] = {}
        self._expected: dict[str, ExpectedCommand] = {}
        self._outlets: set[Outlet] = set()
        self._all_detached = asyncio.Event()
        # Who is catching up just now does not wait behind the clock's round of all viewers.
        self._reads: Batcher[KnownState, CommandUpdates] = Batcher(self._read_batch, max_items=MAX_READ)
        self._rereads: Batcher[KnownState, CommandUpdates] = Batcher(self._read_batch, max_items=MAX_READ)

    def open(self, command_id: str, after: int, outlet: Outlet, on_end: Callable[[bool], None]) -> Viewer:
        """From now on the outlet gets the command's events after response number `after`."""
        viewer = Viewer(command_id, after, outlet, on_end)
        viewer.channel = channel = self._channel(command_id)
        channel.add(viewer)
        expected = self._expected.get(command_id)
        self.forget(command_id)
        if expected is not None and expected.whole:
            # Not before the caller has its viewer: the end may be among the events.
            asyncio.get_running_loop().call_soon(self._on_expected, viewer, expected.events)
        # Otherwise the confirmation starts the replay, or the clock if that comes first.
        elif channel.confirmed or not self._live_events.connected:
            self._read(viewer)
        return viewer

    def expect(self, command_id: str) -> None:
        """The command is about to be sent, by somebody who will watch it here."""
        if self._live_events.connected and len(self._expected) < MAX_EXPECTED:
            expected = self._expected[command_id] = ExpectedCommand(command_id)
            self._channel(command_id).add(expected)

    def forget(self, command_id: str) -> None:
        """It was not sent, or is watched now, or nobody came."""
        expected = self._expected.pop(command_id, None)
        channel = self._channels.get(_channel_name(command_id))
        if expected is not None and channel is not None:
            channel.discard(expected)

    def close(self, viewer: Viewer) -> None:
        """The outlet gets no more of this command."""
        channel, viewer.channel = viewer.channel, None
        if channel is not None:
            channel.discard(viewer)

    def attach(self, outlet: Outlet) -> None:
        """A socket that `stop` has to close."""
        self._outlets.add(outlet)

    def detach(self, outlet: Outlet) -> None:
        self._outlets.discard(outlet)
        if not self._outlets:
            self._all_detached.set()

    async def run(self) -> None:
        """Re-reads all open viewers for ever."""
        while True:
            await asyncio.sleep(self._reread_seconds)
            await self.reread_all()

    async def reread_all(self) -> None:
        """One call for up to MAX_READ viewers."""
        self.vehicles.round_over()
        for command_id in [each.command_id for each in self._expected.values() if each.round_over()]:
            self.forget(command_id)
        for channel in list(self._channels.values()):
            channel.settle()
            for viewer in _viewers(channel):
                self._read(viewer, self._rereads)
        await self._rereads.drain()

    async def stop(self) -> None:
        """Closes every socket ("service restart": come back, elsewhere perhaps), then the subscriptions."""
        self._all_detached.clear()
        for outlet in self._outlets:
            outlet.drop()
            outlet.close(1012, "the service restarts")
        if self._outlets:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_detached.wait(), CLOSE_SECONDS)
        await self.vehicles.stop()
        for channel in list(self._channels.values()):
            await channel.close()
        await self._reads.drain()
        await self._rereads.drain()

    def on_message(self, channel: CommandChannel, payload: bytes) -> None:
        try:
            message = CommandEvents.FromString(payload)
        except DecodeError:
            log.warning("live_message_not_readable", channel=channel.name, bytes=len(payload))
            return
        events = events_from(message.events, message.traceparent)
        for watcher in list(channel.watchers):
            if isinstance(watcher, Viewer):
                self._on_live(watcher, events)
            else:
                watcher.keep(events)

    def on_missed(self, channel: CommandChannel) -> None:
        for watcher in list(channel.watchers):
            if isinstance(watcher, Viewer):
                self._read_again(watcher)
            else:
                watcher.missed()

    def on_idle(self, channel: CommandChannel) -> None:
        self._channels.pop(channel.name, None)

    def _channel(self, command_id: str) -> CommandChannel:
        name = _channel_name(command_id)
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = SharedChannel(self._live_events, name, self)
        return channel

    def _on_expected(self, viewer: Viewer, events: Iterable[Event]) -> None:
        if viewer.channel is not None:
            self._on_live(viewer, events)

    def _on_live(self, viewer: Viewer, events: Iterable[Event]) -> None:
        if viewer.outlet.full:
            self._read_again(viewer)
            return
        self._deliver(viewer, events)
        if viewer.has_gap:
            viewer.late = True
            self._read(viewer)

    def _deliver(self, viewer: Viewer, events: Iterable[Event]) -> bool:
        """Whether anything was new."""
        ready = viewer.accept(events)
        for event in ready:
            viewer.outlet.put(event.json, event.traceparent, viewer.command_id)
        if viewer.complete:
            self._end(viewer, found=True)
        return bool(ready)

    def _end(self, viewer: Viewer, *, found: bool) -> None:
        if viewer.channel is not None:
            self.close(viewer)
            viewer.on_end(found)

    def _read_again(self, viewer: Viewer) -> None:
        viewer.missed = True
        self._read(viewer)

    def _read(self, viewer: Viewer, reads: "Batcher[KnownState, CommandUpdates] | None" = None) -> None:
        if self._may_read(viewer):
            known = KnownState(command_id=viewer.command_id, after=viewer.sequence, revision=viewer.revision)
            (reads or self._reads).enqueue(known).add_done_callback(partial(self._on_read, viewer))

    async def _read_batch(self, known: list[KnownState]) -> Sequence[CommandUpdates]:
        try:
            return await self._read_updates(known)
        except ServiceError as error:
            log.warning("viewers_not_read", viewers=len(known), code=error.code)
            raise

    def _may_read(self, viewer: Viewer) -> bool:
        """Says yes once: who asks has to read."""
        if viewer.reading or viewer.channel is None:
            return False
        if viewer.outlet.full:
            viewer.outlet.when_room(viewer, partial(self._read, viewer))
            return False
        viewer.reading = True
        viewer.missed = viewer.late = False
        return True

    def _on_read(self, viewer: Viewer, answer: "asyncio.Future[CommandUpdates]") -> None:
        viewer.reading = False
        error = None if answer.cancelled() else answer.exception()
        if error is not None and not isinstance(error, ServiceError):
            log.error("viewer_not_read", command_id=viewer.command_id, exc_info=error)
        # What could not be read is asked for again by the clock.
        if viewer.channel is not None and error is None and not answer.cancelled():
            self._apply(viewer, answer.result())

    def _apply(self, viewer: Viewer, updates: CommandUpdates) -> None:
        if updates.unknown:
            self._end(viewer, found=False)
        elif viewer.outlet.full:
            self._read(viewer)
        else:
            news = self._deliver(viewer, events_from(updates.events, updates.traceparent))
            # A gap that a read does not fill is left to the clock, or this would go round for ever.
            if updates.has_more or viewer.missed or (viewer.has_gap and (news or viewer.late)):
                self._read(viewer)


def _channel_name(command_id: str) -> str:
    return f"command.{command_id}"


def _viewers(channel: CommandChannel) -> list[Viewer]:
    return [watcher for watcher in channel.watchers if isinstance(watcher, Viewer)]
