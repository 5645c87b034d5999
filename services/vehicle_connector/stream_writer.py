"""Writes to a bidirectional stream what is waiting for it, many things in one message."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Message = TypeVar("Message")


class StreamWriter(Generic[Message]):
    """One write at a time; what comes up during a write goes with the next one. Holds no task while idle.

    `take` builds the next message at the very moment it is written (None: nothing is waiting); `broken` is called when
    a write fails, after which nothing is written any more.
    """

    __slots__ = ("_broken", "_closed", "_take", "_task", "_write")

    def __init__(
        self,
        write: Callable[[Message], Awaitable[object]],
        take: Callable[[], Message | None],
        broken: Callable[[], object],
    ) -> None:
        self._write = write
        self._take = take
        self._broken = broken
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def wake(self) -> None:
        """Something is waiting: it is written in the loop's next round, with all that came up in this one."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._drain())

    def close(self) -> None:
        self._closed = True

    async def flush(self) -> bool:
        """Returns when what is waiting was written; False: it is closed or broken."""
        self.wake()
        if self._task is not None:
            await asyncio.wait([self._task])
        return not self._closed

    async def _drain(self) -> None:
        try:
            while not self._closed and (message := self._take()) is not None:
                await self._write(message)
        except (Exception, asyncio.CancelledError):  # grpc raises either when the other side is gone
            self._closed = True
            self._broken()
        finally:
            self._task = None
