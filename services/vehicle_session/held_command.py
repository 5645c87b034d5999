"""What a vehicle keeps of one command it was handed: the updates that are not recorded yet, and how far it may send."""

import asyncio
from collections.abc import Iterable
from itertools import count, takewhile

from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute, Finished, HeldCommand, Pending

# A response (one JSON object), progress, or the end.
Update = str | Pending | Finished

Key = tuple[str, int]
"""command_id and attempt."""

# An executor that is this far ahead of what is recorded waits: so many updates, or so many bytes.
MOST_KEPT = 256
MOST_KEPT_BYTES = 256 * 1024
# Bytes of an update beside its response, about.
UPDATE_OVERHEAD = 64


class Held:
    """One attempt of one command. Updates 1..recorded are safe and forgotten, those up to `allowed` may be sent."""

    __slots__ = (
        "_kept",
        "_kept_bytes",
        "_room",
        "allowed",
        "answered",
        "cancelled",
        "execute",
        "finished",
        "interrupted",
        "recorded",
        "sent",
        "started",
        "task",
    )

    def __init__(self, execute: Execute) -> None:
        self.execute = execute
        self.recorded = 0
        self.sent = 0
        self.allowed = execute.initial_credit
        self.answered = False
        self.cancelled = False
        self.finished = False
        # Its process ended in the middle of it.
        self.interrupted = False
        self.started = False
        self.task: asyncio.Task[None] | None = None
        self._kept: list[CommandUpdate] = []
        self._kept_bytes = 0
        self._room: asyncio.Future[None] | None = None

    @classmethod
    def restored(cls, execute: Execute, recorded: int, updates: Iterable[CommandUpdate]) -> "Held":
        """As an earlier process held it, without credit. What follows a gap in `updates` is of no use to anybody."""
        held = cls(execute)
        numbers = count(recorded + 1)
        held._kept = list(takewhile(lambda update: update.number == next(numbers), updates))
        held._kept_bytes = sum(map(_size, held._kept))
        held.recorded = held.sent = held.allowed = recorded
        held.finished = bool(held._kept) and held._kept[-1].HasField("finished")
        held.interrupted = not held.finished
        return held

    @property
    def key(self) -> Key:
        return self.execute.command_id, self.execute.attempt

    @property
    def is_done(self) -> bool:
        """Finished, and all of it recorded: there is nothing left to hold."""
        return self.finished and not self._kept

    @property
    def is_sent(self) -> bool:
        """Everything there is has been sent at least once."""
        return self.sent >= self.recorded + len(self._kept)

    @property
    def has_ready(self) -> bool:
        """There is something that may be sent now."""
        return self.sent < min(self.allowed, self.recorded + len(self._kept))

    @property
    def is_full(self) -> bool:
        return len(self._kept) >= MOST_KEPT or self._kept_bytes >= MOST_KEPT_BYTES

    def as_announced(self) -> HeldCommand:
        return HeldCommand(command_id=self.execute.command_id, attempt=self.execute.attempt)

    def add(self, update: Update) -> CommandUpdate:
        command_id, attempt = self.execute.command_id, self.execute.attempt
        number = self.recorded + len(self._kept) + 1
        if isinstance(update, str):
            self.answered = True
            kept = CommandUpdate(command_id=command_id, attempt=attempt, number=number, response=update)
        elif isinstance(update, Finished):
            self.finished = True
            kept = CommandUpdate(command_id=command_id, attempt=attempt, number=number, finished=update)
        else:
            kept = CommandUpdate(command_id=command_id, attempt=attempt, number=number, pending=update)
        self._kept.append(kept)
        self._kept_bytes += _size(kept)
        return kept

    def take_ready(self, budget: int) -> tuple[list[CommandUpdate], int]:
        """The updates that may be sent now and were not, and what is left of the budget (bytes); they count as sent."""
        first = self.sent - self.recorded
        end = first
        last = min(self.allowed - self.recorded, len(self._kept))
        while end < last and budget > 0:
            budget -= _size(self._kept[end])
            end += 1
        self.sent = self.recorded + max(first, end)
        return self._kept[first:end], budget

    def record(self, recorded: int, allowed: int) -> None:
        """Updates 1..recorded are safe, up to `allowed` may be sent. Both only ever grow."""
        self.allowed = max(self.allowed, allowed)
        if recorded > self.recorded:
            self._kept_bytes -= sum(map(_size, self._kept[: recorded - self.recorded]))
            del self._kept[: recorded - self.recorded]
            self.recorded = recorded
            self.sent = max(self.sent, recorded)
        if self._room is not None and not self.is_full:
            self._room.set_result(None)
            self._room = None

    def resume(self, next_number: int, credit: int) -> None:
        """A new session goes on from `next_number`: what was sent on the old one and is not recorded goes again."""
        self.record(next_number - 1, 0)
        self.sent = self.recorded
        self.allowed = self.recorded + credit

    def suspend(self) -> None:
        """The session is lost: send nothing until it is resumed."""
        self.allowed = self.recorded
        self.sent = self.recorded

    async def room(self) -> None:
        """Until there is room for another update; one waiter."""
        while self.is_full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room


def _size(update: CommandUpdate) -> int:
    """Bytes, about."""
    return len(update.response) + len(update.finished.unreadable) + UPDATE_OVERHEAD
