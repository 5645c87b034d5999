"""What the world is told once a transaction is committed: viewers of changed commands, and the dispatcher.

Nothing here may fail or delay a use case: the recorded state is the truth, and this is a hint to look at it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from command_service.domain.command import Command, Status
from command_service.domain.events import ViewerEvent, response_event, status_event
from command_service.domain.results import RecordedResponse
from command_service.domain.vehicle import Vehicle


class Announcer(Protocol):
    """Takes over at once and works beside; what it cannot deliver is dropped."""

    def command_changed(self, command: Command, events: list[ViewerEvent]) -> None: ...

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
        self._vehicles: list[tuple[Vehicle, datetime]] = []
        self._wake: set[str] = set()

    def response_recorded(self, command: Command, response: RecordedResponse) -> None:
        self._of(command).append(response_event(response))

    def status_changed(self, command: Command, now: datetime) -> None:
        self._of(command).append(status_event(command, now))
        if command.status is Status.PENDING or command.status.terminal:
            self._wake.add(command.vehicle_id)

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
            self._announcer.command_changed(command, events)
        for vehicle, now in self._vehicles:
            self._announcer.vehicle_changed(vehicle, now)
        if self._wake:
            self._waker.wake(self._wake)

    def _of(self, command: Command) -> list[ViewerEvent]:
        return self._events.setdefault(command.command_id, (command, []))[1]
