"""Whatever happens to either connection of an agent, or to the vehicle: what is said is true, nothing is done twice."""

from functools import partial
from pathlib import Path

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.integration.sovd.bench import address_of, executed, served
from tests.integration.sovd.meddler import Meddler, Meddling, meddled
from tests.support.waiting import until
from tests.unit.vehicle_agent.conftest import AgentBench
from tests.unit.vehicle_links.doip.test_outcomes import CORRUPTIONS, CUTS, TRUTHS, check, cut_off
from vehicle_links.doip import ecu as ecu_module

# After each of the first bytes, then in steps that fit no part of an exchange; the links' own tests go by every byte.
EACH = 9
STEP_OF_SESSION, STEP_OF_HTTP = 13, 53
AT_ONCE = {"redial_max_seconds": 0.02, "reconnect_max_seconds": 0.05}


@pytest.mark.parametrize("cuts", [CUTS[::2], CUTS[1::2]], ids=["even", "odd"])
async def test_its_vehicle_is_cut_off_between_any_two_bytes(bench: AgentBench, cuts: list[tuple[str, int]]) -> None:
    async with bench.agent(**AT_ONCE):
        kinds = [(await cut_off(bench, bench.relay, *cut))[0] for cut in cuts]
        assert {Outcome.LOST, Outcome.FAILED} <= set(kinds)
        await bench.completed("ReadDTC")


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_it_is_cut_off_from_its_connector_after_any_byte(bench: AgentBench, direction: str) -> None:
    after, was_cut = 0, True
    async with bench.agent(**AT_ONCE):
        while was_cut:
            before, sessions, cuts = bench.witness.executed("ClearDTC"), bench.sessions, bench.uplink.cuts
            bench.uplink.cut_after(direction, after)
            command = await bench.dispatch("ClearDTC")
            await fate(bench, command, sessions)
            was_cut = bench.uplink.cuts != cuts
            if not was_cut:
                bench.uplink.cut()
            await bench.redialled(sessions)
            outcome, times = bench.world.service.outcome(command), bench.witness.executed("ClearDTC") - before
            # What an agent does not hold it has not got.
            assert times in (TRUTHS[outcome.kind] if outcome else (0,)), outcome
            after += 1 if after < EACH else STEP_OF_SESSION
        await bench.completed("ReadDTC")
    assert after > 60


async def fate(bench: AgentBench, command: str, sessions: int) -> Outcome | None:
    """Its outcome; None when the agent came back without it, of which the command service makes the outcome."""

    def is_known() -> bool:
        later = bench.world.service.opened[sessions:]
        dropped = bool(later) and command not in {held.command_id for held in later[-1].held}
        return dropped or bench.world.service.outcome(command) is not None

    await until(is_known)
    return bench.world.service.outcome(command)


@pytest.mark.parametrize("fault", ["disconnect:after=0", "forget:after=0", "crash:after=0,seconds=0.1"])
async def test_an_ecu_that_restarts_in_the_middle(bench: AgentBench, fault: str) -> None:
    async with bench.agent():
        sessions = bench.sessions
        bench.script(f"{fault},times=1,command=ClearDTC")
        outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
        check(bench, "ClearDTC", outcome)
        assert outcome.kind == Outcome.LOST
        await bench.redialled(sessions)
        await bench.completed("ReadDTC")


async def test_garbage_fails_the_command_with_its_bytes_and_nothing_else(bench: AgentBench) -> None:
    async with bench.agent():
        bench.script("garbage:times=1,command=ClearDTC")
        _, outcome = await bench.run("ClearDTC")
        assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
        assert "0x00BADBAD" in outcome.message
        await bench.completed("ClearDTC")
        assert bench.sessions == 1


async def test_answers_that_come_late_and_twice_count_once(bench: AgentBench) -> None:
    async with bench.agent():
        bench.relay.delay_s = 0.02
        bench.script("duplicate:")
        for _ in range(3):
            await bench.completed("ClearDTC")
            await bench.completed("WriteDataByID", dataId="0xF198", value="0x53")
    assert (bench.witness.executed("ClearDTC"), bench.witness.executed("WriteDataByID")) == (3, 3)


@pytest.mark.parametrize("corruption", ["header", "noise"])
async def test_corrupted_messages(bench: AgentBench, corruption: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecu_module, "ACK_SECONDS", 0.3)
    async with bench.agent():
        sessions = bench.sessions
        bench.relay.corrupt["down"] = CORRUPTIONS[corruption]
        outcome = await bench.outcome(await bench.dispatch("ClearDTC"))
        check(bench, "ClearDTC", outcome)
        assert outcome.kind != Outcome.COMPLETED
        bench.relay.corrupt.clear()
        await bench.redialled(sessions)
        await bench.completed("ClearDTC")


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_its_vehicles_server_is_cut_off_after_any_byte(bench: AgentBench, direction: str, tmp_path: Path) -> None:
    ledger, after, is_whole = tmp_path / "ledger", 0, False
    async with (
        served(ledger=ledger) as server,
        meddled(server.port) as meddler,
        bench.agent(doip_address="", sovd_address=address_of(server, port=meddler.port), **AT_ONCE),
    ):
        while not is_whole:
            await bench.redialled(bench.sessions - 1)
            sessions = bench.sessions
            meddler.arm(Meddling(cut_up=after) if direction == "up" else Meddling(cut_down=after))
            command = await bench.dispatch("ClearDTC")
            await until(partial(was_met, bench, meddler, command))
            was_cut = meddler.done
            meddler.arm(Meddling())  # or it would never be reached again
            outcome = await fate(bench, command, sessions)
            assert len(executed(ledger, command)) in (TRUTHS[outcome.kind] if outcome else (0,)), outcome
            is_whole = not was_cut and outcome is not None and outcome.kind == Outcome.COMPLETED
            after += (1 if after < EACH else STEP_OF_HTTP) * was_cut
        await bench.completed("ReadDTC")
    assert after > 60


def was_met(bench: AgentBench, meddler: Meddler, command: str) -> bool:
    return meddler.done or bench.world.service.outcome(command) is not None
