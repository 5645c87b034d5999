"""What a vehicle keeps of a command, and how much of it goes at once."""

import asyncio
from collections.abc import AsyncGenerator

from sovd_protos.session.v1.session_pb2 import Cancel, Execute, Finished, Resume
from vehicle_session.executions import Executions
from vehicle_session.held_command import MOST_KEPT, MOST_KEPT_BYTES, UPDATE_OVERHEAD, Held, Update
from vehicle_simulator.ledger import ExecutionLedger


def _held(responses: int, credit: int = 1000) -> Held:
    held = Held(Execute(command_id="c1", attempt=1, initial_credit=credit))
    for number in range(responses):
        held.add(f"response {number + 1}")
    return held


def _take(held: Held, budget: int = 1_000_000) -> list[int]:
    return [update.number for update in held.take_ready(budget)[0]]


def test_a_message_has_a_budget_but_at_least_one_update_of_it() -> None:
    held = _held(5)
    size = len("response 1") + UPDATE_OVERHEAD
    assert _take(held, 2 * size) == [1, 2]
    assert _take(held, 1) == [3]
    assert _take(held, 0) == []
    assert held.has_ready
    assert _take(held) == [4, 5]
    assert not held.has_ready


def test_credit_and_records_only_ever_grow() -> None:
    held = _held(5, credit=2)
    assert _take(held) == [1, 2]
    held.record(recorded=2, allowed=4)
    held.record(recorded=1, allowed=3)
    assert (held.recorded, held.allowed) == (2, 4)
    assert _take(held) == [3, 4]


def test_a_resume_goes_back_but_not_behind_what_is_recorded() -> None:
    held = _held(5)
    _take(held)
    held.record(recorded=2, allowed=10)
    held.suspend()
    assert _take(held) == []
    held.resume(next_number=2, credit=2)
    assert _take(held) == [3, 4]
    held.suspend()
    held.resume(next_number=5, credit=2)
    assert _take(held) == [5]
    assert held.is_sent


def test_a_resume_may_be_ahead_of_what_the_vehicle_knows() -> None:
    held = _held(1)
    held.resume(next_number=4, credit=1)
    held.add("next")
    assert _take(held) == [4]


async def test_an_executor_far_ahead_waits_for_room() -> None:
    held = _held(MOST_KEPT)
    waiting = asyncio.ensure_future(held.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    held.record(recorded=1, allowed=1000)
    await asyncio.wait_for(waiting, 5)
    await held.room()


async def test_an_executor_that_says_much_waits_sooner() -> None:
    held = _held(0)
    held.add("x" * MOST_KEPT_BYTES)
    assert held.is_full
    held.record(recorded=1, allowed=1000)
    assert not held.is_full


class _Chatty:
    """Says far more than may be kept, as fast as it can."""

    def __init__(self) -> None:
        self.said = 0

    async def execute(self, command: Execute) -> AsyncGenerator[Update, None]:
        for _ in range(3 * MOST_KEPT):
            self.said += 1
            yield "{}"
        yield Finished(kind=Finished.COMPLETED)

    def stop(self, command: Execute) -> bool:
        return False


async def test_what_nobody_records_slows_the_executor_down() -> None:
    chatty, woken = _Chatty(), asyncio.Event()
    executions = Executions("VIN", chatty, ExecutionLedger(), woken.set)
    executions.take([Execute(command_id="c1", attempt=1, repeatable=True, initial_credit=10_000)])
    await woken.wait()
    await asyncio.sleep(0)
    assert chatty.said == MOST_KEPT
    sent = executions.next_updates(1_000_000)
    executions.suspend()
    assert not executions.next_updates(1_000_000)
    executions.resume(Resume(command_id="c1", attempt=1, wanted=True, next_number=MOST_KEPT + 1, initial_credit=10_000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sent += executions.next_updates(1_000_000)
    assert [update.number for update in sent] == list(range(1, 2 * MOST_KEPT + 1))
    executions.forget_all()
    assert not executions.held


async def test_a_message_takes_what_fits_of_many_commands() -> None:
    executions = Executions("VIN", _Chatty(), ExecutionLedger(), lambda: None)
    executions.take(
        [Execute(command_id=f"c{number}", attempt=1, repeatable=True, initial_credit=10) for number in range(3)]
    )
    await asyncio.sleep(0)
    messages = []
    while updates := executions.next_updates(15 * (UPDATE_OVERHEAD + 2)):
        messages.append(len(updates))
    assert messages == [15, 15]


async def test_what_is_not_held_is_nobodys_business() -> None:
    executions = Executions("VIN", _Chatty(), ExecutionLedger(), lambda: None)
    executions.resume(Resume(command_id="c1", attempt=1, wanted=True, next_number=1))
    executions.cancel(Cancel(command_id="c1", attempt=1))
    assert not executions.held


async def test_a_resume_behind_the_end_lets_go() -> None:
    executions = Executions("VIN", _Chatty(), ExecutionLedger(), lambda: None)
    first = Execute(command_id="c1", attempt=1, initial_credit=10)
    executions.take([first])
    executions.forget_all()
    executions.take([first])  # not repeatable: refused, with one update
    assert executions.held == [("c1", 1)]
    executions.resume(Resume(command_id="c1", attempt=1, wanted=True, next_number=2, initial_credit=10))
    assert not executions.held
