"""Connection changes of vehicles, for every socket that asked for them.

They are not recorded one by one: whoever may have missed one is told to read the vehicles again ("resync"), at the
start of the subscription, while the live events are away and after that, and when a slow socket has drained.
"""

from functools import partial

from google.protobuf.message import DecodeError

from gateway.outlet import Outlet
from gateway.shared_channel import SharedChannel
from service_kit.live_events.port import LiveEvents
from service_kit.logging import get_logger
from sovd_protos.live.v1.live_pb2 import VehicleEvents

RESYNC = '{"event":"resync","vehicles":true}'
# While the live events are away; rounds of the clock of LiveUpdates. Every page that is open reads the vehicles then.
RESYNC_ROUNDS = 5

log = get_logger(__name__)


class VehicleFeed:
    def __init__(self, live_events: LiveEvents) -> None:
        self._live_events = live_events
        self._channel: SharedChannel[Outlet] = SharedChannel(live_events, "vehicles", self)
        self._rounds_away = 0

    def open(self, outlet: Outlet) -> None:
        """From now on the outlet gets connection changes, after one "resync"."""
        self._channel.add(outlet)
        if self._channel.confirmed or not self._live_events.connected:
            outlet.put(RESYNC)

    def close(self, outlet: Outlet) -> None:
        self._channel.discard(outlet)

    def round_over(self) -> None:
        """Of the clock of LiveUpdates."""
        self._channel.settle()
        if self._live_events.connected:
            self._rounds_away = 0
            return
        if self._rounds_away % RESYNC_ROUNDS == 0:
            self.on_missed(self._channel)
        self._rounds_away += 1

    async def stop(self) -> None:
        await self._channel.close()

    def on_message(self, channel: SharedChannel[Outlet], payload: bytes) -> None:
        try:
            changes = list(VehicleEvents.FromString(payload).json)
        except DecodeError:
            log.warning("live_message_not_readable", channel=channel.name, bytes=len(payload))
            return
        for outlet in channel.watchers:
            if outlet.full:
                self._resync(outlet)
            else:
                for change in changes:
                    outlet.put(change)

    def on_missed(self, channel: SharedChannel[Outlet]) -> None:
        for outlet in channel.watchers:
            self._resync(outlet)

    def _resync(self, outlet: Outlet) -> None:
        """Once, when it has room."""
        if outlet.full:
            outlet.when_room(self, partial(outlet.put, RESYNC))
        else:
            outlet.put(RESYNC)

    def on_idle(self, channel: SharedChannel[Outlet]) -> None:
        """There is one channel for good."""
