"""Waiting in tests for what happens by itself, never longer than it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_for(question: Callable[[], Answer], seconds: float = 30) -> Answer:
    """The first answer that is true, asked without an event loop; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not in {seconds} s; the last answer was {answer!r}"
        time.sleep(0.01)
    return answer


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Returns when the condition holds; fails when it does not in time."""

    async def asked() -> object:
        return condition()

    await until_it(asked, seconds)


async def until_it(condition: Callable[[], Awaitable[object]], seconds: float = 30) -> None:
    """The same for a condition that takes a call to find out."""
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)
