"""What a PDX file says of an ECU, in the responses of commands over DoIP."""

from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema
import pytest

from command_service.domain.catalogue import CATALOGUE
from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.pdx import write_pdx
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_links.doip.conftest import Bench, Json, bench_of
from vehicle_simulator.ecus import ECU_TYPES

IDLE_SPEED = "0x2001"


@pytest.fixture
async def described(worlds: Worlds, tmp_path: Path) -> AsyncIterator[Bench]:
    """A connector that has read what its folder says of the engine."""
    variants = [("ECM_2023", "A0000001"), ("ECM_2024", "A2749004")]
    write_pdx(tmp_path / "engine.pdx", ECU_TYPES[0x10], address=0x10, variants=variants)
    write_pdx(tmp_path / "brakes.pdx", ECU_TYPES[0x28], address=0x28)
    async with bench_of(worlds, {"odx_path": tmp_path}) as bench:
        while "name" not in (await bench.completed("ReadDataByID", dataId="0xF40C"))[0]:
            pass
        yield bench


async def completed(bench: Bench, name: str, **params: object) -> list[Json]:
    responses = await bench.completed(name, **params)
    for response in responses:
        jsonschema.validate(response, CATALOGUE[name].response_schema)
    return responses


async def test_faults_have_their_texts(described: Bench) -> None:
    for address in ("0x10", "0xE400"):
        first, *_ = await completed(described, "ReadDTC", ecuAddress=address)
        assert first["fault_name"] == "Catalyst system efficiency below threshold (bank 1)"
        assert first["severity"] == 2
    (*_, count) = await completed(described, "ReadDTC", ecuAddress="0x18")
    assert count["ecuAddress"] == "0x18"


async def test_data_have_name_value_unit_and_bytes(described: Bench) -> None:
    (speed,) = await completed(described, "ReadDataByID", dataId="0xF40C")
    assert (speed["name"], speed["unit"]) == ("engineSpeed", "1/min")
    assert speed["value"] == int(speed["raw"], 16) * 0.25
    (plain,) = await completed(described, "ReadDataByID", ecuAddress="0x18", dataId="0x2101")
    assert plain.keys() == {"ecuAddress", "id", "raw"}
    streamed = await described.completed("StreamDataByID", dataIds=["0xF40D"], interval_ms=20, duration_s=0.1)
    assert all((one["name"], one["unit"]) == ("vehicleSpeed", "km/h") for one in streamed)


async def test_snapshots_are_decoded_and_need_no_further_requests(described: Bench) -> None:
    asked = len(described.witness.answers)
    (details,) = await completed(described, "ReadDTCDetails", dtcCode="P0420-11")
    assert details["fault_name"] == "Catalyst system efficiency below threshold (bank 1)"
    data = details["snapshots"][0]["data"]
    assert [(one["name"], one["unit"]) for one in data] == [
        ("engineCoolantTemperature", "°C"),
        ("engineSpeed", "1/min"),
        ("vehicleSpeed", "km/h"),
        ("controlModuleVoltage", "V"),
    ]
    assert [(one["record_number"], one["name"], one["value"]) for one in details["extended_data"]] == [
        (record["record_number"], name, int(record["raw"], 16))
        for record, name in zip(details["extended_data"], ("occurrenceCounter", "agingCounter"), strict=True)
    ]
    requests = [request for request, _ in described.witness.answers[asked:]]
    assert not [request for request in requests if request[0] == 0x22]


async def test_physical_values_are_written(described: Bench) -> None:
    (written,) = await completed(described, "WriteDataByID", dataId=IDLE_SPEED, value="900")
    assert (written["raw"], written["value"], written["unit"]) == ("0x0384", 900, "1/min")
    assert described.vehicle.ecu(0x10).data.read(0x2001, 0) == b"\x03\x84"
    (written,) = await completed(described, "WriteDataByID", dataId=IDLE_SPEED, value="0x0320")
    assert written["value"] == 800


async def test_a_physical_value_that_is_none_writes_nothing(described: Bench) -> None:
    _, outcome = await described.run("WriteDataByID", dataId=IDLE_SPEED, value="many")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "INVALID_PARAMETERS")
    assert "'many' is no value of idleSpeedAdaptation (uint, in 1/min)" in outcome.message
    assert described.witness.executed("WriteDataByID") == 0


async def test_without_a_description_bytes_are_needed(bench: Bench) -> None:
    _, outcome = await bench.run("WriteDataByID", dataId=IDLE_SPEED, value="900")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "INVALID_PARAMETERS")
    assert "no ODX description of this ECU" in outcome.message


async def test_nothing_is_written_when_the_ecu_cannot_be_asked_which_it_is(worlds: Worlds, tmp_path: Path) -> None:
    write_pdx(tmp_path / "engine.pdx", ECU_TYPES[0x10], address=0x10, variants=[("ECM_2024", "A2749004")])
    async with bench_of(worlds, {"odx_path": tmp_path}) as bench:
        bench.script("disconnect:after=0,command=ReadDataByID")
        outcome = None
        while outcome is None or "no ODX description" in outcome.message:  # until the file is read
            _, outcome = await bench.run("WriteDataByID", dataId=IDLE_SPEED, value="900")
        assert (outcome.kind, outcome.code) == (Outcome.FAILED, "VEHICLE_CONNECTION_LOST")
        assert bench.witness.executed("WriteDataByID") == 0


async def test_routines_are_described(described: Bench) -> None:
    (started,) = await completed(described, "RoutineControl", routineId="0x0301", action="start")
    assert (started["raw"], started["name"], started["value"]) == ("0x01", "Start_selfTest", {"status": "running"})
    (stopped,) = await completed(described, "RoutineControl", routineId="0x0301", action="stop")
    assert stopped["value"] == {"status": "stopped"}


async def test_what_a_routine_found_is_decoded(described: Bench) -> None:
    await completed(described, "RoutineControl", routineId="0x0301", action="start")
    described.vehicle.ecu(0x10).routines._started_at[0x0301] -= 10  # it has ended meanwhile
    (results,) = await completed(described, "RoutineControl", routineId="0x0301", action="requestResults")
    assert (results["raw"], results["value"]) == ("0x000064", {"status": "completed", "score": 100})


async def test_a_routine_takes_physical_values(described: Bench) -> None:
    bleed = {"ecuAddress": "0x28", "routineId": "0x0310", "action": "start"}
    _, outcome = await described.run("RoutineControl", **bleed, parameters='{"valve": "rearLeft", "duration": 999}')
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "INVALID_PARAMETERS")
    assert "duration (uint, in s)" in outcome.message
    assert described.witness.executed("RoutineControl") == 0
    await completed(described, "RoutineControl", **bleed, parameters='{"valve": "rearLeft", "duration": 5}')
    requests = [request for request, answer in described.witness.answers if request[:1] == b"\x31"]
    assert requests[-1] == bytes.fromhex("31010310 0305")


async def test_garbage_is_no_ones_fault(described: Bench) -> None:
    described.script("garbage:times=1,command=ReadDataByID")
    _, outcome = await described.run("ReadDataByID", dataId="0xF40C")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
    (speed,) = await described.completed("ReadDataByID", dataId="0xF40C")
    assert speed["name"] == "engineSpeed"
