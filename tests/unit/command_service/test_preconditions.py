"""What a deployment says of preconditions, and what then holds of a command."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from command_service.domain.catalogue import CATALOGUE
from command_service.domain.preconditions import PreconditionRules, Reading
from command_service.preconditions_file import load_preconditions
from command_service.settings import Settings

SPEED = {"ecuAddress": "0x10", "dataId": "0xF40D"}
IGNITION = {"ecuAddress": "0x40", "dataId": "0x2304", "mask": "0x04"}
VOLTAGE = {"ecuAddress": "0x10", "dataId": "0xF442", "scale": 0.001, "offset": 1}
ALL = {"vehicle_speed": SPEED, "ignition": IGNITION, "supply_voltage": VOLTAGE}
VIN = "WDD1234567890ABCD"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "preconditions.json"


def _rules(file: Path, *vehicles: dict[str, Any], **more: Any) -> PreconditionRules:
    file.write_text(json.dumps({"vehicles": vehicles, **more}))
    return load_preconditions(file)


def _required(rules: PreconditionRules, name: str, vin: str = VIN, **parameters: Any) -> list[tuple[str, Any]]:
    return [(one.signal, reading) for one, reading in rules.required(name, parameters, vin)]


def test_where_the_values_are_depends_on_the_vehicle(file: Path) -> None:
    rules = _rules(
        file,
        {"vin": "WDD", "signals": ALL},
        {"vin": "WDD1234567890ABCE", "signals": {"vehicle_speed": {**SPEED, "dataId": "0x1000"}, "ignition": None}},
    )
    assert _required(rules, "WriteDataByID") == [
        ("vehicle_speed", Reading(0x10, 0xF40D)),
        ("ignition", Reading(0x40, 0x2304, mask=4)),
        ("supply_voltage", Reading(0x10, 0xF442, 0.001, 1)),
    ]
    # Null is not looked at; what is missing cannot be read.
    special = [("vehicle_speed", Reading(0x10, 0x1000)), ("supply_voltage", None)]
    assert _required(rules, "WriteDataByID", "WDD1234567890ABCE") == special
    assert _required(rules, "ClearDTC", "TMB") == [("vehicle_speed", None), ("ignition", None)]


def test_only_what_changes_a_vehicle_has_any_and_a_routine_may_always_be_stopped(file: Path) -> None:
    rules = _rules(file, {"vin": "", "signals": ALL})
    with_preconditions = {name for name, kind in CATALOGUE.items() if _required(rules, name, action="start")}
    assert with_preconditions == {name for name, kind in CATALOGUE.items() if kind.command_class != "read"}
    assert len(_required(rules, "RoutineControl", action="start")) == 3
    assert _required(rules, "RoutineControl", action="stop") == []
    assert _required(rules, "RoutineControl", action="requestResults") == []


def test_a_deployment_may_ask_for_something_else(file: Path) -> None:
    hood = {"name": "hood", "signal": "hood", "comparison": "!=", "value": 1}
    rules = _rules(
        file,
        {"vin": "", "signals": {"vehicle_speed": SPEED, "ignition": None, "supply_voltage": None, "hood": IGNITION}},
        command_types={"ClearDTC": [], "ReadDTC": [hood]},
    )
    assert _required(rules, "ClearDTC") == []
    assert _required(rules, "ReadDTC") == [("hood", Reading(0x40, 0x2304, mask=4))]
    assert _required(rules, "ECUReset") == [("vehicle_speed", Reading(0x10, 0xF40D))]


def test_without_a_file_there_are_none() -> None:
    rules = PreconditionRules()
    assert not rules
    assert _required(rules, "ClearDTC") == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "valid dictionary"),
        ({}, "vehicles: Field required"),
        ({"vehicles": [], "vehicle": []}, "vehicle: Extra inputs are not permitted"),
        ({"vehicles": [{"vin": "wdd", "signals": {}}]}, "vehicles.0.vin: String should match pattern"),
        (
            {"vehicles": [{"vin": "", "signals": {"ignition": {**SPEED, "dataId": "F40D"}}}]},
            "vehicles.0.signals.ignition.dataId: should be 0x and hexadecimal digits",
        ),
        (
            {"vehicles": [{"vin": "", "signals": {"ignition": {**SPEED, "dataId": "0xF40D0"}}}]},
            "vehicles.0.signals.ignition.dataId: Input should be less than or equal to 65535",
        ),
        (
            {"vehicles": [{"vin": "", "signals": {"speed": SPEED}}]},
            "signal 'speed' is looked at by no command type; those that are: ignition, supply_voltage, vehicle_speed",
        ),
        (
            {"vehicles": [{"vin": "", "signals": {}}, {"vin": "", "signals": {}}]},
            "vehicles.1.vin: '' occurs twice",
        ),
        ({"vehicles": [], "command_types": {"Clear": []}}, "command_types.Clear: allowed are ClearDTC, ECUReset"),
        (
            {"vehicles": [], "command_types": {"ClearDTC": [{"name": "n", "signal": "s", "comparison": "~"}]}},
            "command_types.ClearDTC.0.comparison: Input should be '=', '!=', '<', '<=', '>' or '>='",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(file: Path, content: Any, complaint: str) -> None:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=r"preconditions\.json") as caught:
        load_preconditions(file)
    message = str(caught.value)
    assert complaint in message
    assert "\n" not in message


def test_a_wrong_file_stops_the_start(tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "database_url": "sqlite:///x",
        "redis_url": "redis://x",
        "rabbitmq_url": "amqp://x",
        "service_token": "0123456789abcdef",
    }
    assert not Settings(**facts).preconditions()
    with pytest.raises(ValidationError, match="cannot be read: No such file"):
        Settings(**facts, preconditions_file=tmp_path / "none.json")
