"""The port between the connector and vehicles, whatever protocol they speak.

A link is one way to one vehicle. Commands go down with `execute` and `cancel`; what the vehicle says comes back as
numbered updates through `LinkEvents`, pushed rather than pulled: a session carries the updates of many commands in one
message, and a task or a queue for each command would cost more than the work itself. A link that dials out runs a task
of its own per command and pushes what it gets (see docs/adr/0003-vehicle-links-push-updates.md).

Rules for links:
- `HandOver.begin` is asked right before a command is written, with no await in between; False: it is not written.
- Updates of an attempt are numbered 1..n. One that comes again is dropped by the receiver.
- Not more than `allowed` updates are pushed (initially `initial_credit`): the link slows its vehicle down instead.
- Once `release`d, an attempt is forgotten.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

AttemptKey = tuple[str, int]
"""command_id and attempt."""


@dataclass(frozen=True, slots=True)
class VehicleCommand:
    """What a vehicle gets to see of a command."""

    command_id: str
    attempt: int
    command_name: str
    command_params: str
    timeout_ms: int
    repeatable: bool
    traceparent: str
    initial_credit: int

    @property
    def key(self) -> AttemptKey:
        return self.command_id, self.attempt


@dataclass(slots=True)
class Response:
    number: int
    text: str


@dataclass(slots=True)
class Progress:
    """Not an answer yet: NRC 0x78 of ISO 14229-1."""

    number: int
    nrc: int
    message: str


class End(Enum):
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """It was handed over, and the link is certain that nobody will ever hear what came of it."""


@dataclass(slots=True)
class Finished:
    number: int
    end: End
    code: str
    message: str
    nrc: int
    # What the vehicle said and nobody could read, as text: kept as evidence.
    unreadable: str = ""


Update = Response | Progress | Finished


class HandOver(Protocol):
    """A claimed command on its way to the vehicle."""

    @property
    def command(self) -> VehicleCommand: ...

    def begin(self) -> bool:
        """May it be written now? After True the vehicle counts as having it, whatever becomes of the write."""


class VehicleLink(Protocol):
    @property
    def kind(self) -> str:
        """The protocol, for metrics; one of a few."""

    @property
    def vehicle_id(self) -> str: ...

    @property
    def session_epoch(self) -> int:
        """A newer link to the same vehicle has a larger one."""

    def supports(self, command_name: str) -> bool: ...

    def execute(self, hand_over: HandOver) -> None:
        """Hand the command over when there is room for it. Links never block and never raise."""

    def cancel(self, key: AttemptKey) -> None: ...

    def grant(self, key: AttemptKey, recorded: int, allowed: int) -> None:
        """Updates up to `recorded` are safe, those up to `allowed` may be sent."""

    def release(self, key: AttemptKey) -> None:
        """Nobody waits for more of this attempt."""


class LinkEvents(Protocol):
    """Where links push to."""

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None: ...

    def on_link_lost(self, link: VehicleLink) -> None: ...
