"""A routine that was started runs on, whatever the server says of being asked about it."""

from typing import Any

import pytest

from tests.integration.sovd.bench import linked
from tests.integration.sovd.fake_server import ECM, Reply, fake_server
from tests.support.waiting import until

EXECUTIONS = f"{ECM}/operations/0x0301/executions"
STARTED = f"{EXECUTIONS}/e1"
RUNNING = Reply(202, {"status": "running"})
COMPLETED = {"status": "completed", "parameters": {"passed": True}}


def _answers(asked: Any, stopped: Any = None) -> dict[tuple[str, str], Any]:
    return {("POST", EXECUTIONS): Reply(202, {"id": "e1"}), ("GET", STARTED): asked, ("DELETE", STARTED): stopped}


@pytest.mark.parametrize("refusal", [Reply(429), Reply(503), Reply(401), Reply(404), Reply(307)])
async def test_a_refusal_to_tell_its_state_is_not_its_outcome(refusal: Reply) -> None:
    async with fake_server(_answers([RUNNING, refusal, COMPLETED])) as server, linked(server.address) as bench:
        attempt = await bench.run("RoutineControl", routineId="0x0301", action="start")
    assert attempt.outcome == ("completed", "")
    assert attempt.responses[-1]["result"] == {"passed": True}


async def test_of_one_whose_state_is_refused_to_the_end_nobody_knows_what_came_of_it() -> None:
    refusal = Reply(503, {"message": "later"})
    async with fake_server(_answers(refusal)) as server, linked(server.address) as bench:
        attempt = await bench.run("RoutineControl", routineId="0x0301", action="start", timeout_ms=2500)
    assert attempt.outcome == ("lost", "VEHICLE_CONNECTION_LOST")
    assert attempt.finished is not None
    assert "later" in attempt.finished.message


async def test_a_negative_response_of_the_ecu_is_its_outcome() -> None:
    answers = _answers([RUNNING, Reply(502, {"parameters": {"nrc": 0x72}})])
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("RoutineControl", routineId="0x0301", action="start")
    assert attempt.outcome == ("failed", "NEGATIVE_RESPONSE")


@pytest.mark.parametrize("refusal", [Reply(405), Reply(409), Reply(502, {"parameters": {"nrc": 0x22}})])
async def test_one_that_cannot_be_stopped_is_followed_to_its_end(refusal: Reply) -> None:
    async with fake_server(_answers(RUNNING, refusal)) as server, linked(server.address) as bench:
        attempt = bench.start("RoutineControl", routineId="0x0301", action="start")
        await until(lambda: attempt.responses)
        bench.link.cancel(attempt.command.key)
        await until(lambda: server.asked("DELETE", STARTED))
        asked = len(server.asked("GET", STARTED))
        await until(lambda: attempt.finished or len(server.asked("GET", STARTED)) >= asked + 2)
        assert attempt.finished is None
        server.answers["GET", STARTED] = COMPLETED
        await bench.ended(attempt)
    assert attempt.outcome == ("completed", "")
    assert len(server.asked("DELETE", STARTED)) == 1
