"""What a SOVD server says (ISO 17978-3), read as responses of the catalogue.

Nothing of it is trusted: what cannot be read raises BadAnswer with the bytes. Servers that differ are understood where
that is safe: status bits in snake_case or as "1" and 1, codes with and without 0x, bytes and units beside the value.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from service_kit.uds import nrc_name
from service_kit.uds.dtc import STATUS_BITS, display_code, parse_code
from vehicle_links.dialled import BadResponse, CommandFailed, FateUnknown
from vehicle_links.sovd.http import Answer, BadAnswer
from vehicle_links.unreadable import quoted_text

Object = dict[str, Any]

_QUOTED_BYTES = 600
_TEXT_LENGTH = 500
_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]+)")
_BYTES = re.compile(r"(?:0[xX])?((?:[0-9A-Fa-f]{2} ?)+)")
_CODE = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{6})")
_DISPLAYED = re.compile(r"([PCBU][0-3][0-9A-Fa-f]{3})-?([0-9A-Fa-f]{2})?")
_TRUE = (True, 1, "1", "true", "True")
_NAMES_OF_RAW = ("raw", "x-raw")
_NAMES_OF_UNIT = ("unit", "x-unit")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def object_of(answer: Answer) -> Object:
    """The one JSON object of a body; raises BadAnswer."""
    return parse_object(answer.body)


def given(text: str) -> object:
    """A value as a request carries it: bytes in hexadecimal without 0x; else the JSON that it is, or the text."""
    if text[:2] == "0x":
        return text[2:]
    try:
        value: object = _decode(text)
    except (ValueError, RecursionError):
        return text
    return value


def parse_object(raw: bytes) -> Object:
    try:
        value = _decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"not JSON ({str(error)[:100]})", raw) from error
    if not isinstance(value, dict):
        raise BadAnswer("not a JSON object", raw)
    return value


def items_of(answer: Answer) -> list[Object]:
    """The entries of a list (`items`); raises BadAnswer."""
    items = object_of(answer).get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadAnswer("not a list of items", answer.body)
    return items


def text_of(item: Mapping[str, Any], *names: str) -> str:
    """The first of these attributes that is a text, shortened; "" when none is."""
    for name in names:
        value = item.get(name)
        if isinstance(value, str) and value:
            return value[:_TEXT_LENGTH]
    return ""


def number_of(value: object) -> int | None:
    """12, "0xC", "0C": how servers write addresses and identifiers."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value <= 0xFFFFFFFF else None
    match = _HEX.fullmatch(value) if isinstance(value, str) and len(value) <= 10 else None
    return int(match[1], 16) if match else None


# --- refusals


def check(answer: Answer, what: str) -> Answer:
    """The answer when it is a success. Otherwise raises CommandFailed, or FateUnknown when the server itself does not
    know what became of it (ISO 17978-3, 5.8: GenericError and its error codes)."""
    if 200 <= answer.status < 300:
        return answer
    error = _error_of(answer)
    reason = _reason(answer, error, what)
    if (nrc := _nrc_of(error)) is not None:
        raise negative_response(nrc, reason)
    if answer.status in _REFUSALS:
        raise CommandFailed(_REFUSALS[answer.status], reason)
    if 300 <= answer.status < 400:
        raise CommandFailed("VEHICLE_REDIRECTS", f"{reason}; redirects are not followed")
    if _is_silence(answer, error):
        raise ServerFailed("VEHICLE_TIMEOUT", reason)
    if 400 <= answer.status < 500:
        raise CommandFailed("VEHICLE_REFUSED", reason)
    raise ServerFailed("VEHICLE_ERROR", reason)


