"""The whole catalogue over SOVD: each command, its responses and its refusals."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from command_service.domain.catalogue import CATALOGUE
from tests.integration.sovd.bench import ENGINE, SPEC, VIN, Attempt, Bench, bench_of, executed, served
from tests.support.waiting import until
from vehicle_simulator.commands import answers
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.sovd.server import SovdServer


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
async def server(ledger: Path) -> AsyncIterator[SovdServer]:
    async with served(ledger=ledger) as running:
        yield running


@pytest.fixture
async def bench(server: SovdServer) -> AsyncIterator[Bench]:
    async with bench_of(server) as made:
        yield made


def check_schema(attempt: Attempt) -> None:
    for response in attempt.responses:
        jsonschema.validate(response, CATALOGUE[attempt.command.command_name].response_schema)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("ReadDTC", {}),
        ("ReadDTC", {"statusMask": "0x01"}),
        ("ReadDTC", {"statusMask": "0x05"}),
        ("ReadDTCDetails", {"dtcCode": "P0420-11"}),
        ("ReadDTCDetails", {"dtcCode": "P0171"}),
        ("ReadDTCDetails", {"dtcCode": "0x042011"}),
        ("ReadDataByID", {"dataId": "0xF190"}),
        ("ReadDataByID", {"dataId": "0xF187"}),
        ("ReadDataByID", {"dataId": "0xF199"}),
        ("RoutineControl", {"routineId": "0x0203", "action": "start"}),
        ("ECUReset", {"resetType": "keyOffOn"}),
    ],
)
async def test_the_responses_are_those_of_any_other_link(bench: Bench, name: str, parameters: dict[str, Any]) -> None:
    """As the same vehicle gives them over its session."""
    attempt = await bench.run(name, **parameters)
    assert attempt.outcome == ("completed", "")
    check_schema(attempt)
    by_session = answers(VehicleModel(SPEC), name, {"ecuAddress": ENGINE, **parameters}, 0.0)
    assert attempt.responses == [json.loads(text) for text in by_session]


async def test_what_was_written_is_read(bench: Bench, ledger: Path) -> None:
    written = await bench.run("WriteDataByID", dataId="0x2001", value="0x0320")
    assert written.outcome == ("completed", "")
    check_schema(written)
    read = await bench.run("ReadDataByID", dataId="0x2001")
    assert (read.responses[0]["raw"], read.responses[0]["value"], read.responses[0]["unit"]) == ("0x0320", 800, "1/min")
    (entry,) = executed(ledger, written.command.command_id)
    assert (entry.command_name, entry.attempt, entry.repeatable) == ("WriteDataByID", 1, False)


async def test_one_fault_is_cleared_and_then_all(bench: Bench) -> None:
    cleared = await bench.run("ClearDTC", dtcCode="P0420")
    assert (cleared.outcome, cleared.responses) == (("completed", ""), [{"ecuAddress": ENGINE}])
    left = await bench.run("ReadDTC")
    assert [response.get("display_code") for response in left.responses] == ["P0171-00", None]
    assert (await bench.run("ClearDTC")).outcome == ("completed", "")
    assert (await bench.run("ReadDTC")).responses == [{"ecuAddress": ENGINE, "count": 0}]
    absent = await bench.run("ClearDTC", dtcCode="P0420-11")
    assert absent.outcome == ("failed", "DTC_NOT_STORED")


async def test_a_routine_that_takes_its_time_is_followed(bench: Bench) -> None:
    attempt = await bench.run("RoutineControl", routineId="0x0301", action="start")
    check_schema(attempt)
    assert [(response["status"], response.get("raw")) for response in attempt.responses] == [
        ("running", None),
        ("completed", "0x0064"),
    ]
    results = await bench.run("RoutineControl", routineId="0x0301", action="requestResults")
    assert results.responses[0]["raw"] == "0x0064"


async def test_a_cancel_stops_the_execution(bench: Bench) -> None:
    attempt = bench.start("RoutineControl", routineId="0x0310", action="start", parameters="0x0102", ecuAddress="0x28")
    await until(lambda: attempt.responses)
    bench.link.cancel(attempt.command.key)
    await bench.ended(attempt)
    assert attempt.outcome == ("cancelled", "CANCELLED")
    results = await bench.run("RoutineControl", routineId="0x0310", action="requestResults", ecuAddress="0x28")
    assert results.responses[0]["status"] == "stopped"


async def test_a_routine_that_outlasts_the_timeout_is_told_of_as_running(bench: Bench, server: SovdServer) -> None:
    params: dict[str, Any] = {"routineId": "0x0310", "ecuAddress": "0x28"}
    attempt = bench.start("RoutineControl", **params, action="start", parameters="0x0102", timeout_ms=2_300)
    await bench.ended(attempt)
    assert attempt.outcome == ("completed", "")
    assert [response["status"] for response in attempt.responses] == ["running"]
    async with bench_of(server) as another:  # which was not there when it was started
        stopped = await another.run("RoutineControl", **params, action="stop")
        assert (stopped.outcome, stopped.responses[0]["status"]) == (("completed", ""), "stopped")


@pytest.mark.parametrize(
    ("name", "parameters", "nrc"),
    [
        ("ReadDataByID", {"dataId": "0x1234"}, 0x31),
        ("WriteDataByID", {"dataId": "0xF190", "value": "0x00"}, 0x31),
        ("WriteDataByID", {"dataId": "0x2001", "value": "0x00"}, 0x13),
        ("RoutineControl", {"routineId": "0xFF00", "action": "start"}, 0x22),
        ("RoutineControl", {"routineId": "0x0999", "action": "start"}, 0x31),
        ("RoutineControl", {"routineId": "0x0203", "action": "start", "parameters": "0x01"}, 0x13),
    ],
)
async def test_a_negative_response_comes_with_its_code(
    bench: Bench, name: str, parameters: dict[str, Any], nrc: int
) -> None:
    attempt = await bench.run(name, **parameters)
    assert attempt.outcome == ("failed", "NEGATIVE_RESPONSE")
    assert attempt.finished is not None
    assert attempt.finished.nrc == nrc
    assert attempt.finished.message.startswith(f"0x{nrc:02X} ")


async def test_an_address_that_no_component_has_is_told_with_those_there_are(bench: Bench) -> None:
    attempt = await bench.run("ReadDTC", ecuAddress="0x99")
    assert attempt.outcome == ("failed", "ECU_NOT_REACHABLE")
    assert attempt.finished is not None
    assert "0x99" in attempt.finished.message
    assert "0x28 ABS" in attempt.finished.message


async def test_a_functional_address_asks_every_component(bench: Bench) -> None:
    faults = await bench.run("ReadDTC", ecuAddress="0x7DF")
    assert faults.responses[-1] == {"ecuAddress": "0x7DF", "count": len(faults.responses) - 1}
    assert len({response["ecuAddress"] for response in faults.responses[:-1]}) > 1
    speeds = await bench.run("ReadDataByID", ecuAddress="0x7DF", dataId="0xF40C")  # only one knows it
    assert (speeds.outcome, len(speeds.responses)) == (("completed", ""), 1)
    nobody = await bench.run("ReadDataByID", ecuAddress="0x7DF", dataId="0x1234")
    assert nobody.outcome == ("failed", "ECU_NOT_REACHABLE")


# --- streams


async def test_a_stream_comes_as_events_at_its_pace(bench: Bench, server: SovdServer) -> None:
    ids = ["0xF40C", "0xF40D"]
    attempt = bench.start("StreamDataByID", dataIds=ids, interval_ms=100, duration_s=0.7)
    await until(lambda: attempt.responses)
    assert len(_subscriptions(server)) == 2
    await bench.ended(attempt)
    assert attempt.outcome == ("completed", "")
    check_schema(attempt)
    assert {response["id"] for response in attempt.responses} == set(ids)
    assert 2 <= len(attempt.responses) <= 16
    await until(lambda: not _subscriptions(server))


def _subscriptions(server: SovdServer) -> dict[str, Any]:
    return server.vehicles[VIN].component("ecm").subscriptions


async def test_a_stream_of_many_identifiers_is_asked_for(bench: Bench, server: SovdServer) -> None:
    ids = [f"0x{data_id:04X}" for data_id in (0xF186, 0xF187, 0xF189, 0xF18C, 0xF190, 0xF191, 0xF198, 0xF199, 0xF405)]
    attempt = await bench.run("StreamDataByID", dataIds=ids, interval_ms=200, duration_s=0.4)
    assert attempt.outcome == ("completed", "")
    assert [response["id"] for response in attempt.responses[:9]] == ids
    assert not _subscriptions(server)


async def test_cancelling_a_stream_ends_its_subscription(bench: Bench, server: SovdServer) -> None:
    attempt = bench.start("StreamDataByID", dataIds=["0xF40C"], interval_ms=100, duration_s=60)
    await until(lambda: len(attempt.responses) > 1)
    bench.link.cancel(attempt.command.key)
    await bench.ended(attempt)
    assert attempt.outcome == ("cancelled", "CANCELLED")
    await until(lambda: not _subscriptions(server))


async def test_a_stream_waits_for_credit(bench: Bench) -> None:
    attempt = bench.start("StreamDataByID", credit=2, dataIds=["0xF40C"], interval_ms=50, duration_s=0.6)
    await until(lambda: len(attempt.updates) == 2)
    await asyncio.sleep(0.15)
    assert len(attempt.updates) == 2
    bench.link.grant(attempt.command.key, 2, 100)
    await bench.ended(attempt)
    assert attempt.outcome == ("completed", "")


# --- hand-over


async def test_what_may_not_begin_is_not_sent(bench: Bench, ledger: Path) -> None:
    attempt = bench.start("ClearDTC")
    attempt.may_begin = False
    await until(lambda: bench.link.idle)
    assert attempt.updates == []
    assert executed(ledger, attempt.command.command_id) == []
    assert (await bench.run("ReadDTC")).responses[-1]["count"] == 2


async def test_what_nobody_waits_for_is_left_off(bench: Bench) -> None:
    attempt = bench.start("StreamDataByID", dataIds=["0xF40C"], interval_ms=100, duration_s=60)
    await until(lambda: attempt.responses)
    bench.link.release(attempt.command.key)
    await until(lambda: bench.link.idle)
    assert attempt.finished is None


async def test_a_command_begins_once(bench: Bench) -> None:
    for attempt in (await bench.run("ReadDTCDetails", dtcCode="P0420"), await bench.run("ClearDTC")):
        assert attempt.begun == 1
