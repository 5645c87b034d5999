"""Connection changes of vehicles, for every socket that asked for them.

They are not recorded one by one: whoever may have missed one is told to read the vehicles again ("resync"), at the
start of the subscription, after the live events were away and when a slow socket has drained.
"""

from functools import partial

from google.protobuf.message import DecodeError

from gateway.outlet import Outlet
from gateway.shared_channel import SharedChannel
from service_kit.live_events.port import LiveEvents
from service_kit.logging import get_logger
from sovd_protos.live.v1.live_pb2 import VehicleEvents

RESYNC = '{"event":"resync","vehicles":true}'

log = get_logger(__name__)


class VehicleFeed:
    def __init__(self, live_events: LiveEvents) -> None:
        self._channel: SharedChannel[Outlet] = SharedChannel(live_events, "vehicles", self)

    def open(self, outlet: Outlet) -> None:
        """From now on the outlet gets connection changes, after one "resync"."""
        self._channel.add(outlet)
        if self._channel.confirmed:
            outlet.put(RESYNC)

    def close(self, outlet: Outlet) -> None:
        self._channel.discard(outlet)

    def settle(self) -> None:
        self._channel.settle()

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
                outlet.when_room(self, partial(outlet.put, RESYNC))
            else:
                for change in changes:
                    outlet.put(change)

    def on_missed(self, channel: SharedChannel[Outlet]) -> None:
        for outlet in channel.watchers:
            outlet.put(RESYNC)

    def on_idle(self, channel: SharedChannel[Outlet]) -> None:
        """There is one channel for good."""
