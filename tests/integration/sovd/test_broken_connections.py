"""Connections that break, stall, double and corrupt: what is said of a command is true, and nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sovd.bench import Attempt, Bench, address_of, bench_of, executed, linked, served
from tests.integration.sovd.fake_server import ECM, Reply, fake_server
from tests.integration.sovd.meddler import Meddler, Meddling, meddled
from tests.support.waiting import until
from vehicle_links.sovd.http import ConnectionLost, SovdHttp

READ = ("ReadDataByID", {"dataId": "0xF190"})
WRITE = ("WriteDataByID", {"dataId": "0x2001", "value": "0x0320"})
START = ("RoutineControl", {"routineId": "0x0203", "action": "start"})
# How a command may end whose connection broke; "lost" becomes OUTCOME_UNKNOWN, or a second try if it may be repeated.
DONE, LOST = ("completed", ""), ("lost", "VEHICLE_CONNECTION_LOST")
UNREADABLE = ("failed", "BAD_VEHICLE_RESPONSE")
EXECUTIONS = f"{ECM}/operations/0x0203/executions"
# The request that stays without an answer.
CHANGES = [("PUT", f"{ECM}/data/0x2001", WRITE), ("POST", EXECUTIONS, START), ("GET", f"{EXECUTIONS}/e1", START)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@asynccontextmanager
async def meddled_bench(ledger: Path, **rules: Any) -> AsyncIterator[tuple[Meddler, Bench]]:
    """Dialled and warm: what is asked only once has been asked."""
    async with (
        served(ledger=ledger) as server,
        meddled(server.port) as meddler,
        linked(address_of(server, port=meddler.port), alive_seconds=60, **rules) as bench,
    ):
        for name, parameters in (READ, WRITE, START):
            assert (await bench.run(name, **parameters)).outcome == DONE
        yield meddler, bench


async def run_meddled(
    meddler: Meddler, bench: Bench, command: tuple[str, dict[str, Any]], meddling: Meddling
) -> tuple[Attempt, bool]:
    """What came of it, and whether there was something to meddle with."""
    meddler.arm(meddling)
    attempt = bench.start(command[0], **command[1])
    try:
        await until(lambda: attempt.finished or bench.link.idle, 10)
    finally:
        meddled_with = meddler.done
        meddler.arm(Meddling())
    return attempt, meddled_with


def _cut(direction: str, at: int) -> Meddling:
    return Meddling(cut_up=at) if direction == "up" else Meddling(cut_down=at)


@pytest.mark.parametrize("command", [READ, WRITE], ids=lambda command: command[0])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_cut_after_any_byte(ledger: Path, command: tuple[str, dict[str, Any]], direction: str) -> None:
    """Between two bytes of the exchange: the first ones each, then in steps that do not fit its parts."""
    at = 0
    async with meddled_bench(ledger) as (meddler, bench):
        while True:
            attempt, was_cut = await run_meddled(meddler, bench, command, _cut(direction, at))
            times = len(executed(ledger, attempt.command.command_id))
            assert times <= 1 or attempt.command.repeatable
            if attempt.finished is None:  # it never began: it goes back to the queue
                assert (attempt.begun, times) == (0, 0)
            elif attempt.outcome == DONE:
                assert times >= 1
            else:
                assert attempt.outcome == LOST
            if was_cut:
                at += 1 if at < 8 else 53
            elif attempt.finished and attempt.outcome == DONE:  # otherwise the server closed an idle connection
                break
    assert at > 100


@pytest.mark.parametrize("command", [READ, WRITE], ids=lambda command: command[0])
async def test_any_byte_corrupted(ledger: Path, command: tuple[str, dict[str, Any]]) -> None:
    """Whatever is then understood, it ends, is not done again, and what cannot be read is kept."""
    at, ends = 0, set()
    async with meddled_bench(ledger) as (meddler, bench):
        while True:
            attempt, was_flipped = await run_meddled(meddler, bench, command, Meddling(flip=at))
            assert len(executed(ledger, attempt.command.command_id)) <= 1
            if attempt.finished is not None:
                ends.add(attempt.outcome)
                if attempt.outcome == UNREADABLE:
                    assert attempt.finished.message
            if was_flipped:
                at += 17
            elif attempt.finished and attempt.outcome == DONE:
                break
        assert (await bench.run(*READ[:1], **READ[1])).outcome == DONE  # the link itself is unharmed
    assert {DONE, UNREADABLE} <= ends


async def test_an_answer_that_comes_twice_is_not_taken_for_the_next_one(ledger: Path) -> None:
    async with meddled_bench(ledger) as (meddler, bench):
        meddler.arm(Meddling(double=True))
        for _ in range(3):
            read = await bench.run("ReadDataByID", dataId="0xF190")
            assert read.outcome == UNREADABLE or read.responses[0]["name"] == "VIN"
            faults = await bench.run("ReadDTC")
            assert faults.outcome == UNREADABLE or faults.responses[-1] == {"ecuAddress": "0x10", "count": 2}
            written = await bench.run(*WRITE[:1], **WRITE[1])
            assert written.outcome in (DONE, UNREADABLE)
            assert len(executed(ledger, written.command.command_id)) <= 1


async def test_slow_answers_are_awaited(ledger: Path) -> None:
    async with meddled_bench(ledger) as (meddler, bench):
        meddler.arm(Meddling(delay=0.3))
        attempt = await bench.run(*WRITE[:1], **WRITE[1])
        assert attempt.outcome == DONE


async def test_a_vehicle_that_is_gone_ends_the_link(ledger: Path) -> None:
    async with served(ledger=ledger) as server, bench_of(server, alive_seconds=0.2) as bench:
        lasting = asyncio.create_task(bench.link.lasts())
        await asyncio.sleep(0.5)
        assert not lasting.done()
        await server.close()
        async with asyncio.timeout(10):
            assert await lasting


async def test_what_reads_does_not_keep_a_link_that_is_broken(ledger: Path) -> None:
    """A stream may last an hour: those who wait for the vehicle do not wait for its end."""
    async with meddled_bench(ledger) as (meddler, bench):
        lasting = asyncio.create_task(bench.link.lasts())
        silent = bench.start("StreamDataByID", dataIds=["0xF40C"], interval_ms=100, duration_s=3600)
        await until(lambda: silent.responses)
        assert meddler.listener is not None
        meddler.listener.close()
        attempt = bench.start("ClearDTC")
        async with asyncio.timeout(10):
            await lasting
        assert (attempt.begun, silent.outcome) == (0, LOST)


@pytest.mark.parametrize(("method", "path", "command"), CHANGES)
async def test_a_change_does_not_keep_a_link_to_a_vehicle_that_went_silent(
    method: str, path: str, command: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its power is cut: the connection stands as far as anyone can tell, and no answer will ever come."""
    monkeypatch.setattr("vehicle_links.sovd.link._ASK_SECONDS", 0.3)
    silence = Reply(raw=b"")
    answers: dict[tuple[str, str], Any] = {("POST", EXECUTIONS): Reply(202, {"id": "e1"}), (method, path): silence}
    async with fake_server(answers) as server, linked(server.address, alive_seconds=0.1) as bench:
        lasting = asyncio.create_task(bench.link.lasts())
        attempt = bench.start(command[0], timeout_ms=60_000, **command[1])
        await until(lambda: server.asked(method, path))
        server.answers["GET", "/components"] = silence
        async with asyncio.timeout(20):
            await lasting
        assert attempt.outcome == LOST
        assert len(server.asked(method, path)) == 1


