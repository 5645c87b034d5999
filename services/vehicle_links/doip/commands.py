"""The catalogue's commands as UDS requests (ISO 14229-1), and their answers as the catalogue's responses."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from udsoncan.services.ClearDiagnosticInformation import ClearDiagnosticInformation
from udsoncan.services.ECUReset import ECUReset
from udsoncan.services.ReadDataByIdentifier import ReadDataByIdentifier
from udsoncan.services.ReadDTCInformation import ReadDTCInformation
from udsoncan.services.RoutineControl import RoutineControl
from udsoncan.services.WriteDataByIdentifier import WriteDataByIdentifier

from service_kit.uds.dtc import ALL_DTCS, fault_object, parse_code
from vehicle_links.dialled import LINK_OUTCOMES, CommandFailed, Execution, FateUnknown
from vehicle_links.doip import decoding
from vehicle_links.doip.decoding import Json, SizeNeeded, hexadecimal
from vehicle_links.doip.descriptions import RAW, Description
from vehicle_links.doip.ecu import EcuSession, Negative

_READ_DTC = ReadDTCInformation.request_id()
_BY_STATUS_MASK: int = ReadDTCInformation.Subfunction.reportDTCByStatusMask
_SNAPSHOTS: int = ReadDTCInformation.Subfunction.reportDTCSnapshotRecordByDTCNumber
_EXTENDED_DATA: int = ReadDTCInformation.Subfunction.reportDTCExtendedDataRecordByDTCNumber
_ALL_RECORDS = 0xFF
_ACTIONS: Mapping[str, int] = {
    "start": RoutineControl.ControlType.startRoutine,
    "stop": RoutineControl.ControlType.stopRoutine,
    "requestResults": RoutineControl.ControlType.requestRoutineResults,
}
_RESETS: Mapping[str, int] = {
    "hard": ECUReset.ResetType.hardReset,
    "keyOffOn": ECUReset.ResetType.keyOffOnReset,
    "soft": ECUReset.ResetType.softReset,
}
_BYTES = re.compile(r"0x(?:[0-9A-Fa-f]{2})+")
_MOST_SIZES_ASKED = 64

Params = Mapping[str, Any]


async def run(ecu: EcuSession, execution: Execution) -> None:
    """Asks what the command asks, and responds. Raises what links raise (see dialled.py)."""
    handler = _HANDLERS.get(execution.command.command_name)
    if handler is None:
        raise CommandFailed("UNSUPPORTED_COMMAND", f"{execution.command.command_name} is not known over DoIP")
    await handler(ecu, execution, execution.parameters)


def simple_request(command_name: str, params: Params) -> bytes | None:
    """The one request of a command that can be said to all ECUs at once; None: it cannot."""
    build = _REQUESTS.get(command_name)
    return None if build is None or "dtcCode" in params else build(params)


def responses_to(
    command_name: str, params: Params, ecu_address: int, answer: bytes, description: Description
) -> list[Json]:
    """Of one ECU's positive answer to `simple_request`."""
    if command_name == "ReadDTC":
        known = decoding.dtcs(answer)
        return [fault_object(ecu_address, code, status) | description.fault(code) for code, status in known]
    about: Json = {"ecuAddress": f"0x{ecu_address:X}"}
    if command_name == "ReadDataByID":
        return [_data_response(ecu_address, number(params, "dataId"), answer, description)]
    if command_name == "WriteDataByID":
        data_id, written = number(params, "dataId"), _bytes(params, "value")
        shown = about | {"id": f"0x{data_id:04X}", "raw": hexadecimal(written)}
        return [shown | description.data(data_id, written)]
    if command_name == "ECUReset":
        return [about | {"resetType": params["resetType"]}]
    if command_name == "RoutineControl":
        shown = about | {"id": f"0x{number(params, 'routineId'):04X}", "action": params["action"]}
        shown |= {"raw": hexadecimal(answer[4:])} if len(answer) > 4 else {}
        return [shown | description.routine(_routine_request(params), answer)]
    return [about]


def fault_count(ecu_address: int, count: int) -> Json:
    """The last response of ReadDTC."""
    return {"ecuAddress": f"0x{ecu_address:X}", "count": count}


async def described(ecu: EcuSession, execution: Execution) -> Description:
    """To understand an answer that is there already: what goes wrong now does not change how the command ended."""
    try:
        return await ecu.description(execution)
    except LINK_OUTCOMES:
        return RAW


def ecu_address(params: Params) -> int:
    """Raises CommandFailed for what is no logical address of DoIP."""
    address = number(params, "ecuAddress")
    if address > 0xFFFF:
        raise CommandFailed("INVALID_PARAMETERS", f"a DoIP logical address has 2 bytes, 0x{address:X} has more")
    return address


# --- what is one request


def _read_dtc_request(params: Params) -> bytes:
    mask = int(str(params.get("statusMask", "0xFF")), 16)
    return bytes((_READ_DTC, _BY_STATUS_MASK, mask))


