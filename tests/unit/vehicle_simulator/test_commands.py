"""What a simulated vehicle answers to every command of the catalogue."""

import json
from typing import Any

import jsonschema
import pytest

from command_service.domain.catalogue import CATALOGUE
from service_kit.uds.dtc import STATUS_BITS
from sovd_protos.session.v1.session_pb2 import Execute, Finished
from vehicle_simulator.commands import COMMAND_NAMES, answers
from vehicle_simulator.ecus import ECU_TYPES, VehicleModel
from vehicle_simulator.executor import VehicleExecutor
from vehicle_simulator.failures import CommandFailed
from vehicle_simulator.fleet import demo_fleet, simulated_fleet

NOW = 1_700_000_000.0


class Vehicle:
    """Asks a vehicle and checks each answer against the catalogue's schemas."""

    def __init__(self, model: VehicleModel) -> None:
        self.model = model

    def ask(self, name: str, *, now: float = NOW, ecu: str = "0x10", **params: object) -> list[dict[str, Any]]:
        params = {"ecuAddress": ecu, **params}
        jsonschema.validate(params, CATALOGUE[name].parameters_schema)
        responses = [json.loads(response) for response in answers(self.model, name, params, now)]
        for response in responses:
            jsonschema.validate(response, CATALOGUE[name].response_schema)
        return responses

    def refusal(self, name: str, **params: Any) -> int:
        with pytest.raises(CommandFailed) as caught:
            self.ask(name, **params)
        assert caught.value.code == "NEGATIVE_RESPONSE"
        return caught.value.nrc


@pytest.fixture
def vehicle() -> Vehicle:
    return Vehicle(VehicleModel(demo_fleet()[0]))


def test_it_knows_the_whole_catalogue() -> None:
    assert set(CATALOGUE) == COMMAND_NAMES


def test_a_scan_tells_what_each_ecu_is(vehicle: Vehicle) -> None:
    responses = [json.loads(response) for response in answers(vehicle.model, "ScanECUs", {}, NOW)]
    for response in responses:
        jsonschema.validate(response, CATALOGUE["ScanECUs"].response_schema)
    *found, count = responses
    assert [ecu["name"] for ecu in found] == ["ECM", "TCM", "SRS", "ABS", "BCM", "IC"]
    assert (found[0]["part_number"], found[0]["vin"]) == ("A2749004", vehicle.model.spec.vin)
    assert count == {"count": 6}


def test_read_dtc_gives_one_response_each_and_the_count(vehicle: Vehicle) -> None:
    first, second, count = vehicle.ask("ReadDTC")
    assert (first["code"], first["display_code"], first["ecuAddress"]) == ("0x042011", "P0420-11", "0x10")
    assert first["status"]["raw"] == "0xAF"
    assert [bit for bit in STATUS_BITS if not first["status"][bit]] == [
        "testNotCompletedSinceLastClear",
        "testNotCompletedThisOperationCycle",
    ]
    assert second["code"] == "0x017100"
    assert count == {"ecuAddress": "0x10", "count": 2}


def test_read_dtc_obeys_the_status_mask(vehicle: Vehicle) -> None:
    assert [response.get("code") for response in vehicle.ask("ReadDTC", statusMask="0x01")] == ["0x042011", None]
    assert vehicle.ask("ReadDTC", statusMask="0x40") == [{"ecuAddress": "0x10", "count": 0}]


@pytest.mark.parametrize("address", ["0xE000", "0xE400", "0x7DF", "0x18DBEFF1"])
def test_all_ecus_answer_a_functional_address(vehicle: Vehicle, address: str) -> None:
    *faults, count = vehicle.ask("ReadDTC", ecu=address)
    assert count == {"ecuAddress": f"0x{int(address, 16):X}", "count": len(faults)}
    assert len({fault["ecuAddress"] for fault in faults}) > 1
    assert len(vehicle.ask("ReadDataByID", ecu=address, dataId="0xF190")) == len(ECU_TYPES)
    assert len(vehicle.ask("ReadDataByID", ecu=address, dataId="0xF40C")) == 1


