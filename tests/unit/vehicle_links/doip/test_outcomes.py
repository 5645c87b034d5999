"""Whatever happens to the connection or the ECU: the outcome is truthful, nothing hangs, nothing is done twice."""

import asyncio
import random
from typing import Any

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService
from tests.unit.vehicle_links.doip.conftest import VIN, Bench, Relay, bench_of, dialled
from vehicle_links.doip import ecu as ecu_module
from vehicle_simulator.fault_memory import FaultMemory, FaultType, StoredFault

# DoIP header, addresses, UDS bytes. Up: tester present, then 0x14 FF FF FF. Down: two acknowledgements, two answers.
UP = (8 + 4 + 2) + (8 + 4 + 4)
DOWN = (8 + 5) + (8 + 4 + 2) + (8 + 5) + (8 + 4 + 1)
CUTS = [("up", after) for after in range(UP + 1)] + [("down", after) for after in range(DOWN + 1)]

TRUTHS = {
    Outcome.COMPLETED: (1,),
    Outcome.FAILED: (0,),
    Outcome.NOT_HANDED_OVER: (0,),
    # The fate is unknown: what is not repeatable ends OUTCOME_UNKNOWN.
    Outcome.LOST: (0, 1),
    Outcome.TIMED_OUT: (0, 1),
}


def check(bench: Bench, name: str, outcome: Outcome, before: int = 0) -> None:
    executed = bench.witness.executed(name) - before
    assert executed in TRUTHS[outcome.kind], (executed, outcome)