def _clear_request(params: Params) -> bytes:
    return _clear(ALL_DTCS)


def _read_data_request(params: Params) -> bytes:
    return read_data(number(params, "dataId"))


def _write_beginning(params: Params) -> bytes:
    return bytes((WriteDataByIdentifier.request_id(),)) + _two_bytes(params, "dataId")


def _write_data_request(params: Params) -> bytes:
    return _write_beginning(params) + _bytes(params, "value")


def _routine_beginning(params: Params) -> bytes:
    action = _one_of(_ACTIONS, params, "action")
    return bytes((RoutineControl.request_id(), action)) + _two_bytes(params, "routineId")


def _routine_request(params: Params) -> bytes:
    return _routine_beginning(params) + (_bytes(params, "parameters") if "parameters" in params else b"")


def _reset_request(params: Params) -> bytes:
    return bytes((ECUReset.request_id(), _one_of(_RESETS, params, "resetType")))


# --- handlers


async def _one_request(ecu: EcuSession, execution: Execution, params: Params) -> None:
    name = execution.command.command_name
    if name in _PHYSICAL:
        params = await _with_bytes(ecu, execution, params, *_PHYSICAL[name])
    answer = await ecu.ask(execution, _REQUESTS[name](params))
    responses = responses_to(name, params, ecu.address, answer, await described(ecu, execution))
    for response in responses:
        await execution.respond(response)
    if name == "ReadDTC":
        await execution.respond(fault_count(ecu.address, len(responses)))


async def _with_bytes(
    ecu: EcuSession, execution: Execution, params: Params, name: str, beginning: Callable[[Params], bytes]
) -> Params:
    """What is not given in bytes is physical: a value, or several."""
    value = params.get(name)
    if not isinstance(value, str) or value[:2] == "0x":
        return params
    try:
        description = await ecu.description(execution)
        return {**params, name: hexadecimal(description.encoded(beginning(params), value))}
    except ValueError as error:
        raise CommandFailed("INVALID_PARAMETERS", f"{name}: {error}") from None
    except FateUnknown as unknown:
        raise CommandFailed("VEHICLE_CONNECTION_LOST", f"{unknown}, before anything was written") from None


async def _clear_dtc(ecu: EcuSession, execution: Execution, params: Params) -> None:
    """One DTC, all of one code, or all there are."""
    codes = await _matching(ecu, execution, params["dtcCode"]) if "dtcCode" in params else [ALL_DTCS]
    for code in codes:
        await ecu.ask(execution, _clear(code))
        execution.changed_something = True
    await execution.respond({"ecuAddress": f"0x{ecu.address:X}"})


async def _read_details(ecu: EcuSession, execution: Execution, params: Params) -> None:
    for code in await _matching(ecu, execution, params["dtcCode"]):
        await execution.respond(await _details(ecu, execution, code))


async def _details(ecu: EcuSession, execution: Execution, code: int) -> Json:
    snapshots, extended = await _records(ecu, execution, code)
    description = await described(ecu, execution)
    details = decoding.fault_details(ecu.address, code, snapshots, extended) | description.fault(code)
    details["snapshots"] = await _split(
        partial(decoding.snapshot_records, describe=description.data),
        snapshots,
        ecu.data_sizes,
        lambda data_id: _data_size(ecu, execution, data_id, description),
    )
    details["extended_data"] = await _split(
        partial(decoding.extended_data_records, describe=description.extended_data),
        extended,
        {},
        lambda number: _record_size(ecu, execution, code, number),
    )
    return details


async def _stream(ecu: EcuSession, execution: Execution, params: Params) -> None:
    """Round by round at its interval; a round that took longer is followed by the next at once."""
    data_ids = [int(data_id, 16) for data_id in params["dataIds"]]
    interval, duration = params["interval_ms"] / 1000, params["duration_s"]
    clock = asyncio.get_running_loop().time
    begin = clock()
    for number in range(max(1, int(duration / interval))):
        await _pause(execution, begin + number * interval - clock())
        if clock() - begin > duration:
            break
        await _stream_round(ecu, execution, data_ids)


async def _stream_round(ecu: EcuSession, execution: Execution, data_ids: Sequence[int]) -> None:
    for data_id in data_ids:
        answer = await ecu.ask(execution, read_data(data_id))
        description = await described(ecu, execution)
        await execution.respond(_data_response(ecu.address, data_id, answer, description))


async def _pause(execution: Execution, seconds: float) -> None:
    """Shorter when it is to stop; the next request then says so."""
    if seconds > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(execution.stop_requested.wait(), seconds)


# --- parts of them


