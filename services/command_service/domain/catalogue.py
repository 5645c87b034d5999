"""The command catalogue: what can be asked of a vehicle, with the JSON Schemas of parameters and responses.

Names are SOVD's (ISO 17978-3) where it has them, and UDS services' (ISO 14229-1) otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from command_service.domain import ecu_scan
from command_service.domain.command import CommandClass
from command_service.domain.lanes import lane_key, whole_vehicle
from command_service.domain.preconditions import Comparison, Precondition
from service_kit.uds import is_functional
from service_kit.uds.dtc import STATUS_BITS
from service_kit.uds.identification import FACTS

MAX_STREAM_SECONDS = 3600


Schema = dict[str, Any]


def _hex(description: str, digits: str, example: str) -> Schema:
    return {
        "type": "string",
        "pattern": f"^0x[0-9A-Fa-f]{{{digits}}}$",
        "description": description,
        "examples": [example],
    }


def _object(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, *, closed: bool = True
) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": not closed,
    }


_ECU = _hex("Address of the ECU: 0x and 1 to 8 hexadecimal digits", "1,8", "0x10")
_DATA_ID = _hex("Data identifier (ISO 14229-1 annex C): 0x and 4 hexadecimal digits", "4", "0xF190")
_ROUTINE_ID = _hex("Routine identifier (ISO 14229-1 annex F): 0x and 4 hexadecimal digits", "4", "0x0203")
_STATUS_MASK = _hex("DTC status mask (ISO 14229-1 annex D.2): only fault entries with one of these bits", "2", "0x08")
_DTC = {
    "type": "string",
    "pattern": "^(0x[0-9A-Fa-f]{6}|[PCBU][0-3][0-9A-Fa-f]{3}(-[0-9A-Fa-f]{2})?)$",
    "description": "A DTC: 3 bytes in hexadecimal, or as displayed (SAE J2012)",
    "examples": ["0x042011", "P0420-11"],
}
_VALUE = {
    "type": "string",
    "pattern": "^(0x([0-9A-Fa-f]{2})+|(?!0x)[^\\u0000]+)$",
    "maxLength": 8192,
    "description": "Bytes in hexadecimal (0x…) or, where an ODX file describes them (DoIP) or the vehicle does (SOVD), "
    "the physical value; of several a JSON object",
    "examples": ["0x0102"],
}
_START = {"action": "start"}


def _preconditions(*, voltage: bool, when: Mapping[str, str] | None = None) -> tuple[Precondition, ...]:
    """The vehicle stands, its ignition is on and, where an ECU must not lose its supply halfway, there is enough."""
    stationary = Precondition("vehicle speed", "vehicle_speed", Comparison.EQUAL, 0, "km/h", when or {})
    ignition = Precondition("ignition (1: on)", "ignition", Comparison.EQUAL, 1, "", when or {})
    supply = Precondition("supply voltage", "supply_voltage", Comparison.AT_LEAST, 11.5, "V", when or {})
    return (stationary, ignition, supply) if voltage else (stationary, ignition)


_STATUS = _object({bit: {"type": "boolean"} for bit in STATUS_BITS} | {"raw": {"type": "string"}}, closed=False)
_TEXT = {"type": "string"}
_FAULT = _object(
    {"code": _TEXT, "display_code": _TEXT, "status": _STATUS},
    {"ecuAddress": _TEXT, "fault_name": _TEXT, "severity": {"type": "integer"}},
    closed=False,
)
_COUNT = _object({"ecuAddress": _TEXT, "count": {"type": "integer"}}, closed=False)
_DATA = _object(
    {"id": _TEXT, "raw": _TEXT},
    # Of several values in one, `value` is an object and `units` has theirs.
    {"ecuAddress": _TEXT, "name": _TEXT, "value": {}, "unit": _TEXT, "units": {}},
    closed=False,
)
_DONE = _object(
    {"ecuAddress": _TEXT},
    {"id": _TEXT, "name": _TEXT, "raw": _TEXT, "value": {}, "unit": _TEXT, "units": {}},
    closed=False,
)
_FUNCTIONAL_ADDRESS = _hex("Functional address that reaches all ECUs (DoIP, 0xE000 to 0xEFFF)", "4", "0xE400") | {
    "pattern": "^0x[Ee][0-9A-Fa-f]{3}$"
}
_FIRST_ADDRESS = _hex("Also ask each address from here on (DoIP): 0x and 1 to 4 hexadecimal digits", "1,4", "0x0001")
_ADDRESS_COUNT = {
    "type": "integer",
    "minimum": 1,
    "maximum": 4096,
    "description": "How many addresses are asked from there on, 256 unless given",
    "examples": [256],
}
_INTERVAL = {
    "type": "integer",
    "minimum": 10,
    "maximum": 60_000,
    "description": "Less than the timeout, which for a stream is the longest gap between two answers",
}
_ECU_FOUND = _object({"ecuAddress": _TEXT}, dict.fromkeys(FACTS, _TEXT), closed=False)


@dataclass(frozen=True, slots=True)
class CommandType:
    """One entry. `repeatable`: doing it twice is the same as once, so that it may be tried again."""

    name: str
    description: str
    command_class: CommandClass
    repeatable: bool
    default_timeout_seconds: int
    parameters_schema: Schema
    response_schema: Schema
    # Where the deployment says where its vehicles keep what is looked at.
    preconditions: tuple[Precondition, ...] = ()

    def lane(self, vehicle_id: str, parameters: Mapping[str, Any]) -> tuple[str, bool]:
        """Lane key and whether the command takes the vehicle exclusively; `parameters` are valid."""
        if "ecuAddress" not in parameters:
            return whole_vehicle(vehicle_id), True
        address = int(parameters["ecuAddress"], 16)
        stream = self.stream_duration_ms(parameters) > 0
        return lane_key(vehicle_id, address, stream=stream), is_functional(address)

    def stream_duration_ms(self, parameters: Mapping[str, Any]) -> int:
        """How long a data stream may last, in milliseconds; 0 for every other command."""
        return int(parameters["duration_s"] * 1000) if self.name == "StreamDataByID" else 0


_TYPES = (
    CommandType(
        "ReadDTC",
        "Read the fault memory of an ECU (ISO 14229-1 service 0x19, reportDTCByStatusMask)",
        CommandClass.READ,
        True,
        30,
        _object({"ecuAddress": _ECU}, {"statusMask": _STATUS_MASK}),
        {"oneOf": [_FAULT, _COUNT]},
    ),
    CommandType(
        "ReadDTCDetails",
        "Read snapshot and extended data of one DTC (ISO 14229-1 service 0x19, 0x04 and 0x06)",
        CommandClass.READ,
        True,
        30,
        _object({"ecuAddress": _ECU, "dtcCode": _DTC}),
        _object({"code": _TEXT}, {"ecuAddress": _TEXT, "snapshots": {}, "extended_data": {}}, closed=False),
    ),
    CommandType(
        "ClearDTC",
        "Clear the fault memory of an ECU, or one DTC of it (ISO 14229-1 service 0x14)",
        CommandClass.WRITE,
        False,
        30,
        _object({"ecuAddress": _ECU}, {"dtcCode": _DTC}),
        _DONE,
        _preconditions(voltage=False),
    ),
    CommandType(
        "ReadDataByID",
        "Read one data identifier (ISO 14229-1 service 0x22)",
        CommandClass.READ,
        True,
        15,
        _object({"ecuAddress": _ECU, "dataId": _DATA_ID}),
        _DATA,
    ),
    CommandType(
        "WriteDataByID",
        "Write one data identifier (ISO 14229-1 service 0x2E)",
        CommandClass.WRITE,
        False,
        15,
        _object({"ecuAddress": _ECU, "dataId": _DATA_ID, "value": _VALUE}),
        _DONE,
        _preconditions(voltage=True),
    ),
    CommandType(
        "RoutineControl",
        "Start or stop a routine or ask for its results (ISO 14229-1 service 0x31)",
        CommandClass.ACTUATE,
        False,
        120,
        _object(
            {
                "ecuAddress": _ECU,
                "routineId": _ROUTINE_ID,
                "action": {"type": "string", "enum": ["start", "stop", "requestResults"]},
            },
            {"parameters": _VALUE},
        ),
        _DONE,
        _preconditions(voltage=True, when=_START),
    ),
    CommandType(
        "ECUReset",
        "Reset an ECU (ISO 14229-1 service 0x11)",
        CommandClass.ACTUATE,
        False,
        60,
        _object({"ecuAddress": _ECU, "resetType": {"type": "string", "enum": ["hard", "keyOffOn", "soft"]}}),
        _DONE,
        _preconditions(voltage=False),
    ),
    CommandType(
        "StreamDataByID",
        "Read data identifiers again and again (ISO 14229-1 service 0x2A, or 0x22 at an interval)",
        CommandClass.READ,
        True,
        15,
        _object(
            {
                "ecuAddress": _ECU,
                "dataIds": {"type": "array", "items": _DATA_ID, "minItems": 1, "maxItems": 32, "uniqueItems": True},
                "interval_ms": _INTERVAL,
                "duration_s": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_STREAM_SECONDS},
            }
        ),
        _DATA,
    ),
    CommandType(
        ecu_scan.COMMAND_NAME,
        "Find out which ECUs answer and what they are (ISO 14229-1 services 0x3E and 0x22); kept with the vehicle",
        CommandClass.READ,
        True,
        60,
        _object(
            {},
            {
                "functionalAddress": _FUNCTIONAL_ADDRESS,
                "firstAddress": _FIRST_ADDRESS,
                "addressCount": _ADDRESS_COUNT,
            },
        ),
        {"oneOf": [_ECU_FOUND, _object({"count": {"type": "integer"}})]},
    ),
)

CATALOGUE: Mapping[str, CommandType] = {command_type.name: command_type for command_type in _TYPES}