@pytest.fixture(scope="module", params=[CUTS[start::4] for start in range(4)], ids=["0", "1", "2", "3"])
def cuts(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_connection_cut_between_any_two_bytes(bench: Bench, cuts: list[tuple[str, int]]) -> None:
    kinds = [(await cut_off(bench, bench.relay, *cut))[0] for cut in cuts]
    assert set(kinds) >= {Outcome.LOST, Outcome.NOT_HANDED_OVER}


async def cut_off(bench: Bench, relay: Relay, direction: str, after: int) -> tuple["Outcome.Kind.ValueType", bool]:
    """What became of a change whose connection was cut after so many bytes, and whether there were so many."""
    before = bench.witness.executed("ClearDTC")
    sessions, broken = bench.sessions, relay.cuts
    relay.cut_after(direction, after)
    outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
    check(bench, "ClearDTC", outcome, before)
    was_cut = relay.cuts != broken
    if not was_cut:  # the last byte but none: nothing was left to be cut off
        assert outcome.kind == Outcome.COMPLETED
        relay.cut()
    await bench.redialled(sessions)
    return outcome.kind, was_cut


async def test_before_anything_left_it_goes_back_to_the_queue(bench: Bench) -> None:
    """The tester present before the first request is not the command."""
    bench.relay.cut_after("up", 5)
    outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
    assert outcome.kind == Outcome.NOT_HANDED_OVER


async def test_a_reading_that_was_cut_off_may_be_tried_again(bench: Bench) -> None:
    bench.relay.cut_after("down", DOWN - 5)
    outcome = await bench.outcome(await bench.dispatch("ReadDTC"))
    assert (outcome.kind, outcome.code) == (Outcome.LOST, "VEHICLE_CONNECTION_LOST")
    await bench.online()
    await bench.completed("ReadDTC")


@pytest.mark.parametrize("name", ["DISCONNECT", "FORGET", "CRASH"])
@pytest.mark.parametrize("after", [0, 1])
async def test_an_ecu_that_restarts_in_the_middle(bench: Bench, name: str, after: int) -> None:
    bench.script(f"{name.lower()}:after={after},seconds=0.1,times=1,command=RoutineControl")
    sessions = bench.sessions
    outcome = await bench.outcome(await bench.dispatch("RoutineControl", routineId="0x0203", action="start"))
    check(bench, "RoutineControl", outcome)
    await bench.redialled(sessions)
    await bench.completed("ReadDataByID", dataId="0xF190")


async def test_an_answer_to_a_lost_connection_is_not_taken_for_the_next_ones(bench: Bench) -> None:
    """The entity routes it to the tester's new connection, where the same is asked again."""
    bench.script("slow:seconds=0.4,times=1")
    first = await bench.dispatch("RoutineControl", ecuAddress="0x18", routineId="0x0203", action="start")
    await until(lambda: len(bench.witness.answers) >= 1)
    await asyncio.sleep(0.05)
    sessions = bench.sessions
    bench.relay.cut()
    assert (await bench.outcome(first)).kind in (Outcome.LOST, Outcome.NOT_HANDED_OVER)
    await bench.redialled(sessions)
    before = len(bench.witness.answers)
    await bench.completed("RoutineControl", ecuAddress="0x18", routineId="0x0203", action="start")
    assert len(bench.witness.answers) > before


async def test_silence_ends_with_the_timeout_and_the_next_command_is_not_confused(bench: Bench) -> None:
    bench.script("slow:seconds=0.6,times=1,command=ClearDTC")
    silent = await bench.dispatch("ClearDTC", timeout_ms=300)
    assert (await bench.outcome(silent)).kind == Outcome.TIMED_OUT
    responses, outcome = await bench.run("ReadDTC")
    assert outcome.kind == Outcome.COMPLETED
    assert responses[-1]["count"] == 0  # what timed out was done, late, and before this
    assert bench.witness.executed("ClearDTC") == 1


@pytest.mark.parametrize("name", ["ClearDTC", "ReadDTC"])
async def test_a_timer_that_fires_early_stops_nothing(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of some event loops do, by up to a millisecond."""
    wait = asyncio.wait

    async def hasty(tasks: Any, *, timeout: float | None = None, **options: Any) -> Any:
        return await wait(tasks, timeout=timeout and timeout / 2, **options)

    await bench.completed("ReadDTC")
    monkeypatch.setattr(asyncio, "wait", hasty)
    bench.script(f"pending:pending=1,times=1,command={name}")
    bench.script(f"silent:times=1,command={name}")
    command = await bench.dispatch(name, timeout_ms=1000)
    await until(lambda: bench.progress(command))
    if name == "ClearDTC":  # which cannot be stopped any more
        await bench.world.dispatch.cancel(command)
    assert (await bench.outcome(command)).kind == Outcome.TIMED_OUT


async def test_what_came_of_it_after_the_timeout_is_kept_as_evidence(bench: Bench) -> None:
    bench.script("slow:seconds=0.5,times=1,command=ClearDTC")
    late = await bench.dispatch("ClearDTC", timeout_ms=200)
    assert (await bench.outcome(late)).kind == Outcome.TIMED_OUT
    await until(lambda: len(bench.world.service.results(late)) == 3)
    _, answer, end = bench.world.service.results(late)
    assert answer.response == '{"ecuAddress":"0x10"}'
    assert end.outcome.kind == Outcome.COMPLETED


async def test_a_silent_ecu_that_is_asked_again_is_told_apart_from_one_that_is_not_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecu_module, "_SILENCE_SECONDS", 0.2)
    bench.script("slow:seconds=1.5,times=1,command=ReadDTC")
    assert (await bench.outcome(await bench.dispatch("ReadDTC", timeout_ms=200))).kind == Outcome.TIMED_OUT
    _, outcome = await bench.run("ClearDTC")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "ECU_NOT_REACHABLE")
    assert bench.witness.executed("ClearDTC") == 0


async def test_an_answer_that_comes_twice_counts_once(bench: Bench) -> None:
    bench.script("duplicate:")
    for _ in range(3):
        await bench.completed("ClearDTC")
        await bench.completed("WriteDataByID", dataId="0xF198", value="0x53")
    assert (bench.witness.executed("ClearDTC"), bench.witness.executed("WriteDataByID")) == (3, 3)


@pytest.mark.parametrize("name", ["ReadDTC", "ClearDTC"])
async def test_garbage_fails_the_command_with_its_bytes_and_nothing_else(bench: Bench, name: str) -> None:
    bench.script(f"garbage:times=1,command={name}")
    _, outcome = await bench.run(name)
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
    assert "0x00BADBAD" in outcome.message
    assert ("it may or may not have taken effect" in outcome.message) == (name == "ClearDTC")
    assert outcome.unreadable == "0x00BADBAD"
    await bench.completed(name)
    assert bench.sessions == 1


async def test_of_a_long_answer_that_makes_no_sense_every_byte_is_kept(bench: Bench) -> None:
    garbage = b"\x59\x02" + random.Random(1).randbytes(20_000)
    bench.witness.spoil = lambda answer: garbage
    _, outcome = await bench.run("ReadDTC")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
    assert outcome.unreadable == f"0x{garbage.hex().upper()}"
    assert len(outcome.message) < 1000


CORRUPTIONS = {
    "header": lambda data: b"\x00" + data[1:],
    "length": lambda data: data[:4] + b"\x00\x10\x00\x00" + data[8:],
    "huge length": lambda data: data[:4] + b"\xff" * 4 + data[8:],
    "too short": lambda data: b"\x02\xfd\x80\x02\x00\x00\x00\x01\x00" + data,
    "refusal": lambda data: b"\x02\xfd\x00\x00\x00\x00\x00\x01\x02" + data,
    "noise": lambda data: bytes(reversed(data)),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
async def test_corrupted_messages_end_the_connection_and_not_more(
    bench: Bench, corruption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecu_module, "ACK_SECONDS", 0.3)
    sessions = bench.sessions
    bench.relay.corrupt["down"] = CORRUPTIONS[corruption]
    outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
    check(bench, "ClearDTC", outcome)
    assert outcome.kind != Outcome.COMPLETED
    bench.relay.corrupt.clear()
    await bench.redialled(sessions)
    await bench.completed("ClearDTC")


@pytest.mark.parametrize(
    ("corruption", "kept"), [("header", "0x00FD8002"), ("huge length", "0x02FD8002FFFFFFFF"), ("too short", "0x00")]
)
async def test_what_ended_the_connection_is_kept_with_the_command(bench: Bench, corruption: str, kept: str) -> None:
    await bench.completed("ReadDTC")
    bench.relay.corrupt["down"] = CORRUPTIONS[corruption]
    outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
    assert outcome.kind == Outcome.LOST
    assert outcome.unreadable.startswith(kept)


async def test_slow_bytes_are_no_trouble(bench: Bench) -> None:
    bench.relay.delay_s = 0.05
    await bench.completed("ClearDTC")
    await bench.completed("ReadDTC")


async def test_messages_that_arrive_in_single_bytes(bench: Bench) -> None:
    bench.relay.byte_by_byte = True
    await bench.completed("ClearDTC")
    await bench.completed("ReadDTC")


async def test_an_answer_of_many_kilobytes_is_recorded_as_fast_as_that_goes(bench: Bench) -> None:
    faults = [StoredFault(FaultType(0x100000 + number, "", 3), 0x2F) for number in range(3000)]
    bench.vehicle.ecu(0x10).memory = FaultMemory(faults)
    responses = await bench.completed("ReadDTC")
    assert [response.get("code") for response in responses[:-1]] == [f"0x{fault.type.code:06X}" for fault in faults]
    assert responses[-1] == {"ecuAddress": "0x10", "count": 3000}


CATALOGUE: list[tuple[str, dict[str, Any]]] = [
    ("ReadDTC", {}),
    ("ReadDTCDetails", {"dtcCode": "0x042011"}),
    ("ClearDTC", {"dtcCode": "P0420"}),
    ("ReadDataByID", {"dataId": "0xF190"}),
    ("WriteDataByID", {"dataId": "0xF198", "value": "0x53"}),
    ("RoutineControl", {"routineId": "0x0203", "action": "start"}),
    ("ECUReset", {"resetType": "soft"}),
    ("StreamDataByID", {"dataIds": ["0xF40C"], "interval_ms": 10, "duration_s": 0.03}),
    ("ReadDTC", {"ecuAddress": "0xE400"}),
]


@pytest.mark.parametrize(("name", "params"), CATALOGUE, ids=lambda value: value if isinstance(value, str) else "")
async def test_any_answer_ends_the_command_and_harms_nothing_else(
    bench: Bench, name: str, params: dict[str, Any]
) -> None:
    chance = random.Random(name)
    for _ in range(12):
        bench.witness.spoil = lambda answer: _spoilt(answer, chance)
        _, outcome = await bench.run(name, **params)
        assert outcome.kind in (Outcome.COMPLETED, Outcome.FAILED), outcome
        known = ("BAD_VEHICLE_RESPONSE", "NEGATIVE_RESPONSE", "DTC_NOT_STORED", "ECU_NOT_REACHABLE")
        assert outcome.kind == Outcome.COMPLETED or outcome.code in known, outcome
    bench.witness.spoil = None
    await bench.completed("ReadDTC")
    assert bench.sessions == 1


def _spoilt(answer: bytes, chance: random.Random) -> bytes:
    """Cut off, changed in one byte, or anything at all. Never response pending, which would be waited for."""
    cut, at = chance.randrange(1, len(answer) + 1), chance.randrange(len(answer))
    changed = answer[:at] + bytes((chance.randrange(256),)) + answer[at + 1 :]
    spoilt = chance.choice((answer, answer[:cut], changed, chance.randbytes(chance.randrange(1, 20))))
    return answer if spoilt[:1] == b"\x7f" and spoilt[2:] in (b"\x78", b"\x21") else spoilt


# --- cancels


async def test_a_reading_is_stopped_at_once(bench: Bench) -> None:
    bench.script("pending:pending=100,seconds=0.1,command=ReadDTC,times=1")
    command = await bench.dispatch("ReadDTC")
    await until(lambda: bench.progress(command))
    await bench.world.dispatch.cancel(command)
    assert (await bench.outcome(command, 1)).kind == Outcome.CANCELLED


async def test_what_is_at_the_ecu_cannot_be_stopped(bench: Bench) -> None:
    bench.script("pending:pending=3,seconds=0.1,command=ClearDTC")
    command = await bench.dispatch("ClearDTC")
    await until(lambda: bench.progress(command))
    await bench.world.dispatch.cancel(command)
    assert (await bench.outcome(command)).kind == Outcome.COMPLETED


# --- being dialled


async def test_a_vehicle_that_is_no_longer_assigned_is_let_go(bench: Bench) -> None:
    bench.world.service.assign()
    await until(lambda: bench.world.service.closed)
    await asyncio.sleep(0.2)
    assert bench.sessions == 1
    bench.world.service.assign(dialled(f"127.0.0.1:{bench.relay.port}"))
    await until(lambda: bench.sessions == 2)


async def test_another_vehicle_at_the_address_is_not_spoken_to(bench: Bench) -> None:
    other = "WDD0987654321ZYXW"
    bench.world.service.assign(dialled(f"127.0.0.1:{bench.entity.port}", other))
    await until(lambda: bench.world.service.closed)
    await asyncio.sleep(0.3)
    assert [opened.vin for opened in bench.world.service.opened] == [VIN]


async def test_a_vehicle_that_is_away_is_dialled_until_it_is_back(bench: Bench) -> None:
    await bench.entity.stop()
    await until(lambda: bench.world.service.closed)
    await bench.entity.start("127.0.0.1", bench.entity.port)
    await until(lambda: bench.sessions == 2)
    await bench.online()
    await bench.completed("ReadDTC")


async def test_a_lease_that_lapses_lets_idle_vehicles_go(worlds: Worlds) -> None:
    """Another connector may be given the vehicle meanwhile."""
    async with bench_of(worlds, {"service": FakeCommandService(lease_ms=800)}) as bench:
        await bench.world.service.stop()
        await until(lambda: not bench.entity.connections, 5)
        await bench.world.service.start()
        await until(lambda: bench.sessions == 2)
        assert [end.reason for end in bench.world.service.closed] == ["lease_lapsed"]


async def test_a_stopping_connector_finishes_what_runs_and_lets_the_vehicle_go(worlds: Worlds) -> None:
    async with bench_of(worlds, {"drain_seconds": 8, "move_spread_seconds": 2}) as bench:
        bench.script("pending:pending=3,seconds=0.1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        await until(lambda: bench.progress(command))
        await bench.world.connector.stop()
        assert (await bench.outcome(command)).kind == Outcome.COMPLETED
        assert [end.reason for end in bench.world.service.closed] == ["closed"]
        await until(lambda: not bench.entity.connections)


async def test_a_connector_that_has_no_more_time_says_that_the_fate_is_unknown(worlds: Worlds) -> None:
    async with bench_of(worlds) as bench:
        bench.script("pending:pending=100,seconds=0.1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        await until(lambda: bench.progress(command))
        await bench.world.connector.stop()
        assert (await bench.outcome(command)).kind == Outcome.LOST


async def test_an_unknown_kind_of_link_harms_nobody(bench: Bench) -> None:
    mine = dialled(f"127.0.0.1:{bench.relay.port}")
    bench.world.service.assign(mine, dialled("somewhere", "WDD0987654321ZYXW", "pigeon"))
    await bench.completed("ReadDTC")
    assert bench.sessions == 1


async def test_the_entity_sees_one_connection_and_its_alive_checks_are_answered(bench: Bench) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.entity.port)
    writer.write(bytes.fromhex("02FD000500000007 0E00 00 00000000"))
    answer = await asyncio.wait_for(reader.readexactly(17), 5)
    writer.close()
    assert answer[12] == 0x03  # this tester is active on another connection
    await bench.completed("ReadDTC")
    assert bench.sessions == 1
