"""Announces committed changes on the live channels, and has them counted. Bounded, and never in anybody's way."""

from collections.abc import Sequence
from datetime import datetime

from command_service import metrics, observation
from command_service.domain.command import Command
from command_service.domain.events import ViewerEvent, vehicle_event
from command_service.domain.results import Evidence
from command_service.domain.vehicle import Vehicle
from command_service.grpc_mapping import viewer_event_to_proto
from service_kit.batcher import Batcher
from service_kit.live_events.port import LiveEvents
from service_kit.tracing import is_sampled
from sovd_protos.live.v1.live_pb2 import CommandEvents, VehicleEvents

VEHICLES_CHANNEL = "vehicles"
_MAX_WAITING = 20_000


class LiveAnnouncer:
    """use_cases.aftermath.Announcer over the live-events port."""

    def __init__(self, live_events: LiveEvents) -> None:
        self._live_events = live_events
        self._batcher: Batcher[tuple[str, bytes], None] = Batcher(self._publish, max_items=1000)

    def command_changed(self, command: Command, events: list[ViewerEvent], traceparent: str) -> None:
        for event in events:
            if event.status is not None:
                observation.status_recorded(command, event.status)
        payload = CommandEvents(
            command_id=command.command_id,
            events=[viewer_event_to_proto(event) for event in events],
            traceparent=traceparent if is_sampled(traceparent) else "",
        )
        self._enqueue(f"command.{command.command_id}", payload.SerializeToString())

    def results_came_late(self, command: Command, evidence: list[Evidence]) -> None:
        observation.results_came_late(command, evidence)

    def vehicle_changed(self, vehicle: Vehicle, now: datetime) -> None:
        self._enqueue(VEHICLES_CHANNEL, VehicleEvents(json=[vehicle_event(vehicle, now)]).SerializeToString())

    async def drain(self) -> None:
        await self._batcher.drain()

    def _enqueue(self, channel: str, payload: bytes) -> None:
        if self._batcher.waiting >= _MAX_WAITING or not self._live_events.connected:
            metrics.LIVE_EVENTS_DROPPED.inc()
        else:
            self._batcher.put((channel, payload))

    async def _publish(self, events: Sequence[tuple[str, bytes]]) -> list[None]:
        try:
            await self._live_events.publish(events)
        except ConnectionError:
            metrics.LIVE_EVENTS_DROPPED.inc(len(events))
        return [None] * len(events)