async def test_a_change_under_way_outlasts_a_link_that_another_command_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vehicle_links.sovd.locks._ASK_SECONDS", 0.1)
    tcm = {"id": "tcm", "name": "TCM", "variant": {"logical_address": "0x18"}, "locks": "locks"}
    answers: dict[tuple[str, str], Any] = {
        ("GET", "/components"): {"items": [{"id": "ecm", "name": "ECM"}, {"id": "tcm", "name": "TCM"}]},
        ("GET", "/components/tcm"): tcm,
        ("POST", "/components/tcm/locks"): Reply(raw=b""),
        ("POST", EXECUTIONS): Reply(202, {"id": "e1"}),
        ("GET", f"{EXECUTIONS}/e1"): Reply(202, {"status": "running"}),
    }
    async with fake_server(answers) as server, linked(server.address, alive_seconds=60) as bench:
        lasting = asyncio.create_task(bench.link.lasts())
        routine = bench.start("RoutineControl", routineId="0x0203", action="start")
        await until(lambda: routine.responses)
        asked = len(server.asked("GET", "/components"))
        not_sent = bench.start("ClearDTC", ecuAddress="0x18")
        await until(lambda: len(server.asked("GET", "/components")) > asked, 10)
        server.answers["GET", f"{EXECUTIONS}/e1"] = {"status": "completed"}
        async with asyncio.timeout(20):
            await lasting
        assert (not_sent.begun, not_sent.finished) == (0, None)
        assert routine.outcome == DONE


async def test_a_connection_that_was_just_closed_is_no_reason_to_give_up(ledger: Path) -> None:
    async with meddled_bench(ledger) as (meddler, bench):
        meddler.cut_all()
        meddler.refuse_next = 1
        assert (await bench.run(*WRITE[:1], **WRITE[1])).outcome == DONE
        assert meddler.refuse_next == 0


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_link_that_is_closed_leaves_no_connection_open(fresh: bool) -> None:
    """However far it has come with what it asks: its connection may only just be made."""
    async with fake_server({}) as server:
        for steps in range(30):
            http = SovdHttp(server.address)
            asking = asyncio.create_task(http.request("GET", "/components", fresh=fresh))
            for _ in range(steps):
                await asyncio.sleep(0)
            await http.close()
            with suppress(ConnectionLost):
                await asking
        await until(lambda: not server.open)
        with pytest.raises(ConnectionLost):
            await http.request("GET", "/components", fresh=fresh)
        await until(lambda: not server.open)