def test_nobody_answers_a_functional_request_that_no_ecu_knows(vehicle: Vehicle) -> None:
    with pytest.raises(CommandFailed) as caught:
        vehicle.ask("ReadDataByID", ecu="0xE000", dataId="0x9999")
    assert caught.value.code == "ECU_NOT_REACHABLE"


def test_clearing_a_functional_address_clears_all(vehicle: Vehicle) -> None:
    assert len(vehicle.ask("ClearDTC", ecu="0xE000")) == len(ECU_TYPES)
    assert vehicle.ask("ReadDTC", ecu="0xE000") == [{"ecuAddress": "0xE000", "count": 0}]


def test_a_refusal_that_is_said_to_all_is_passed_on(vehicle: Vehicle) -> None:
    vehicle.ask("RoutineControl", ecu="0xE000", routineId="0x0310", action="start", parameters="0x0101")
    params = {"routineId": "0x0310", "action": "start", "parameters": "0x0101"}
    assert vehicle.refusal("RoutineControl", ecu="0xE000", **params) == 0x24


@pytest.mark.parametrize("code", ["0x042011", "P0420-11", "P0420"])
def test_details_have_snapshots_and_extended_data(vehicle: Vehicle, code: str) -> None:
    (details,) = vehicle.ask("ReadDTCDetails", dtcCode=code)
    assert details["code"] == "0x042011"
    (snapshot,) = details["snapshots"]
    assert [value["name"] for value in snapshot["data"]][:2] == ["engineCoolantTemperature", "engineSpeed"]
    assert all(isinstance(value["value"], (int, float)) for value in snapshot["data"])
    assert [record["name"] for record in details["extended_data"]] == ["occurrenceCounter", "agingCounter"]


def test_clear_really_clears(vehicle: Vehicle) -> None:
    assert vehicle.ask("ClearDTC") == [{"ecuAddress": "0x10"}]
    assert vehicle.ask("ReadDTC") == [{"ecuAddress": "0x10", "count": 0}]
    assert vehicle.ask("ReadDTC", ecu="0x28")[-1]["count"] > 0
    assert vehicle.refusal("ReadDTCDetails", dtcCode="P0420-11") == 0x31
    with pytest.raises(CommandFailed, match="P0420 is not stored") as failed:
        vehicle.ask("ReadDTCDetails", dtcCode="P0420")
    assert failed.value.code == "DTC_NOT_STORED"


def test_clear_of_one_dtc_leaves_the_others(vehicle: Vehicle) -> None:
    vehicle.ask("ClearDTC", dtcCode="P0420-11")
    assert [response.get("code") for response in vehicle.ask("ReadDTC")] == ["0x017100", None]
    assert vehicle.refusal("ClearDTC", dtcCode="0x042011") == 0x31


def test_vin_and_identification(vehicle: Vehicle) -> None:
    (vin,) = vehicle.ask("ReadDataByID", dataId="0xF190")
    assert vin["value"] == "WDD1234567890ABCD"
    assert vin["raw"] == "0x" + b"WDD1234567890ABCD".hex().upper()
    for data_id in ("0xF187", "0xF189", "0xF191", "0xF18C"):
        (answer,) = vehicle.ask("ReadDataByID", dataId=data_id)
        assert answer["value"]


def test_live_values_vary_and_have_a_unit(vehicle: Vehicle) -> None:
    answers_over_time = [vehicle.ask("ReadDataByID", dataId="0xF40C", now=NOW + second)[0] for second in range(10)]
    assert {answer["unit"] for answer in answers_over_time} == {"1/min"}
    assert len({answer["value"] for answer in answers_over_time}) > 5
    for answer in answers_over_time:
        assert 700 < answer["value"] < 3000
        assert int(answer["raw"], 16) / 4 == answer["value"]


