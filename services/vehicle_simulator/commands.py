"""What a simulated vehicle answers to each command of the catalogue. These take effect at once and never wait."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service_kit.uds import NOT_SAID_TO_ALL, is_functional
from service_kit.uds.identification import FACTS
from vehicle_simulator.data_identifiers import data_json, to_json
from vehicle_simulator.ecus import ENGINE_ADDRESS, Ecu, VehicleModel
from vehicle_simulator.failures import (
    SUB_FUNCTION_NOT_SUPPORTED,
    CommandFailed,
    negative_response,
)

Params = Mapping[str, Any]

RESET_TYPES = ("hard", "keyOffOn", "soft")

_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{1,8}")
_IDENTIFIER = re.compile(r"0x[0-9A-Fa-f]{4}")
_MASK = re.compile(r"0x[0-9A-Fa-f]{1,2}")
_BYTES = re.compile(r"0x((?:[0-9A-Fa-f]{2})+)")


@dataclass(frozen=True, slots=True)
class Stream:
    """What StreamDataByID asks for."""

    ecu: Ecu
    data_ids: tuple[int, ...]
    interval_s: float
    rounds: int

    def responses(self, now: float) -> list[str]:
        return [_data(self.ecu, data_id, now) for data_id in self.data_ids]


def parse_params(command_params: str) -> Params:
    try:
        params = json.loads(command_params)
    except ValueError as error:
        raise _invalid(f"parameters are no JSON: {error}") from None
    if not isinstance(params, dict):
        raise _invalid("parameters must be a JSON object")
    return params


def answers(vehicle: VehicleModel, command_name: str, params: Params, now: float) -> list[str]:
    """All responses, in order; raises CommandFailed. The command has taken effect when this returns."""
    handler = _HANDLERS.get(command_name)
    if handler is None:
        raise CommandFailed("UNSUPPORTED_COMMAND", f"this vehicle does not know {command_name!r}")
    if handler is _scan:
        found = [response for ecu in vehicle.all_ecus() for response in _scan(vehicle, ecu, params, now)]
        return [*found, f'{{"count":{len(found)}}}']
    address = int(_matching(params, "ecuAddress", _ADDRESS), 16)
    if is_functional(address):
        responses = _ask_all(handler, vehicle, params, now)
    else:
        responses = handler(vehicle, vehicle.ecu(address), params, now)
    if command_name == "ReadDTC":
        responses.append(f'{{"ecuAddress":"0x{address:X}","count":{len(responses)}}}')
    return responses


def stream(vehicle: VehicleModel, params: Params, now: float) -> Stream:
    """What StreamDataByID asks for, checked: every identifier is known."""
    data_ids, interval_ms, duration_s = params.get("dataIds"), params.get("interval_ms"), params.get("duration_s")
    if not isinstance(data_ids, list) or not data_ids:
        raise _invalid("dataIds must be a list of data identifiers")
    if not isinstance(interval_ms, (int, float)) or not isinstance(duration_s, (int, float)) or interval_ms <= 0:
        raise _invalid("interval_ms and duration_s must be numbers")
    ids = tuple(int(_matching({"dataIds": data_id}, "dataIds", _IDENTIFIER), 16) for data_id in data_ids)
    ecu = vehicle.ecu(int(_matching(params, "ecuAddress", _ADDRESS), 16))
    plan = Stream(ecu, ids, interval_ms / 1000, max(1, int(duration_s * 1000 / interval_ms)))
    plan.responses(now)
    return plan


def _ask_all(handler: "_Handler", vehicle: VehicleModel, params: Params, now: float) -> list[str]:
    responses: list[str] = []
    refusal = CommandFailed("ECU_NOT_REACHABLE", "no ECU answers to that")
    for ecu in vehicle.all_ecus():
        try:
            responses += handler(vehicle, ecu, params, now)
        except CommandFailed as failure:
            if failure.nrc not in NOT_SAID_TO_ALL:
                refusal = failure
    if not responses and handler is not _read_dtc:
        raise refusal
    return responses


def _read_dtc(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    mask = int(_matching(params, "statusMask", _MASK), 16) if "statusMask" in params else 0xFF
    return ecu.memory.read(ecu.address, mask)


def _read_dtc_details(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    return ecu.memory.details(ecu.address, _text(params, "dtcCode"))


def _clear_dtc(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    ecu.memory.clear(_text(params, "dtcCode") if "dtcCode" in params else None)
    return [f'{{"ecuAddress":"0x{ecu.address:X}"}}']


def _read_data(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    return [_data(ecu, int(_matching(params, "dataId", _IDENTIFIER), 16), now)]


def _write_data(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    data_id = int(_matching(params, "dataId", _IDENTIFIER), 16)
    ecu.data.write(data_id, _bytes(params, "value"))
    return [_data(ecu, data_id, now)]


def _routine_control(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    state = ecu.routines.control(
        int(_matching(params, "routineId", _IDENTIFIER), 16),
        _text(params, "action"),
        _bytes(params, "parameters") if "parameters" in params else b"",
        vehicle.engine_running and ecu.address == ENGINE_ADDRESS,
        now,
    )
    response = {
        "ecuAddress": f"0x{ecu.address:X}",
        "id": f"0x{state.routine.id:04X}",
        "name": state.routine.name,
        "action": params["action"],
        "status": state.status,
    }
    return [to_json(response | ({"raw": f"0x{state.raw.hex().upper()}"} if state.raw else {}))]


def _ecu_reset(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    reset_type = _text(params, "resetType")
    if reset_type not in RESET_TYPES:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, f"{reset_type!r}: only {', '.join(RESET_TYPES)}")
    ecu.reset()
    return [f'{{"ecuAddress":"0x{ecu.address:X}","resetType":"{reset_type}"}}']


def _scan(vehicle: VehicleModel, ecu: Ecu, params: Params, now: float) -> list[str]:
    known = {definition.id: definition for definition in ecu.data.definitions()}
    said: dict[str, object] = {"ecuAddress": f"0x{ecu.address:X}"}
    for fact, data_ids in FACTS.items():
        for data_id in (data_id for data_id in reversed(data_ids) if data_id in known):
            said[fact] = known[data_id].value(ecu.data.read(data_id, now))
    return [to_json(said)]


def _data(ecu: Ecu, data_id: int, now: float) -> str:
    return data_json(ecu.address, ecu.data.definition(data_id), ecu.data.read(data_id, now))


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise _invalid(f"{name} must be a text")
    return value


def _matching(params: Params, name: str, pattern: re.Pattern[str]) -> str:
    value = _text(params, name)
    if pattern.fullmatch(value) is None:
        raise _invalid(f"{name} must match {pattern.pattern}")
    return value


def _bytes(params: Params, name: str) -> bytes:
    match = _BYTES.fullmatch(_text(params, name))
    if match is None:
        raise _invalid(f"{name}: this vehicle takes bytes, 0x and pairs of hexadecimal digits")
    return bytes.fromhex(match[1])


def _invalid(message: str) -> CommandFailed:
    return CommandFailed("INVALID_PARAMETERS", message)


_Handler = Callable[[VehicleModel, Ecu, Params, float], list[str]]
_HANDLERS: dict[str, _Handler] = {
    "ReadDTC": _read_dtc,
    "ReadDTCDetails": _read_dtc_details,
    "ClearDTC": _clear_dtc,
    "ReadDataByID": _read_data,
    "WriteDataByID": _write_data,
    "RoutineControl": _routine_control,
    "ECUReset": _ecu_reset,
    "ScanECUs": _scan,
}
COMMAND_NAMES = frozenset((*_HANDLERS, "StreamDataByID"))
