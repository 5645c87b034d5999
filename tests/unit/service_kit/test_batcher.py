"""The batcher: what waits goes as one batch, one flush at a time, nobody waits for a clock."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_kit.batcher import Batcher


class Recorder:
    """A flush that answers each item with itself as text, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.running = 0

    async def __call__(self, items: list[int]) -> list[str | BaseException]:
        self.batches.append(items)
        self.running += 1
        assert self.running == 1, "one flush at a time"
        await self.may_go.wait()
        await asyncio.sleep(0)
        self.running -= 1
        return [str(item) if item >= 0 else ValueError(str(item)) for item in items]


async def test_lone_item_goes_at_once_and_alone() -> None:
    flush = Recorder()
    assert await Batcher(flush).submit(7) == "7"
    assert flush.batches == [[7]]


async def test_what_comes_during_a_flush_goes_together_in_the_next() -> None:
    flush = Recorder()
    flush.may_go.clear()
    batcher: Batcher[int, str] = Batcher(flush)
    answers = [batcher.enqueue(1)]
    await asyncio.sleep(0)
    answers += [batcher.enqueue(number) for number in (2, 3, 4)]
    assert batcher.waiting == 3
    assert flush.batches == [[1]]
    flush.may_go.set()
    assert await asyncio.gather(*answers) == ["1", "2", "3", "4"]
    assert flush.batches == [[1], [2, 3, 4]]
    assert batcher.waiting == 0


async def test_items_of_one_turn_of_the_loop_go_together() -> None:
    flush = Recorder()
    batcher: Batcher[int, str] = Batcher(flush)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == ["0", "1", "2", "3", "4"]
    assert flush.batches == [[0, 1, 2, 3, 4]]


async def test_batches_are_bounded_and_keep_the_order() -> None:
    flush = Recorder()
    batcher: Batcher[int, str] = Batcher(flush, max_items=3)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(7))) == [str(n) for n in range(7)]
    assert flush.batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_rejected_item_fails_alone() -> None:
    batcher: Batcher[int, str] = Batcher(Recorder())
    outcomes = await asyncio.gather(*(batcher.submit(n) for n in (1, -2, 3)), return_exceptions=True)
    assert outcomes[0] == "1"
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == "3"


async def test_flush_that_raises_fails_its_batch_and_not_the_next() -> None:
    calls = 0

    async def flush(items: list[int]) -> Sequence[str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("away")
        return [str(item) for item in items]

    batcher: Batcher[int, str] = Batcher(flush, max_items=2)
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["away", "away", "2", "3"]
    assert await batcher.submit(5) == "5"


async def test_flush_that_answers_too_few_fails_its_batch() -> None:
    async def flush(items: list[int]) -> Sequence[str]:
        return ["only one"]

    batcher: Batcher[int, str] = Batcher(flush)
    outcomes = await asyncio.gather(*(batcher.submit(number) for number in range(2)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["flush answered 1 of 2 items"] * 2


async def test_caller_that_gives_up_is_flushed_all_the_same_and_disturbs_nobody() -> None:
    flush = Recorder()
    flush.may_go.clear()
    batcher: Batcher[int, str] = Batcher(flush)
    in_flight = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(batcher.submit(2))
    staying = asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    in_flight.cancel()
    leaving.cancel()
    await asyncio.wait([in_flight, leaving])
    flush.may_go.set()
    assert await staying == "3"
    assert flush.batches == [[1], [2, 3]]


async def test_drain_returns_when_nothing_waits_or_is_in_flight() -> None:
    flush = Recorder()
    batcher: Batcher[int, str] = Batcher(flush, max_items=1)
    await batcher.drain()
    answers = [batcher.enqueue(number) for number in range(3)]
    await batcher.drain()
    assert all(answer.done() for answer in answers)
    assert flush.batches == [[0], [1], [2]]


async def test_item_that_comes_when_the_last_flush_has_just_ended() -> None:
    flush = Recorder()
    batcher: Batcher[int, str] = Batcher(flush)
    first = batcher.enqueue(1)
    follow_up: list[asyncio.Future[str]] = []
    first.add_done_callback(lambda _: follow_up.append(batcher.enqueue(2)))
    await first
    await asyncio.sleep(0)
    assert await follow_up[0] == "2"


async def test_cancelled_flusher_fails_everybody_and_the_next_item_starts_anew() -> None:
    flush = Recorder()
    flush.may_go.clear()
    batcher: Batcher[int, str] = Batcher(flush)
    answers = [batcher.enqueue(1)]
    await asyncio.sleep(0)
    answers.append(batcher.enqueue(2))
    assert batcher._flusher is not None
    batcher._flusher.cancel()
    await asyncio.wait(answers)
    assert all(answer.cancelled() for answer in answers)
    flush.may_go.set()
    flush.running = 0
    assert await batcher.submit(3) == "3"


async def test_flush_cancelled_from_within_fails_its_batch_alone() -> None:
    """As a call does whose connection is closed under it: nobody asked the batcher to stop."""
    calls = 0

    async def flush(items: list[int]) -> Sequence[str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise asyncio.CancelledError
        return [str(item) for item in items]

    batcher: Batcher[int, str] = Batcher(flush, max_items=1)
    first, second = batcher.enqueue(1), batcher.enqueue(2)
    await asyncio.wait([first, second])
    assert isinstance(first.exception(), ConnectionError)
    assert second.result() == "2"


@given(st.lists(st.integers(min_value=-3, max_value=50), max_size=60), st.integers(1, 7), st.integers(0, 5))
def test_every_item_is_flushed_once_in_order_and_answered_with_its_own(items: list[int], size: int, pause: int) -> None:
    async def run() -> None:
        flush = Recorder()
        batcher: Batcher[int, str] = Batcher(flush, max_items=size)
        answers = []
        for number, item in enumerate(items):
            answers.append(batcher.enqueue(item))
            if pause and number % pause == 0:
                await asyncio.sleep(0)
        await batcher.drain()
        assert [item for batch in flush.batches for item in batch] == items
        assert all(0 < len(batch) <= size for batch in flush.batches)
        for item, answer in zip(items, answers, strict=True):
            if item >= 0:
                assert answer.result() == str(item)
            else:
                with pytest.raises(ValueError, match=str(item)):
                    answer.result()

    asyncio.run(run())


async def test_a_flush_belongs_to_no_one_of_its_items() -> None:
    asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")
    seen = []

    async def flush(items: list[int]) -> list[int]:
        seen.append(asked_by.get())
        return items

    batcher: Batcher[int, int] = Batcher(flush)
    asked_by.set("the first")
    await batcher.submit(1)
    assert seen == ["nobody"]