def test_write_really_writes(vehicle: Vehicle) -> None:
    vehicle.ask("WriteDataByID", dataId="0xF198", value="0x" + b"SHOP 7".hex())
    assert vehicle.ask("ReadDataByID", dataId="0xF198")[0]["value"] == "SHOP 7"
    vehicle.ask("WriteDataByID", ecu="0x40", dataId="0x2303", value="0x0a0B")
    (written,) = vehicle.ask("ReadDataByID", ecu="0x40", dataId="0x2303")
    assert written["raw"] == "0x0A0B"
    assert "value" not in written


@pytest.mark.parametrize(
    ("name", "params", "nrc"),
    [
        ("ReadDataByID", {"dataId": "0x9999"}, 0x31),
        ("WriteDataByID", {"dataId": "0x9999", "value": "0x00"}, 0x31),
        ("WriteDataByID", {"dataId": "0xF190", "value": "0x00"}, 0x31),
        ("WriteDataByID", {"dataId": "0xF198", "value": "0x" + "41" * 17}, 0x13),
        ("WriteDataByID", {"dataId": "0x2001", "value": "0x01"}, 0x13),
        ("ReadDTCDetails", {"dtcCode": "0x999999"}, 0x31),
        ("RoutineControl", {"routineId": "0x9999", "action": "start"}, 0x31),
        ("RoutineControl", {"routineId": "0x0203", "action": "stop"}, 0x12),
        ("RoutineControl", {"routineId": "0x0203", "action": "requestResults"}, 0x24),
        ("RoutineControl", {"routineId": "0x0301", "action": "stop"}, 0x24),
        ("RoutineControl", {"routineId": "0xFF00", "action": "start"}, 0x22),
        ("RoutineControl", {"routineId": "0x0301", "action": "start", "parameters": "0x01"}, 0x13),
    ],
)
def test_negative_responses(vehicle: Vehicle, name: str, params: dict[str, str], nrc: int) -> None:
    assert vehicle.refusal(name, **params) == nrc


def test_a_routine_starts_runs_and_completes(vehicle: Vehicle) -> None:
    def control(action: str, after: float) -> dict[str, Any]:
        return vehicle.ask("RoutineControl", routineId="0x0301", action=action, now=NOW + after)[0]

    assert control("start", 0)["status"] == "running"
    assert vehicle.refusal("RoutineControl", routineId="0x0301", action="start") == 0x24
    assert control("requestResults", 1)["status"] == "running"
    done = control("requestResults", 2.5)
    assert (done["status"], done["raw"]) == ("completed", "0x0064")
    assert control("start", 3)["status"] == "running"
    assert control("stop", 4)["status"] == "stopped"
    assert control("requestResults", 9)["status"] == "stopped"
    assert vehicle.ask("RoutineControl", routineId="0x0203", action="start")[0]["status"] == "completed"


def test_a_reset_forgets_routines_and_begins_an_operation_cycle(vehicle: Vehicle) -> None:
    vehicle.ask("RoutineControl", routineId="0x0301", action="start")
    vehicle.ask("WriteDataByID", dataId="0xF198", value="0x41")
    assert vehicle.ask("ECUReset", resetType="hard") == [{"ecuAddress": "0x10", "resetType": "hard"}]
    assert vehicle.refusal("RoutineControl", routineId="0x0301", action="requestResults") == 0x24
    status = vehicle.ask("ReadDTC")[0]["status"]
    assert not status["testFailedThisOperationCycle"]
    assert status["testNotCompletedThisOperationCycle"]
    assert vehicle.ask("ReadDataByID", dataId="0xF198")[0]["value"] == "A"


def test_erase_is_possible_where_no_engine_runs(vehicle: Vehicle) -> None:
    vehicle.model.engine_running = False
    assert vehicle.ask("RoutineControl", routineId="0xFF00", action="start")[0]["status"] == "running"


async def test_a_stream_gives_every_value_at_every_interval(vehicle: Vehicle) -> None:
    params = {"ecuAddress": "0x10", "dataIds": ["0xF40C", "0xF405"], "interval_ms": 10, "duration_s": 0.1}
    updates = await _execute(vehicle, "StreamDataByID", params)
    *responses, last = updates
    decoded = [json.loads(str(response)) for response in responses]
    assert [response["id"] for response in decoded] == ["0xF40C", "0xF405"] * 10
    for response in decoded:
        jsonschema.validate(response, CATALOGUE["StreamDataByID"].response_schema)
    assert isinstance(last, Finished)
    assert last.kind == Finished.COMPLETED


