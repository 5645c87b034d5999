"""How what many decide at once is stored, with as little waiting for each other as can be."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from command_service.use_cases.ports import Overtaken, Storage, UnitOfWork

Answer = TypeVar("Answer")


async def decided(storage: Storage, decide: Callable[[UnitOfWork], Awaitable[Answer]]) -> Answer:
    """What `decide` answers once it has committed: from memory and without locks, or else from what it reads, or else,
    where somebody was faster, with locks."""
    for unit_of_work in (storage.recalling, storage.optimistic):
        with suppress(Overtaken):
            async with unit_of_work() as uow:
                return await decide(uow)
    async with storage.transaction() as uow:
        return await decide(uow)
