"""What one viewer of one command may be sent next: pure state, no input or output.

Responses go out exactly once, in order and without gaps; a status goes out once the responses it counts have, and never
after a newer one; nothing follows the terminal event. The state is two numbers, whatever the length of the history.
"""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from sovd_protos.live.v1 import live_pb2

# What may wait for a lost predecessor. What does not fit is dropped: the recorded state has it.
MAX_HELD_EVENTS = 64
MAX_HELD_CHARACTERS = 256 * 1024


class Event(NamedTuple):
    """One event of a command; a response has a sequence, a status a revision and the number of responses before it."""

    sequence: int
    revision: int
    responses: int
    terminal: bool
    json: str
    traceparent: str = ""

    @property
    def order(self) -> tuple[int, bool, int]:
        """Response k, then the statuses that count k responses, then response k+1."""
        return (self.sequence or self.responses, self.sequence == 0, self.revision)


def events_from(messages: Iterable[live_pb2.CommandEvent], traceparent: str = "") -> list[Event]:
    """The events of a live message or of an answer of ReadUpdates, decoded once for all viewers."""
    return [Event(m.sequence_number, m.revision, m.responses, m.terminal, m.json, traceparent) for m in messages]


class View:
    """Takes events in any order, repeated or with losses, and gives back what may be sent."""

    __slots__ = ("_held", "_held_characters", "complete", "revision", "sequence")

    def __init__(self, after: int = 0) -> None:
        self.sequence = after
        self.revision = 0
        self.complete = False
        self._held: list[tuple[tuple[int, bool, int], Event]] | None = None
        self._held_characters = 0

    @property
    def has_gap(self) -> bool:
        """Something waits for an event that has not come: read the recorded state."""
        return bool(self._held)

    def accept(self, events: Iterable[Event]) -> list[Event]:
        """What may be sent now, in the order in which to send it."""
        ready: list[Event] = []
        for event in events:
            if self._is_known(event):
                continue
            if self._is_next(event):
                self._advance(event, ready)
                self._release(ready)
            else:
                self._hold(event)
        return ready

    def _is_known(self, event: Event) -> bool:
        if self.complete:
            return True
        return event.sequence <= self.sequence if event.sequence else event.revision <= self.revision

    def _is_next(self, event: Event) -> bool:
        return event.sequence == self.sequence + 1 if event.sequence else event.responses <= self.sequence

    def _advance(self, event: Event, ready: list[Event]) -> None:
        ready.append(event)
        if event.sequence:
            self.sequence = event.sequence
        else:
            self.revision = event.revision
            self.complete = event.terminal

    def _hold(self, event: Event) -> None:
        if self._held is None:
            self._held = []
        if len(self._held) < MAX_HELD_EVENTS and self._held_characters <= MAX_HELD_CHARACTERS:
            self._held_characters += len(event.json)
            heapq.heappush(self._held, (event.order, event))

    def _release(self, ready: list[Event]) -> None:
        # When the first in order cannot go, none behind it can.
        while self._held and (self._is_known(self._held[0][1]) or self._is_next(self._held[0][1])):
            event = heapq.heappop(self._held)[1]
            self._held_characters -= len(event.json)
            if not self._is_known(event):
                self._advance(event, ready)
        if not self._held:
            self._held = None
