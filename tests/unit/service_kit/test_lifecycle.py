import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import CapturingLogger

from service_kit import lifecycle as lifecycle_module
from service_kit.lifecycle import Lifecycle, PartFailed


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr(lifecycle_module, "_log", log)
    return log


def events(log: CapturingLogger) -> list[tuple[str, str]]:
    return [(call.method_name, call.args[0]) for call in log.calls]


class Steps(list[str]):
    """Notes the order in which hooks are called."""

    def hook(self, name: str) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            self.append(name)

        return note


def registered(lifecycle: Lifecycle, steps: Steps, prefix: str = "") -> None:
    lifecycle.on_close(steps.hook(f"{prefix}close 1"))
    lifecycle.on_drain(steps.hook(f"{prefix}drain 1"))
    lifecycle.on_close(steps.hook(f"{prefix}close 2"))
    lifecycle.on_stop_intake(steps.hook(f"{prefix}intake 1"))
    lifecycle.on_drain(steps.hook(f"{prefix}drain 2"))
    lifecycle.on_stop_intake(steps.hook(f"{prefix}intake 2"))
    lifecycle.on_ready_change(lambda ready: steps.append(f"{prefix}{'ready' if ready else 'not ready'}"))


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("broken")


async def test_the_stop_order() -> None:
    steps = Steps()
    lifecycle = Lifecycle("demo")
    registered(lifecycle, steps)
    lifecycle.set_ready(True)
    assert lifecycle.ready
    assert not lifecycle.stopping
    await lifecycle.stop()
    assert steps == ["ready", "not ready", "intake 1", "intake 2", "drain 1", "drain 2", "close 2", "close 1"]
    assert lifecycle.stopping


async def test_stops_once_and_all_callers_wait_for_it() -> None:
    steps = Steps()
    may_go_on = asyncio.Event()
    lifecycle = Lifecycle("demo")
    lifecycle.on_drain(may_go_on.wait)
    lifecycle.on_close(steps.hook("close"))
    first, second = asyncio.create_task(lifecycle.stop()), asyncio.create_task(lifecycle.stop())
    second.cancel()  # a caller that gives up does not interrupt the stop
    may_go_on.set()
    await first
    await lifecycle.stop()
    assert steps == ["close"]


async def test_stopping_it_is_never_ready_again() -> None:
    lifecycle = Lifecycle("demo")
    lifecycle.set_ready(True)
    await lifecycle.stop()
    lifecycle.set_ready(True)
    assert not lifecycle.ready


async def test_readiness_is_told_only_when_it_changes() -> None:
    told: list[bool] = []
    lifecycle = Lifecycle("demo")
    lifecycle.on_ready_change(told.append)
    for ready in (False, True, True, False):
        lifecycle.set_ready(ready)
    assert told == [True, False]


async def test_a_drain_that_takes_too_long_is_cut_off_and_the_rest_is_closed(log: CapturingLogger) -> None:
    steps = Steps()
    lifecycle = Lifecycle("demo", drain_seconds=0.01)
    lifecycle.on_drain(forever)
    lifecycle.on_close(steps.hook("close"))
    await lifecycle.stop()
    assert steps == ["close"]
    assert events(log) == [("warning", "drain_deadline_passed")]


async def test_a_step_that_fails_does_not_keep_the_others_from_running(log: CapturingLogger) -> None:
    steps = Steps()
    lifecycle = Lifecycle("demo")
    registered(lifecycle, steps)
    for register in (lifecycle.on_stop_intake, lifecycle.on_drain, lifecycle.on_close):
        register(fail)
    await lifecycle.stop()
    assert steps == ["intake 1", "intake 2", "drain 1", "drain 2", "close 2", "close 1"]
    assert events(log) == [("warning", "stop_step_failed")] * 3


async def test_a_close_that_hangs_is_left_behind(log: CapturingLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle_module, "CLOSE_SECONDS", 0.01)
    steps = Steps()
    lifecycle = Lifecycle("demo")
    lifecycle.on_close(steps.hook("close"))
    lifecycle.on_close(forever)
    await lifecycle.stop()
    assert steps == ["close"]
    assert events(log) == [("warning", "stop_step_failed")]


