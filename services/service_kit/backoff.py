"""Waiting between attempts."""

import random


class Backoff:
    """Pauses that double up to a limit, each shortened at random so that many clients do not come back at once."""

    def __init__(self, first: float = 0.1, limit: float = 2.0) -> None:
        self._first = first
        self._limit = limit
        self._next = first

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        longest, self._next = self._next, min(self._next * 2, self._limit)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret

    def reset(self) -> None:
        """After a success."""
        self._next = self._first