class ServerFailed(FateUnknown):
    """The server has failed, or waited in vain for the ECU: for a command that may be repeated just a failure."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_REFUSALS = {
    401: "VEHICLE_UNAUTHORIZED",
    403: "VEHICLE_ACCESS_DENIED",
    404: "NOT_FOUND_ON_VEHICLE",
    405: "UNSUPPORTED_COMMAND",
    409: "VEHICLE_LOCKED",
    423: "VEHICLE_LOCKED",
    429: "VEHICLE_BUSY",
    501: "UNSUPPORTED_COMMAND",
    503: "VEHICLE_BUSY",
}


def negative_response(nrc: int, reason: str) -> CommandFailed:
    return CommandFailed("NEGATIVE_RESPONSE", f"0x{nrc:02X} {nrc_name(nrc)}: {reason}", nrc)


def failure_of(error: object, what: str) -> CommandFailed:
    """A GenericError within a success: of a failed execution, or of an event."""
    error = error if isinstance(error, dict) else {}
    reason = f"{what}: {text_of(error, 'message', 'error_code') or 'the vehicle says no more'}"
    nrc = _nrc_of(error)
    return CommandFailed("VEHICLE_ERROR", reason) if nrc is None else negative_response(nrc, reason)


def bad_response(bad: BadAnswer, what: str) -> BadResponse:
    """The failure that keeps what came; its message shows the beginning, as Python writes bytes."""
    cut = f" ({len(bad.raw)} bytes)" if len(bad.raw) > _QUOTED_BYTES else ""
    beginning = f"{bad.raw[:_QUOTED_BYTES]!r}{cut}"
    return BadResponse(f"{what}: the answer is {bad.reason}", beginning, quoted_text(bad.raw))


def lock_owner(*candidates: Mapping[str, Any]) -> str:
    """Who holds the lock, as far as the server tells; the standard does not make it."""
    for item in candidates:
        for part in (item, item.get("parameters"), item.get("error")):
            if isinstance(part, dict) and (owner := text_of(part, *_NAMES_OF_OWNER)):
                return owner
    return ""


_NAMES_OF_OWNER = ("owner", "x-owner", "lock_owner", "locked_by", "holder", "x_sovd2uds_current_holder", "client_id")


def _error_of(answer: Answer) -> Object:
    """An error without a readable body is still an error: its status says enough."""
    try:
        error = object_of(answer)
    except BadAnswer:
        return {}
    inner = error.get("error")
    return inner if isinstance(inner, dict) else error


def _reason(answer: Answer, error: Object, what: str) -> str:
    said = text_of(error, "message", "detail", "title") or answer.body[:200].decode("ascii", "backslashreplace")
    code = text_of(error, "error_code", "vendor_code", "code")
    parts = [f"{what}: HTTP {answer.status}", code, said]
    if answer.status in (409, 423) and (owner := lock_owner(error)):
        parts.append(f"held by {owner}")
    return ", ".join(part for part in parts if part)


def _nrc_of(error: Object) -> int | None:
    """The negative response code beside `error-response` (ISO 17978-3, 5.8.3)."""
    parameters = error.get("parameters")
    for part in (parameters if isinstance(parameters, dict) else {}, error):
        nrc = next((part[name] for name in part if isinstance(name, str) and name.lower() in ("nrc", "x-nrc")), None)
        number = number_of(nrc)
        if number is not None and 0 < number <= 0xFF:
            return number
    return None


def _is_silence(answer: Answer, error: Object) -> bool:
    """Servers say 408 as well when they gave up waiting (Eclipse OpenSOVD)."""
    return answer.status in (408, 504) or error.get("error_code") == "not-responding"


# --- data (ISO 17978-3, 7.9)


def data_response(address: int, data_id: int, value: Object, raw: bytes) -> Object:
    """`value` is a ReadValue: `id`, `data`, and what servers put beside them."""
    if "data" not in value and "value" not in value and not any(name in value for name in _NAMES_OF_RAW):
        raise BadAnswer("no data", raw)
    data = value.get("data", value.get("value"))
    beside = data if isinstance(data, dict) else {}
    response: Object = {"ecuAddress": f"0x{address:X}", "id": f"0x{data_id:04X}"}
    if name := text_of(value, "name") or text_of(value, "id"):
        response["name"] = name
    response["raw"] = text_of(value, *_NAMES_OF_RAW) or text_of(beside, *_NAMES_OF_RAW) or _as_raw(data)
    response["raw"] = _spelled(response["raw"])
    if (known := _value_of(data)) is not None:
        response["value"] = known
    if unit := text_of(value, *_NAMES_OF_UNIT) or text_of(beside, *_NAMES_OF_UNIT):
        response["unit"] = unit
    return response


def _value_of(data: object) -> object:
    """An object with one value is that value: servers wrap it in the name of its parameter."""
    if not isinstance(data, dict):
        return None if isinstance(data, str) and data[:2] in ("0x", "0X") else data
    values = {name: part for name, part in data.items() if name not in (*_NAMES_OF_RAW, *_NAMES_OF_UNIT)}
    return next(iter(values.values())) if len(values) == 1 else values or None


def _as_raw(data: object) -> str:
    return data if isinstance(data, str) and data[:2] in ("0x", "0X") else ""


def _spelled(raw: str) -> str:
    match = _BYTES.fullmatch(raw)
    return f"0x{match[1].replace(' ', '').upper()}" if match else raw


# --- faults (ISO 17978-3, 7.8)


def fault_response(address: int, fault: Object, raw: bytes) -> Object:
    code = fault.get("code")
    if not isinstance(code, str) or not code:
        raise BadAnswer("a fault without a code", raw)
    number = dtc_number(fault)
    response: Object = {
        "ecuAddress": f"0x{address:X}",
        "code": code[:_TEXT_LENGTH] if number is None else f"0x{number:06X}",
        "display_code": text_of(fault, "display_code") if number is None else display_code(number),
    }
    response["display_code"] = response["display_code"] or response["code"]
    if name := text_of(fault, "fault_name", "name"):
        response["fault_name"] = name
    if isinstance(severity := fault.get("severity"), int) and not isinstance(severity, bool):
        response["severity"] = severity
    return response | {"status": _status(fault.get("status"), raw)}


def details_response(address: int, details: Object, raw: bytes) -> Object:
    """A fault with its environment data: snapshot and extended data records, as the server names them."""
    item = details.get("item", details)
    if not isinstance(item, dict):
        raise BadAnswer("no fault", raw)
    environment = details.get("environment_data", item.get("environment_data"))
    environment = environment if isinstance(environment, dict) else {}
    known = {name: environment.pop(name) for names in _RECORDS.values() for name in names if name in environment}
    response = fault_response(address, item, raw)
    for key, names in _RECORDS.items():
        response[key] = next((known[name] for name in names if name in known), [])
    return response | ({"environment_data": environment} if environment else {})


_RECORDS = {"snapshots": ("snapshots",), "extended_data": ("extended_data", "extended_data_records")}


def dtc_number(fault: Object) -> int | None:
    """The three bytes of the DTC; None for a fault that is none."""
    for text in (fault.get("code"), fault.get("display_code")):
        if isinstance(text, str) and (match := _CODE.fullmatch(text)):
            return int(match[1], 16)
    for text in (fault.get("display_code"), fault.get("code")):
        if isinstance(text, str) and (match := _DISPLAYED.fullmatch(text)):
            return parse_code("-".join(part for part in match.groups() if part))[0]
    return None


def matching_faults(faults: Iterable[Object], wanted: str) -> Iterator[Object]:
    """Those that a DTC code of the catalogue means: 3 bytes in hexadecimal, or as displayed."""
    code, mask = parse_code(wanted)
    for fault in faults:
        number = dtc_number(fault)
        if number is not None and number & mask == code:
            yield fault


def status_byte(status: Mapping[str, object]) -> int:
    return sum(1 << bit for bit, name in enumerate(STATUS_BITS) if status.get(name))


def _status(status: object, raw: bytes) -> Object:
    if status is not None and not isinstance(status, dict):
        raise BadAnswer("a fault whose status is no object", raw)
    said = {_plain(name): value for name, value in (status or {}).items()}
    whole = number_of(said.get("mask", said.get("raw")))
    bits: Object = {}
    for bit, name in enumerate(STATUS_BITS):
        value = said.get(_plain(name))
        bits[name] = bool(whole is not None and whole >> bit & 1) if value is None else value in _TRUE
    aggregated = text_of(status or {}, "aggregatedStatus", "aggregated_status")
    more = {"aggregatedStatus": aggregated} if aggregated else {}
    return {**bits, "raw": f"0x{status_byte(bits):02X}", **more}


def _plain(name: str) -> str:
    """test_failed, testFailed and TestFailed are one."""
    return name.replace("_", "").lower()


# --- executions of operations (ISO 17978-3, 7.14)


def execution_response(execution: Object, status_if_silent: str) -> Object:
    """`status`, and what the operation returned: bytes as `raw`, anything else as `result`."""
    response: Object = {"status": text_of(execution, "status") or status_if_silent}
    result = execution.get("parameters", execution.get("result"))
    if isinstance(result, dict) and len(result) == 1 and text_of(result, *_NAMES_OF_RAW):
        result = text_of(result, *_NAMES_OF_RAW)
    if isinstance(result, str) and _BYTES.fullmatch(result):
        response["raw"] = _spelled(result)
    elif result not in (None, {}, "", []):
        response["result"] = result
    return response


# --- events (ISO 17978-3, 5.2.2: server-sent events, table 5: EventEnvelope)


def event_payload(data: bytes) -> Object:
    """The payload of one event; raises CommandFailed for the error that it may carry instead."""
    event = parse_object(data)
    if event.get("error") is not None:
        raise failure_of(event["error"], "an event of the subscription")
    payload = event.get("payload", event)
    if not isinstance(payload, dict):
        raise BadAnswer("an event without payload", data)
    return payload


class EventLines:
    """Server-sent events, from chunks as they come: the data of each event that is complete."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._most_bytes:
            raise BadAnswer("an event without end", self._rest)
        events = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                events.append(b"\n".join(self._data))
                self._data, self._size = [], 0
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        self._size += len(line) + 1  # also an empty one takes memory
        if self._size > self._most_bytes:
            raise BadAnswer("an event without end", b"\n".join(self._data))
        self._data.append(value.removeprefix(b" "))