async def test_background_parts_run_until_what_they_serve_is_drained() -> None:
    running: list[bool] = []
    lifecycle = Lifecycle("demo")
    part = lifecycle.background(forever(), "loop")

    async def note() -> None:
        running.append(not part.done())

    lifecycle.on_drain(note)
    lifecycle.on_close(note)
    await lifecycle.stop()
    assert running == [True, False]
    assert part.cancelled()


async def test_a_part_that_will_not_end_is_left_behind(log: CapturingLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle_module, "CLOSE_SECONDS", 0.01)
    released = asyncio.Event()

    async def stubborn() -> None:
        try:
            await forever()
        finally:
            await released.wait()

    lifecycle = Lifecycle("demo")
    part = lifecycle.background(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await lifecycle.stop()
    assert events(log) == [("warning", "parts_did_not_end")]
    released.set()
    await asyncio.wait([part])


async def test_a_part_that_fails_stops_all_and_is_logged_once(log: CapturingLogger) -> None:
    steps = Steps()
    lifecycle = Lifecycle("demo")
    registered(lifecycle, steps)
    lifecycle.background(forever(), "fine")
    lifecycle.background(fail(), "dispatcher")
    with pytest.raises(PartFailed) as failed:
        await lifecycle.run_until_stopped()
    assert isinstance(failed.value.__cause__, ValueError)
    assert steps[-1] == "close 1"
    assert events(log) == [("error", "part_failed")]
    assert log.calls[0].kwargs["part"] == "dispatcher"


async def test_a_part_that_returns_is_done() -> None:
    lifecycle = Lifecycle("demo")
    await lifecycle.background(asyncio.sleep(0), "recovery")
    lifecycle.request_stop()
    await lifecycle.run_until_stopped()


async def test_a_part_that_fails_while_stopping_does_not_fail_the_service(log: CapturingLogger) -> None:
    async def fail_when_cancelled() -> None:
        try:
            await forever()
        finally:
            raise ValueError("broken")

    lifecycle = Lifecycle("demo")
    lifecycle.background(fail_when_cancelled(), "loop")
    asyncio.get_running_loop().call_soon(lifecycle.request_stop)
    await lifecycle.run_until_stopped()
    assert events(log) == [("warning", "part_failed_while_stopping")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops(number: signal.Signals) -> None:
    steps = Steps()
    lifecycle = Lifecycle("demo")
    lifecycle.on_drain(steps.hook("drain"))
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
    await lifecycle.run_until_stopped()
    assert steps == ["drain"]


async def test_the_second_signal_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    released = asyncio.Event()

    def exit_at_once(code: int) -> None:
        ended.append(code)
        released.set()

    monkeypatch.setattr(os, "_exit", exit_at_once)

    async def second_signal() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await released.wait()

    lifecycle = Lifecycle("demo")
    lifecycle.on_drain(second_signal)
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await lifecycle.run_until_stopped()
    assert ended == [128 + signal.SIGTERM]


async def test_as_a_context_it_closes_what_a_failed_start_had_opened() -> None:
    steps = Steps()

    async def compose() -> None:
        async with Lifecycle("demo") as lifecycle:
            lifecycle.on_close(steps.hook("close"))
            raise ConnectionError("no database")

    with pytest.raises(ConnectionError):
        await compose()
    assert steps == ["close"]


async def test_included_services_stop_before_their_host_the_last_first() -> None:
    steps = Steps()
    host, first, second = Lifecycle("embedded"), Lifecycle("one"), Lifecycle("two")
    for included in (first, second):
        host.include(included)
        included.on_close(steps.hook(included.name))
    host.on_close(steps.hook("embedded"))
    await host.stop()
    assert steps == ["two", "one", "embedded"]


async def test_an_included_service_that_fails_takes_its_host_down(log: CapturingLogger) -> None:
    steps = Steps()
    host, included, other = Lifecycle("embedded"), Lifecycle("gateway"), Lifecycle("other")
    host.include(included)
    host.include(other)
    other.on_close(steps.hook("other"))
    included.background(fail(), "loop")
    with pytest.raises(PartFailed):
        await host.run_until_stopped()
    assert steps == ["other"]
    assert events(log) == [("error", "part_failed")]


async def test_several_run_one_after_the_other_in_one_process() -> None:
    for _ in range(3):
        async with Lifecycle("demo") as lifecycle:
            lifecycle.request_stop()
            await lifecycle.run_until_stopped()
