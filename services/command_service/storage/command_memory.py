"""What this process wrote last of the commands in flight, so that it need not read them again to decide what follows.

A guess until it is verified: what is decided by it is stored only where the row still has the version that was written
(docs/adr/0019-decided-from-memory.md).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_MOST_REMEMBERED = 4096
# A reading of the clock is of use for that long.
_CLOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """The values of a row, and the transaction that wrote it."""

    values: tuple[Any, ...]
    version: str


class DatabaseClock:
    """The database's clock between two readings of it, by this machine's own.

    A reading arrives late, never early: of several the one that says the most is the truest.
    """

    def __init__(self) -> None:
        # The database's time less this machine's: the most that was read in this second, and in the one before.
        self._leads: tuple[timedelta | None, timedelta | None] = None, None
        self._since = 0.0
        self._zero = datetime.min

    def read(self, now: datetime) -> None:
        """The database said so just now."""
        moment = time.monotonic()
        if self._zero is datetime.min:
            self._zero = now
        lead = now - self._zero - timedelta(seconds=moment)
        if moment - self._since > _CLOCK_SECONDS:
            recent = self._leads[0] if moment - self._since < 2 * _CLOCK_SECONDS else None
            self._leads, self._since = (lead, recent), moment
        elif self._leads[0] is None or lead > self._leads[0]:
            self._leads = lead, self._leads[1]

    def now(self) -> datetime | None:
        """None when it was not read lately."""
        moment = time.monotonic()
        leads = [lead for lead in self._leads if lead is not None]
        if not leads or moment - self._since > 2 * _CLOCK_SECONDS:
            return None
        return self._zero + max(leads) + timedelta(seconds=moment)


class CommandMemory:
    def __init__(self) -> None:
        self.clock = DatabaseClock()
        self._remembered: dict[str, Remembered] = {}

    def take(self, command_id: str) -> Remembered | None:
        """It is not remembered any more: what comes of it is kept, or else read."""
        return self._remembered.pop(command_id, None)

    def keep(self, written: Mapping[str, tuple[Any, ...]], version: str) -> None:
        """Rows that were committed as this version."""
        for command_id, values in written.items():
            self._remembered[command_id] = Remembered(values, version)
        while len(self._remembered) > _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
