"""The one batcher: what is waiting goes as one batch, one flush at a time, the next as soon as the last is done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Flush = Callable[[list[Item]], Awaitable[Sequence[Answer | BaseException]]]


class Batcher(Generic[Item, Answer]):
    """Turns concurrent calls into batches without a timed wait: under no load a batch has one item.

    `flush` gets at most `max_items` items in the order submitted and returns one answer each, in order; an exception in
    place of an answer is raised to that item's caller alone. A flush that raises fails all items of its batch.
    """

    def __init__(self, flush: "Flush[Item, Answer]", *, max_items: int = 500) -> None:
        self._flush = flush
        self._max_items = max_items
        self._waiting: list[tuple[Item, asyncio.Future[Answer] | None]] = []
        self._flusher: asyncio.Task[None] | None = None
        # What a flush logs is about all of its items, not about the request that happened to be the first of them.
        self._context = copy_context()

    async def submit(self, item: Item) -> Answer:
        """The answer to this item; raises what `flush` gave or raised for it."""
        return await self.enqueue(item)

    def enqueue(self, item: Item) -> "asyncio.Future[Answer]":
        """Like submit, for a caller that wants to await many answers later; order of calls is order in the batch."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._append(item, answer)
        return answer

    def put(self, item: Item) -> None:
        """For a caller that wants no answer: the flush has to deal with errors itself."""
        self._append(item, None)

    @property
    def waiting(self) -> int:
        """Items that are not in a flush yet."""
        return len(self._waiting)

    async def drain(self) -> None:
        """Returns when nothing is waiting or in flight."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait([self._flusher])

    def _append(self, item: Item, answer: "asyncio.Future[Answer] | None") -> None:
        self._waiting.append((item, answer))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush_all(), context=self._context)

    async def _flush_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
            await self._flush_batch(batch)

    async def _flush_batch(self, batch: "list[tuple[Item, asyncio.Future[Answer] | None]]") -> None:
        try:
            answers = await self._flush([item for item, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"flush answered {len(answers)} of {len(batch)} items")
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                for _, future in batch + self._waiting:
                    if future is not None:
                        future.cancel()
                self._waiting = []
                raise
            # Nobody stops us: what the flush called was cancelled, as a call is whose channel is closed.
            answers = [ConnectionError("cancelled by what it called")] * len(batch)
        except Exception as error:  # whatever it is, its callers decide what it means
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future is None or future.done():  # its caller has given up; the item was flushed all the same
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
