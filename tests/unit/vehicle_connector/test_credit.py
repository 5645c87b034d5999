"""A vehicle that may say no more until what it said is recorded is not taken for a silent one."""

import asyncio
from dataclasses import dataclass, field

import pytest

from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from vehicle_connector.executor import Executor, Limits
from vehicle_connector.lease import Lease
from vehicle_links.vehicle_link import AttemptKey, End, Finished, HandOver, Response

WINDOW = 4
KEY: AttemptKey = ("c1", 1)


class Link:
    """Hands over at once."""

    kind = "session"
    vehicle_id = "v1"
    session_epoch = 1

    def __init__(self) -> None:
        self.cancels = 0
        self.grants: list[tuple[int, int]] = []

    def supports(self, command_name: str) -> bool:
        return True

    def execute(self, hand_over: HandOver) -> None:
        assert hand_over.begin()

    def cancel(self, key: AttemptKey) -> None:
        self.cancels += 1

    def grant(self, key: AttemptKey, recorded: int, allowed: int) -> None:
        self.grants.append((recorded, allowed))

    def release(self, key: AttemptKey) -> None:
        pass


@dataclass
class Bench:
    """One command at a vehicle, with a clock that only the test moves on."""

    patched: pytest.MonkeyPatch
    link: Link = field(default_factory=Link)
    results: list[wire.Result] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.patched.setattr(asyncio.get_running_loop(), "time", lambda: self.seconds)
        lease = Lease(lambda: 0.0)
        lease.granted(0.0, 10_000)
        self.executor = Executor(lease, Limits(WINDOW, 60, 60), self.results.append)
        self.executor.link_opened(self.link, (), ())

    def hand_over(self, timeout_s: int, stream_s: int = 0) -> None:
        dispatched = wire.DispatchedCommand(
            command_id=KEY[0],
            dispatch_number=1,
            vehicle_id="v1",
            session_epoch=1,
            command_name="ReadDTC",
            timeout_ms=timeout_s * 1000,
            stream_duration_ms=stream_s * 1000,
        )
        self.executor.hand_over(dispatched, 1, None)

    async def passes(self, seconds: float) -> None:
        self.seconds += seconds
        for _ in range(3):  # a timer that fires may set another
            await asyncio.sleep(0)

    def respond(self, *numbers: int) -> None:
        for number in numbers:
            self.executor.on_update(self.link, KEY, Response(number, "{}"))

    def finish(self, number: int) -> None:
        self.executor.on_update(self.link, KEY, Finished(number, End.COMPLETED, "", "", 0))

    def record_all(self) -> None:
        ack = wire.ResultAck(command_id=KEY[0], attempt=1, number=self.results[-1].number)
        self.executor.acknowledged([ack])

    @property
    def outcomes(self) -> list["Outcome.Kind.ValueType"]:
        return [result.outcome.kind for result in self.results if result.HasField("outcome")]


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_it_has_not_timed_out_and_goes_on_once_it_may(bench: Bench) -> None:
    bench.hand_over(timeout_s=60)
    bench.respond(1, 2, 3, 4)
    await bench.passes(200)
    assert (bench.outcomes, bench.link.cancels) == ([], 0)
    bench.record_all()
    assert bench.link.grants == [(4, 8)]
    bench.respond(5)
    await bench.passes(5)
    bench.finish(6)
    assert bench.outcomes == [Outcome.COMPLETED]


async def test_with_credit_left_it_has(bench: Bench) -> None:
    bench.hand_over(timeout_s=60)
    bench.respond(1, 2, 3)
    await bench.passes(61)
    assert (bench.outcomes, bench.link.cancels) == ([Outcome.TIMED_OUT], 1)


async def test_that_says_nothing_when_it_may_it_has(bench: Bench) -> None:
    """It is not given its whole timeout again: the command service will not wait so long."""
    bench.hand_over(timeout_s=600)
    bench.respond(1, 2, 3, 4)
    await bench.passes(700)
    bench.record_all()
    assert bench.outcomes == []
    await bench.passes(11)
    assert (bench.outcomes, bench.link.cancels) == ([Outcome.TIMED_OUT], 1)


async def test_credit_in_time_is_no_reason_for_more_time(bench: Bench) -> None:
    bench.hand_over(timeout_s=60)
    bench.respond(1, 2, 3, 4)
    await bench.passes(59)
    bench.record_all()
    await bench.passes(2)
    assert bench.outcomes == [Outcome.TIMED_OUT]


async def test_a_stream_goes_on_beyond_its_last_moment_with_what_it_was_kept_from_saying(bench: Bench) -> None:
    bench.hand_over(timeout_s=60, stream_s=100)
    bench.respond(1, 2)
    await bench.passes(50)
    bench.respond(3, 4)
    await bench.passes(300)
    assert bench.outcomes == []
    bench.record_all()
    bench.respond(5, 6)
    await bench.passes(5)
    assert bench.outcomes == []
    bench.finish(7)
    assert bench.outcomes == [Outcome.COMPLETED]


async def test_a_stream_that_never_ends_is_ended_all_the_same(bench: Bench) -> None:
    bench.hand_over(timeout_s=60, stream_s=100)
    bench.respond(1, 2, 3, 4)
    await bench.passes(300)
    for number in range(5, 100):
        bench.record_all()
        if bench.outcomes:
            break
        bench.respond(number)
        await bench.passes(10)
    assert bench.outcomes == [Outcome.TIMED_OUT]
