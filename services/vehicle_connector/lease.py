"""The connector's lease: the command service takes its commands away when it was not renewed in time."""

import time
from collections.abc import Callable

# The connector stops that much of a lease early: clocks drift, and a write takes a moment.
_USABLE = 0.9


class Lease:
    """Counted on the monotonic clock from the moment its renewal was sent, so it never outlives the service's view."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock()

    def now(self) -> float:
        """The time to pass to `granted`, taken before the renewal is sent."""
        return self._clock()

    def granted(self, sent_at: float, lease_ms: int) -> None:
        self._until = max(self._until, sent_at + lease_ms / 1000 * _USABLE)

    def may_hand_over(self) -> bool:
        """Asked right before a command is written to a vehicle."""
        return self._clock() < self._until
