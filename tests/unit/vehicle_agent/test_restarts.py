"""An agent that is killed, at any moment, and started again: nothing is done twice, and what is known is delivered."""

import asyncio
import random

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_agent.conftest import AgentBench, offline
from tests.unit.vehicle_agent.test_doip_vehicle import CLEAR, asked
from tests.unit.vehicle_links.doip.conftest import VIN
from tests.unit.vehicle_links.doip.test_outcomes import check
from vehicle_connector.session_link import link


async def test_killed_in_the_middle_of_a_change(bench: AgentBench) -> None:
    async with bench.process() as agent:
        bench.script("slow:seconds=0.5,times=1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        await asked(bench, CLEAR)
        await agent.kill()
    async with bench.process():
        outcome = await bench.outcome(command)
        assert (outcome.kind, outcome.code) == (Outcome.LOST, "VEHICLE_CONNECTION_LOST")
        await bench.completed("ReadDTC")
        assert bench.witness.executed("ClearDTC") <= 1


async def test_a_change_is_refused_that_was_executed_before_a_restart(bench: AgentBench) -> None:
    async with bench.process() as agent:
        command = await bench.dispatch("ClearDTC")
        assert (await bench.outcome(command)).kind == Outcome.COMPLETED
        await agent.kill()
    await offline(bench, 1)
    async with bench.process():
        bench.world.service.granting = False
        await bench.world.dispatch.command(
            command, VIN, command_name="ClearDTC", repeatable=False, dispatch_number=2, session_epoch=bench.sessions
        )
        await until(lambda: len(bench.world.service.claims) == 2)
        bench.world.service.grant(bench.world.service.claims[-1], attempt=2)
        await until(lambda: bench.world.service.outcome(command, attempt=2))
        again = bench.world.service.outcome(command, attempt=2)
        assert again is not None
        assert (again.kind, again.code) == (Outcome.FAILED, "ALREADY_EXECUTED")
        assert bench.witness.executed("ClearDTC") == 1


async def test_killed_before_its_results_were_delivered(bench: AgentBench) -> None:
    async with bench.process() as agent:
        bench.script("slow:seconds=0.5,times=2")
        commands = [await bench.dispatch("ClearDTC"), await bench.dispatch("ReadDTC", ecuAddress="0x18")]
        await asked(bench, CLEAR)
        await bench.uplink.stop()
        await offline(bench, 1)
        await until(lambda: bench.witness.executed("ClearDTC") and bench.witness.executed("ReadDTC"))
        await asyncio.sleep(0.3)  # the answers reach the agent
        asked_before = len(bench.witness.answers)
        await agent.kill()
    assert not any(bench.world.service.outcome(command) for command in commands)
    await bench.uplink.start()
    async with bench.process():
        assert [(await bench.outcome(command)).kind for command in commands] == [Outcome.COMPLETED] * 2
        assert [len(bench.responses(command)) for command in commands] == [1, 1]
        asked_again = [request for request, _ in bench.witness.answers[asked_before:] if request[0] != 0x3E]
        assert not asked_again


async def test_cut_off_before_its_results_were_delivered(bench: AgentBench) -> None:
    async with bench.agent():
        bench.script("slow:seconds=0.3,times=1,command=ClearDTC")
        command = await bench.dispatch("ClearDTC")
        await asked(bench, CLEAR)
        bench.uplink.cut()
        await bench.redialled(1)
        assert (await bench.outcome(command)).kind == Outcome.COMPLETED
        assert bench.witness.executed("ClearDTC") == 1


async def test_what_was_delivered_is_not_delivered_again(bench: AgentBench) -> None:
    async with bench.process() as agent:
        await bench.completed("ReadDTC")
        await bench.completed("ClearDTC")
        await asyncio.sleep(2 * link._RELEASE_SECONDS)  # the agent hears that nothing more is waited for
        assert await agent.terminate() == 0
    async with bench.process():
        assert not bench.world.service.opened[-1].held


async def test_killed_at_any_moment(bench: AgentBench) -> None:
    moments = random.Random(5)
    command, before = "", 0
    for _ in range(5):
        async with bench.process() as agent:
            if command:
                check(bench, "ClearDTC", await bench.outcome(command), before)
            before = bench.witness.executed("ClearDTC")
            bench.script("slow:seconds=0.05,times=1,command=ClearDTC")
            command = await bench.dispatch("ClearDTC")
            await asyncio.sleep(moments.uniform(0, 0.15))
            await agent.kill()
