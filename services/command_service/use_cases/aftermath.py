"""What the world is told once a transaction is committed: viewers of changed commands, and the dispatcher.

Nothing here may fail or delay a use case: the recorded state is the truth, and this is a hint to look at it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from command_service.domain.command import Command, Status
from command_service.domain.events import ViewerEvent, response_event, status_event
from command_service.domain.results import Evidence, RecordedResponse
from command_service.domain.vehicle import Vehicle


class Announcer(Protocol):
    """Takes over at once and works beside; what it cannot deliver is dropped."""

    def command_changed(self, command: Command, events: list[ViewerEvent], traceparent: str) -> None:
        """`traceparent` is that of the work that made the events."""

    def results_came_late(self, command: Command, evidence: list[Evidence]) -> None: ...

    def vehicle_changed(self, vehicle: Vehicle, now: datetime) -> None: ...


class DispatchWaker(Protocol):
    def wake(self, vehicle_ids: Iterable[str]) -> None:
        """Something changed on these vehicles: look whether a command may run now."""


class Aftermath:
    """Collects, within a transaction, what to tell after it. Events are rendered at once, as the command is then."""

    def __init__(self, announcer: Announcer, waker: DispatchWaker) -> None:
        self._announcer = announcer
        self._waker = waker
        self._events: dict[str, tuple[Command, list[ViewerEvent]]] = {}
        self._traceparents: dict[str, str] = {}
        self._late: dict[str, tuple[Command, list[Evidence]]] = {}
        self._vehicles: list[tuple[Vehicle, datetime]] = []
        self._wake: set[str] = set()

    def response_recorded(self, command: Command, response: RecordedResponse) -> None:
        self._of(command).append(response_event(response))

    def status_changed(self, command: Command, now: datetime) -> None:
        self._of(command).append(status_event(command, now))
        if command.status is Status.PENDING or command.status.terminal:
            self._wake.add(command.vehicle_id)

    def came_late(self, command: Command, evidence: Evidence) -> None:
        self._late.setdefault(command.command_id, (command, []))[1].append(evidence)

    def made_by(self, command: Command, traceparent: str) -> None:
        """Its events belong to this span rather than to that of the command's acceptance."""
        self._traceparents[command.command_id] = traceparent

    def accepted(self, command: Command) -> None:
        """Nobody can watch it yet: only the dispatcher is told."""
        self._wake.add(command.vehicle_id)

    def vehicle_changed(self, vehicle: Vehicle, now: datetime) -> None:
        self._vehicles.append((vehicle, now))
        if vehicle.reachable:
            self._wake.add(vehicle.vehicle_id)

    def tell(self) -> None:
        """After the commit."""
        for command, events in self._events.values():
            traceparent = self._traceparents.get(command.command_id, command.traceparent)
            self._announcer.command_changed(command, events, traceparent)
        for command, evidence in self._late.values():
            self._announcer.results_came_late(command, evidence)
        for vehicle, now in self._vehicles:
            self._announcer.vehicle_changed(vehicle, now)
        if self._wake:
            self._waker.wake(self._wake)

    def _of(self, command: Command) -> list[ViewerEvent]:
        return self._events.setdefault(command.command_id, (command, []))[1]
