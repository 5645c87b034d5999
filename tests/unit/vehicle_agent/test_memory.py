"""What an agent takes of a small computer's memory, at rest and after weeks of work."""

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.integration.sovd.bench import address_of, served
from tests.support.waiting import until
from tests.unit.vehicle_agent.conftest import AgentBench

MOST = 80_000_000
ROUNDS, TOGETHER = 60, 50


async def test_it_stays_small(bench: AgentBench) -> None:
    async with bench.process(log_level="WARNING") as agent:
        at_rest = agent.resident_bytes
        assert at_rest < MOST
        for _ in range(ROUNDS):
            commands = [await bench.dispatch("ReadDTC") for _ in range(TOGETHER)]
            await until(lambda these=commands: all(map(bench.world.service.outcome, these)))  # type: ignore[misc]
            outcomes = map(bench.world.service.outcome, commands)
            assert all(outcome and outcome.kind == Outcome.COMPLETED for outcome in outcomes)
        after = agent.resident_bytes
        assert after < MOST
        assert after - at_rest < 10_000_000


async def test_over_sovd_it_is_as_small(bench: AgentBench) -> None:
    async with served() as server, bench.process(doip_address="", sovd_address=address_of(server)) as agent:
        await bench.completed("ReadDTC")
        assert agent.resident_bytes < MOST