async def test_a_stream_of_something_unknown_is_refused_at_once(vehicle: Vehicle) -> None:
    params = {"ecuAddress": "0x10", "dataIds": ["0xF40C", "0x9999"], "interval_ms": 10, "duration_s": 5}
    (last,) = await _execute(vehicle, "StreamDataByID", params)
    assert isinstance(last, Finished)
    assert last.nrc == 0x31


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        ("ReadDTC", {"ecuAddress": "0x77"}, "ECU_NOT_REACHABLE"),
        ("Selfdestruct", {"ecuAddress": "0x10"}, "UNSUPPORTED_COMMAND"),
        ("ReadDTC", {}, "INVALID_PARAMETERS"),
        ("ReadDTC", [], "INVALID_PARAMETERS"),
        ("ReadDTC", "nonsense", "INVALID_PARAMETERS"),
        ("ReadDTC", {"ecuAddress": 16}, "INVALID_PARAMETERS"),
        ("ReadDTC", {"ecuAddress": "16"}, "INVALID_PARAMETERS"),
        ("ReadDTCDetails", {"ecuAddress": "0x10", "dtcCode": "X"}, "INVALID_PARAMETERS"),
        ("WriteDataByID", {"ecuAddress": "0x10", "dataId": "0xF198", "value": "0x1"}, "INVALID_PARAMETERS"),
        ("ECUReset", {"ecuAddress": "0x10", "resetType": "gently"}, "NEGATIVE_RESPONSE"),
        ("RoutineControl", {"ecuAddress": "0x10", "routineId": "0x0203", "action": "pause"}, "NEGATIVE_RESPONSE"),
        ("StreamDataByID", {"ecuAddress": "0x10", "dataIds": []}, "INVALID_PARAMETERS"),
        ("StreamDataByID", {"ecuAddress": "0x10", "dataIds": ["0xF40C"], "interval_ms": 0}, "INVALID_PARAMETERS"),
        (
            "StreamDataByID",
            {"ecuAddress": "0x10", "dataIds": [1], "interval_ms": 9, "duration_s": 1},
            "INVALID_PARAMETERS",
        ),
    ],
)
async def test_what_it_cannot_do_fails_with_a_stable_code(
    vehicle: Vehicle, name: str, params: object, code: str
) -> None:
    (last,) = await _execute(vehicle, name, params)
    assert isinstance(last, Finished)
    assert (last.kind, last.code) == (Finished.FAILED, code)


async def test_parameters_that_are_no_json(vehicle: Vehicle) -> None:
    command = Execute(command_id="c1", command_name="ReadDTC", command_params="{")
    updates = [update async for update in VehicleExecutor(vehicle.model).execute(command)]
    assert [update.code for update in updates if isinstance(update, Finished)] == ["INVALID_PARAMETERS"]


def test_every_vehicle_of_a_fleet_has_two_dtcs_in_its_engine() -> None:
    for spec in simulated_fleet(20):
        responses = Vehicle(VehicleModel(spec)).ask("ReadDTC")
        assert len(responses) == 3
        assert 250 < sum(len(json.dumps(response)) for response in responses) / 3 < 400


def test_a_vehicle_is_the_same_each_time() -> None:
    first, second = (Vehicle(VehicleModel(simulated_fleet(3, seed=7)[2])) for _ in range(2))
    assert first.ask("ReadDTC", ecu="0xE000") == second.ask("ReadDTC", ecu="0xE000")


async def _execute(vehicle: Vehicle, name: str, params: object) -> list[object]:
    command = Execute(command_id="c1", attempt=1, command_name=name, command_params=json.dumps(params))
    return [update async for update in VehicleExecutor(vehicle.model).execute(command)]
