"""What one variant of an ODX file says of an ECU's bytes."""

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from odxtools.dataobjectproperty import DataObjectProperty
from odxtools.diaglayers.diaglayer import DiagLayer
from odxtools.diagnostictroublecode import DiagnosticTroubleCode
from odxtools.diagservice import DiagService
from odxtools.exceptions import DecodeError, OdxError, OdxWarning
from odxtools.odxtypes import BytesTypes
from odxtools.parameters.parameter import Parameter
from odxtools.parameters.valueparameter import ValueParameter
from odxtools.response import Response

from vehicle_links.doip.decoding import Json

_READ_DATA = 0x22
_WRITE_DATA = 0x2E
_POSITIVE = 0x40
# What a response says of the request, or of nothing.
_NO_VALUES = ("CODED-CONST", "MATCHING-REQUEST-PARAM", "NRC-CONST", "RESERVED", "PHYS-CONST")


@contextmanager
def strictly() -> Iterator[None]:
    """What does not fit a description is an error: the library only warns of a constant that is another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=OdxWarning)
        warnings.simplefilter("error", category=DecodeError)
        yield


class EcuDescription:
    """The Description of vehicle_links.doip.descriptions."""

    def __init__(self, layer: DiagLayer) -> None:
        self._services = _by_service_byte(layer.services)
        self._faults = {dtc.trouble_code: dtc for dop in layer.diag_data_dictionary_spec.dtc_dops for dtc in dop.dtcs}

    def fault(self, code: int) -> Json:
        """A file may know DTCs without their failure type byte."""
        dtc = self._faults.get(code) or self._faults.get(code >> 8)
        if dtc is None:
            return {}
        said: Json = {"fault_name": str(dtc.text or dtc.long_name or dtc.short_name).strip()}
        return said if dtc.level is None else said | {"severity": dtc.level}

    def data(self, data_id: int, raw: bytes) -> Json:
        identifier = data_id.to_bytes(2, "big")
        return self.answer(bytes((_READ_DATA,)) + identifier, bytes((_READ_DATA + _POSITIVE,)) + identifier + raw)

    def answer(self, request: bytes, answer: bytes) -> Json:
        for service, response in self._responses(request, answer):
            # An answer that is not as described is shown raw: nothing that a vehicle sends, or a description leads the
            # library to do with it, is an error of ours.
            try:
                bits = response.get_static_bit_length()
                if bits is None or bits == 8 * len(answer):
                    with strictly():
                        return _as_json(service, response, response.decode(answer))
            except Exception:  # noqa: S112
                continue
        return {}

    def data_size(self, data_id: int) -> int:
        request = bytes((_READ_DATA,)) + data_id.to_bytes(2, "big")
        for _, response in self._responses(request, bytes((_READ_DATA + _POSITIVE,)) + request[1:]):
            bits = response.get_static_bit_length()
            return max(0, bits // 8 - len(request)) if bits else 0
        return 0

    def encoded(self, data_id: int, value: str) -> bytes:
        request = bytes((_WRITE_DATA,)) + data_id.to_bytes(2, "big")
        service = next(self._asked_by(request), None)
        if service is None or service.request is None:
            raise ValueError(f"its ODX description does not say how 0x{data_id:04X} is written: give bytes, as 0x0102")
        values = [one for one in service.request.parameters if isinstance(one, ValueParameter)]
        try:
            encoded = bytes(service.encode_request(**_physical(values, value)))
        except (OdxError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{value!r} is no value of {', '.join(map(_allowed, values))} ({error})") from None
        if not encoded.startswith(request) or len(encoded) == len(request):
            raise ValueError(f"its ODX description makes no data of {value!r}")
        return encoded[len(request) :]

    # --- inside

    def _asked_by(self, request: bytes) -> Iterator[DiagService]:
        """The most specific first."""
        fitting = [one for one in self._services.get(request[0], ()) if request.startswith(one[0])]
        for _, service in sorted(fitting, key=lambda one: -len(one[0])):
            yield service

    def _responses(self, request: bytes, answer: bytes) -> Iterator[tuple[DiagService, Response]]:
        """Those whose constant beginning the answer has. What the library cannot follow is not there."""
        for service in self._asked_by(request):
            for response in service.positive_responses:
                if answer.startswith(bytes(response.coded_const_prefix(request_prefix=request))):
                    yield service, response


def _by_service_byte(services: Iterable[DiagService]) -> dict[int, list[tuple[bytes, DiagService]]]:
    """Each with the constant beginning of its request."""
    found: dict[int, list[tuple[bytes, DiagService]]] = {}
    for service in services:
        if service.request is not None and (prefix := bytes(service.request.coded_const_prefix())):
            found.setdefault(prefix[0], []).append((prefix, service))
    return found


def _as_json(service: DiagService, response: Response, decoded: Mapping[str, Any]) -> Json:
    """One value as it is, with its unit; of several an object, and their units in another."""
    shown = [one for one in response.parameters if one.parameter_type not in _NO_VALUES and one.short_name in decoded]
    units = {one.short_name: unit for one in shown if (unit := _unit_of(one))}
    if not shown:
        return {"name": service.short_name}
    if len(shown) == 1:
        (only,) = shown
        said: Json = {"name": only.long_name or only.short_name, "value": _plain(decoded[only.short_name])}
        return said | ({"unit": units[only.short_name]} if units else {})
    values = {one.short_name: _plain(decoded[one.short_name]) for one in shown}
    several: Json = {"name": service.long_name or service.short_name, "value": values}
    return several | {"units": units} if units else several


def _unit_of(parameter: Parameter) -> str:
    dop = parameter.dop if isinstance(parameter, ValueParameter) else None
    unit = dop.unit if isinstance(dop, DataObjectProperty) else None
    return "" if unit is None else unit.display_name or unit.short_name


def _plain(value: Any) -> object:
    """As JSON has it. A scaled number is not shown finer than it is meant."""
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else str(value)
    if isinstance(value, DiagnosticTroubleCode):
        return value.display_trouble_code or value.short_name
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, BytesTypes) and not isinstance(value, int):
        return f"0x{bytes(value).hex().upper()}"
    return value if isinstance(value, int | str) else str(value)


def _physical(parameters: list[ValueParameter], text: str) -> dict[str, Any]:
    """The text of the only value, or a JSON object of several."""
    required = [one for one in parameters if one.is_required] or parameters
    if len(required) == 1:
        return {required[0].short_name: _typed(required[0], text)}
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError("several values are needed, as a JSON object")
    known = {one.short_name: one for one in parameters}
    return {name: _typed(known[name], str(part)) for name, part in given.items()}


def _typed(parameter: ValueParameter, text: str) -> Any:
    kind = parameter.physical_type
    return text if kind is None else kind.base_data_type.from_string(text)


def _allowed(parameter: ValueParameter) -> str:
    """The value's name, type and unit."""
    kind, unit = parameter.physical_type, _unit_of(parameter)
    what = [str(part) for part in (kind and kind.base_data_type, unit and f"in {unit}") if part]
    return f"{parameter.short_name} ({', '.join(what)})" if what else parameter.short_name
