"""A timer whose deadline mostly moves further away."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls back once when it passes. Moving it later costs nothing: the loop's timer is set anew when it fires."""

    __slots__ = ("_at", "_call_back", "_handle", "_handle_at")

    def __init__(self, call_back: Callable[[], object]) -> None:
        self._call_back = call_back
        self._at = self._handle_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._handle is not None

    def set(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._at = loop.time() + seconds
        if self._handle is not None and self._handle_at <= self._at:
            return
        self.cancel()
        self._arm(loop)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle_at = self._at
        self._handle = loop.call_at(self._at, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        if self._at > self._handle_at:
            self._arm(loop)
        else:
            self._call_back()