# --- the simulator's fault script


@pytest.mark.parametrize("command", [WRITE, START, ("ClearDTC", {}), ("ECUReset", {"resetType": "hard"})])
async def test_an_effect_whose_answer_is_cut_off_is_unknown_and_done_once(
    ledger: Path, command: tuple[str, dict[str, Any]]
) -> None:
    faults = f"disconnect:after=1,command={command[0]},times=1"
    async with served(ledger=ledger, faults=faults) as server, bench_of(server) as bench:
        attempt = await bench.run(command[0], **command[1])
        assert attempt.outcome == LOST
        assert len(executed(ledger, attempt.command.command_id)) == 1


async def test_a_read_whose_answer_is_cut_off_is_lost_and_may_be_tried_again(ledger: Path) -> None:
    faults = "disconnect:after=1,command=ReadDTC,times=1"
    async with served(ledger=ledger, faults=faults) as server, bench_of(server) as bench:
        assert (await bench.run("ReadDTC")).outcome == LOST
        assert (await bench.run("ReadDTC")).outcome == DONE


async def test_a_silent_vehicle_is_not_asked_again_and_what_nobody_awaits_is_left_off(ledger: Path) -> None:
    async with served(ledger=ledger, faults="silent:command=ClearDTC") as server, bench_of(server) as bench:
        attempt = bench.start("ClearDTC", timeout_ms=200)
        await asyncio.sleep(0.3)
        bench.link.cancel(attempt.command.key)  # as the connector does when the time is over
        await asyncio.sleep(0.2)
        assert attempt.finished is None  # it may still have an effect, and a late answer would be evidence
        bench.link.release(attempt.command.key)
        await until(lambda: bench.link.idle)
        assert attempt.begun == 1


async def test_a_silent_read_is_left_off_when_its_time_is_over(ledger: Path) -> None:
    async with served(ledger=ledger, faults="silent:command=ReadDTC") as server, bench_of(server) as bench:
        attempt = bench.start("ReadDTC")
        await until(lambda: attempt.begun)
        bench.link.cancel(attempt.command.key)
        await bench.ended(attempt)
        assert attempt.outcome == ("cancelled", "CANCELLED")


async def test_a_negative_response_after_pending_ones(ledger: Path) -> None:
    faults = "negative:nrc=0x22,pending=3,seconds=0.05"
    async with served(ledger=ledger, faults=faults) as server, bench_of(server) as bench:
        attempt = await bench.run("ClearDTC")
        assert attempt.outcome == ("failed", "NEGATIVE_RESPONSE")
        assert attempt.finished is not None
        assert attempt.finished.nrc == 0x22
        assert executed(ledger, attempt.command.command_id) == []


async def test_garbage_is_a_failure_that_keeps_what_came() -> None:
    faults = "garbage:command=ReadDTC,times=1; garbage:command=RoutineControl,times=1"
    async with served(faults=faults) as server, bench_of(server) as bench:
        attempt = await bench.run("ReadDTC")
        assert attempt.outcome == UNREADABLE
        assert attempt.finished is not None
        assert "this is no JSON object" in attempt.finished.message
        effect = await bench.run("RoutineControl", routineId="0x0203", action="start")
        assert effect.outcome == UNREADABLE
        assert effect.finished is not None
        assert "may or may not have taken effect" in effect.finished.message
        assert (await bench.run("ReadDTC")).outcome == DONE


async def test_a_duplicated_answer_is_taken_once() -> None:
    async with served(faults="duplicate") as server, bench_of(server) as bench:
        for _ in range(3):
            assert (await bench.run("ReadDTC")).responses[-1]["count"] == 2
            assert (await bench.run("ReadDataByID", dataId="0xF190")).responses[0]["value"] == server_vin(server)


def server_vin(server: Any) -> str:
    return str(next(iter(server.vehicles)))


async def test_a_vehicle_that_restarts_has_forgotten_its_executions() -> None:
    async with served(faults="forget:command=ReadDTC,times=1") as server, bench_of(server) as bench:
        started = await bench.run("RoutineControl", routineId="0x0203", action="start")
        assert started.outcome == DONE
        assert (await bench.run("ReadDTC")).outcome == LOST
        results = await bench.run("RoutineControl", routineId="0x0203", action="requestResults")
        assert results.outcome == ("failed", "NOT_FOUND_ON_VEHICLE")


async def test_a_stream_whose_events_break_off_is_lost() -> None:
    faults = "disconnect:after=3,command=StreamDataByID"
    async with served(faults=faults) as server, bench_of(server) as bench:
        attempt = await bench.run("StreamDataByID", dataIds=["0xF40C"], interval_ms=50, duration_s=30)
        assert attempt.outcome == LOST
        assert 1 <= len(attempt.responses) <= 3  # those that came in one piece are too many for the interval
