"""Waiting in tests for what happens by itself, never longer than it takes."""

import asyncio
from collections.abc import Awaitable, Callable


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