async def _matching(ecu: EcuSession, execution: Execution, text: str) -> list[int]:
    """The codes that a text stands for: one, or of "P0420" those that the ECU has stored."""
    try:
        wanted, mask = parse_code(text)
    except ValueError as error:
        raise CommandFailed("INVALID_PARAMETERS", str(error)) from None
    if mask == ALL_DTCS:
        return [wanted]
    stored = decoding.dtcs(await ecu.ask(execution, bytes((_READ_DTC, _BY_STATUS_MASK, 0xFF))))
    found = [code for code, _ in stored if code & mask == wanted]
    if not found:
        raise CommandFailed("DTC_NOT_STORED", f"{text} is not stored in ECU 0x{ecu.address:X}")
    return found


async def _records(ecu: EcuSession, execution: Execution, code: int) -> tuple[bytes, bytes]:
    """Snapshots and extended data. Of one of both an ECU may know nothing (empty); of neither: its refusal comes."""
    try:
        snapshots = await _record(ecu, execution, _SNAPSHOTS, code)
    except Negative:
        return b"", await _record(ecu, execution, _EXTENDED_DATA, code)
    try:
        return snapshots, await _record(ecu, execution, _EXTENDED_DATA, code)
    except Negative:
        return snapshots, b""


async def _record(ecu: EcuSession, execution: Execution, report: int, code: int, number: int = _ALL_RECORDS) -> bytes:
    return await ecu.ask(execution, bytes((_READ_DTC, report)) + code.to_bytes(3, "big") + bytes((number,)))


async def _split(
    decode: Callable[[bytes, Mapping[int, int]], list[Json]],
    answer: bytes,
    sizes: dict[int, int],
    ask_size: Callable[[int], Awaitable[int]],
) -> list[Json]:
    """Records follow each other without a length: where one ends the ECU is asked by other means."""
    for _ in range(_MOST_SIZES_ASKED):
        try:
            return decode(answer, sizes)
        except SizeNeeded as needed:
            sizes[needed.identifier] = await ask_size(needed.identifier)
    return [{"raw": hexadecimal(answer)}]


def _data_response(address: int, data_id: int, answer: bytes, description: Description) -> Json:
    return decoding.data_value(address, data_id, answer) | description.data(data_id, answer[3:])


async def _data_size(ecu: EcuSession, execution: Execution, data_id: int, description: Description) -> int:
    """A snapshot holds what reading the identifier would give; 0: the ECU does not say."""
    if size := description.data_size(data_id):
        return size
    try:
        return len(await ecu.ask(execution, read_data(data_id))) - 3
    except Negative:
        return 0


async def _record_size(ecu: EcuSession, execution: Execution, code: int, number: int) -> int:
    """0: the ECU does not say."""
    try:
        return max(0, len(await _record(ecu, execution, _EXTENDED_DATA, code, number)) - 7)
    except Negative:
        return 0


def _clear(code: int) -> bytes:
    return bytes((ClearDiagnosticInformation.request_id(),)) + code.to_bytes(3, "big")


def read_data(data_id: int) -> bytes:
    return bytes((ReadDataByIdentifier.request_id(),)) + data_id.to_bytes(2, "big")


# --- parameters: the command service has checked them against the catalogue's schema


def number(params: Params, name: str) -> int:
    try:
        return int(params[name], 16)
    except (KeyError, ValueError, TypeError):
        raise CommandFailed("INVALID_PARAMETERS", f"{name} must be 0x and hexadecimal digits") from None


def _two_bytes(params: Params, name: str) -> bytes:
    return (number(params, name) & 0xFFFF).to_bytes(2, "big")


def _bytes(params: Params, name: str) -> bytes:
    text = params.get(name)
    if not isinstance(text, str) or _BYTES.fullmatch(text) is None:
        raise CommandFailed("INVALID_PARAMETERS", f"{name} must be 0x and pairs of hexadecimal digits")
    return bytes.fromhex(text[2:])


def _one_of(known: Mapping[str, int], params: Params, name: str) -> int:
    value = known.get(str(params.get(name)))
    if value is None:
        raise CommandFailed("INVALID_PARAMETERS", f"{name} must be one of {', '.join(known)}")
    return value


_REQUESTS: Mapping[str, Callable[[Params], bytes]] = {
    "ReadDTC": _read_dtc_request,
    "ClearDTC": _clear_request,
    "ReadDataByID": _read_data_request,
    "WriteDataByID": _write_data_request,
    "RoutineControl": _routine_request,
    "ECUReset": _reset_request,
}
# The parameter that may be physical, and what of the request comes before it.
_PHYSICAL: Mapping[str, tuple[str, Callable[[Params], bytes]]] = {
    "WriteDataByID": ("value", _write_beginning),
    "RoutineControl": ("parameters", _routine_beginning),
}
_HANDLERS: Mapping[str, Callable[[EcuSession, Execution, Params], Awaitable[None]]] = {
    "ReadDTC": _one_request,
    "ReadDTCDetails": _read_details,
    "ClearDTC": _clear_dtc,
    "ReadDataByID": _one_request,
    "WriteDataByID": _one_request,
    "RoutineControl": _one_request,
    "ECUReset": _one_request,
    "StreamDataByID": _stream,
}
