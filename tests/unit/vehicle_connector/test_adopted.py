"""What another connector began, or this one long ago, and a vehicle comes back with."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector.executor import Executor, Limits
from vehicle_connector.lease import Lease
from vehicle_links.vehicle_link import AttemptKey, End, Finished, Progress, Response

KEY: AttemptKey = ("c1", 1)
STREAM: dict[str, Any] = {"command_name": "StreamDataByID", "stream_duration_ms": 60_000}


class Link:
    """Takes everything and says nothing."""

    vehicle_id = "v1"
    session_epoch = 2

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Loop(asyncio.SelectorEventLoop):
    """Its time passes when it is told to."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def call(self, call: Callable[[], object]) -> None:
        async def inside() -> None:
            call()

        self.run_until_complete(inside())

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.call(lambda: None)
        self.call(lambda: None)  # what was due has called back


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def adopted(loop: Loop, results: list[wire.Result], **take_up: Any) -> tuple[Executor, Any]:
    """The connector of a vehicle that has dialled in with the attempt, and its link."""
    made: list[Executor] = []
    loop.call(lambda: made.append(Executor(Lease(lambda: 0.0), Limits(64, 60, 60), results.append)))
    wanted = wire.TakeUp(command_id=KEY[0], attempt=KEY[1], wanted=True, timeout_ms=10_000, **take_up)
    link: Any = Link()
    loop.call(lambda: made[0].link_opened(link, {KEY}, [wanted]))
    return made[0], link


def test_answers_keep_a_stream_going_and_silence_ends_it(loop: Loop) -> None:
    results: list[wire.Result] = []
    executor, link = adopted(loop, results, next_number=4, **STREAM)
    for number in (4, 5, 6):
        loop.passes(8)
        loop.call(partial(executor.on_update, link, KEY, Response(number, "{}")))
    assert [result.WhichOneof("kind") for result in results] == ["response"] * 3
    loop.passes(11)
    assert results[-1].outcome.kind == wire.Outcome.TIMED_OUT
    loop.call(lambda: executor.on_update(link, KEY, Finished(7, End.COMPLETED, "", "", 0)))
    assert [result.number for result in results] == [4, 5, 6, 7, 8]


def test_that_an_answer_is_to_come_does_not_keep_a_stream_going(loop: Loop) -> None:
    """The command service counts from the last answer, too, and would have given it up long before."""
    results: list[wire.Result] = []
    executor, link = adopted(loop, results, next_number=1, **STREAM)
    loop.call(partial(executor.on_update, link, KEY, Response(1, "{}")))
    loop.passes(8)
    loop.call(partial(executor.on_update, link, KEY, Progress(2, 0x78, "")))
    loop.passes(3)
    assert [result.WhichOneof("kind") for result in results] == ["response", "progress", "outcome"]
    assert results[-1].outcome.kind == wire.Outcome.TIMED_OUT


def test_late_results_of_an_attempt_that_was_partly_recorded_are_evidence(loop: Loop) -> None:
    """The vehicle has forgotten updates 1 and 2; the service does not count in an attempt that is evidence only."""
    results: list[wire.Result] = []
    executor, link = adopted(loop, results, next_number=1)
    loop.call(partial(executor.on_update, link, KEY, Response(3, '{"late":true}')))
    loop.call(partial(executor.on_update, link, KEY, Finished(4, End.COMPLETED, "", "", 0)))
    assert [(result.number, result.WhichOneof("kind")) for result in results] == [(3, "response"), (4, "outcome")]
    assert results[-1].outcome.kind == wire.Outcome.COMPLETED
