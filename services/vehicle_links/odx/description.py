"""What one variant of an ODX file says of an ECU's bytes."""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from odxtools.compumethods.texttablecompumethod import TexttableCompuMethod
from odxtools.dataobjectproperty import DataObjectProperty
from odxtools.decodestate import DecodeState
from odxtools.diaglayers.diaglayer import DiagLayer
from odxtools.diagnostictroublecode import DiagnosticTroubleCode
from odxtools.diagservice import DiagService
from odxtools.exceptions import DecodeError, OdxError, OdxWarning
from odxtools.odxtypes import BytesTypes
from odxtools.parameters.parameter import Parameter
from odxtools.parameters.valueparameter import ValueParameter
from odxtools.request import Request
from odxtools.response import Response

from vehicle_links.doip.decoding import Json

_READ_DATA = 0x22
_POSITIVE = 0x40
_BITS_WITHOUT_TYPE = 16
# Of an answer 0x59 0x06: services, DTC, status, and the number of the record.
_RECORD_HEAD = 7
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
        self._faults: dict[int, DiagnosticTroubleCode] = {}
        self._faults_of_any_type: dict[int, DiagnosticTroubleCode] = {}
        for dop in layer.diag_data_dictionary_spec.dtc_dops:
            two_bytes = dop.diag_coded_type.get_static_bit_length() == _BITS_WITHOUT_TYPE
            known = self._faults_of_any_type if two_bytes else self._faults
            known.update((dtc.trouble_code, dtc) for dtc in dop.dtcs)

    def fault(self, code: int) -> Json:
        """A file may know DTCs without their failure type byte."""
        dtc = self._faults.get(code) or self._faults_of_any_type.get(code >> 8)
        if dtc is None:
            return {}
        said: Json = {"fault_name": str(dtc.text or dtc.long_name or dtc.short_name).strip()}
        return said if dtc.level is None else said | {"severity": dtc.level}

    def data(self, data_id: int, raw: bytes) -> Json:
        identifier = data_id.to_bytes(2, "big")
        request, answer = bytes((_READ_DATA,)) + identifier, bytes((_READ_DATA + _POSITIVE,)) + identifier + raw
        return next(self._read(request, answer, _data_as_json), {})

    def routine(self, request: bytes, answer: bytes) -> Json:
        return next(self._read(request, answer, _routine_as_json), {})

    def extended_data(self, answer: bytes) -> Json:
        """Of services that understand it differently none is believed: all of them are asked for by the same bytes."""
        request = bytes((answer[0] - _POSITIVE,)) + answer[1:5] + answer[6:_RECORD_HEAD]
        found = list(self._read(request, answer, _record_as_json))
        return found[0] if found and all(one == found[0] for one in found) else {}

    def data_size(self, data_id: int) -> int:
        request = bytes((_READ_DATA,)) + data_id.to_bytes(2, "big")
        for _, response in self._responses(request, bytes((_READ_DATA + _POSITIVE,)) + request[1:]):
            bits = response.get_static_bit_length()
            return max(0, bits // 8 - len(request)) if bits else 0
        return 0

    def encoded(self, request: bytes, values: str) -> bytes:
        service = next(self._asked_by(request), None)
        known = [] if service is None or service.request is None else _values_in(service.request)
        if service is None or not known:
            shown = request.hex().upper()
            raise ValueError(f"its ODX description has no values for a request 0x{shown}…: give bytes, as 0x0102")
        try:
            encoded = bytes(service.encode_request(**_physical(known, values)))
        except (OdxError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{values!r} is no value of {', '.join(map(_allowed, known))} ({error})") from None
        if not encoded.startswith(request) or len(encoded) == len(request):
            raise ValueError(f"its ODX description makes no data of {values!r}")
        return encoded[len(request) :]

    # --- inside

    def _read(self, request: bytes, answer: bytes, read: "_Reader") -> Iterator[Json]:
        """By each service that describes the answer."""
        for service, response in self._responses(request, answer):
            # An answer that is not as described is shown raw: nothing that a vehicle sends, or a description leads the
            # library to do with it, is an error of ours.
            try:
                with strictly():
                    said = _said_by(service, response, answer, read)
            except Exception:  # noqa: S112
                continue
            if said is not None:
                yield said

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


_Reader = Callable[[DiagService, Response, bytes], Json]
_Shown = Sequence[tuple[Parameter, Any]]


def _said_by(service: DiagService, response: Response, answer: bytes, read: _Reader) -> Json | None:
    """None: it is longer or shorter than the description."""
    bits = response.get_static_bit_length()
    return read(service, response, answer) if bits is None or bits == 8 * len(answer) else None


def _data_as_json(service: DiagService, response: Response, answer: bytes) -> Json:
    shown = _shown(response, answer)
    return _one(*shown[0]) if len(shown) == 1 else {"name": service.long_name or service.short_name} | _several(shown)


def _routine_as_json(service: DiagService, response: Response, answer: bytes) -> Json:
    return {"name": service.long_name or service.short_name} | _several(_shown(response, answer))


def _record_as_json(service: DiagService, response: Response, answer: bytes) -> Json:
    """However a description splits records (one after the other, by their number, by the DTC), there is one."""
    state = DecodeState(coded_message=answer)
    behind: list[tuple[Parameter, Any]] = []
    state.journal = _Journal(state, behind)
    response.decode_from_pdu(state)
    if state.cursor_byte_position != len(answer):
        raise DecodeError("there is more of it")
    return _one(*behind[0]) if len(behind) == 1 else _several(behind)


class _Journal(list[tuple[Parameter, Any]]):
    """Every parameter once it is decoded, also within others; `behind` gets the values behind the record's number."""

    def __init__(self, state: DecodeState, behind: list[tuple[Parameter, Any]]) -> None:
        super().__init__()
        self._state = state
        self._behind = behind

    def append(self, decoded: tuple[Parameter, Any]) -> None:
        super().append(decoded)
        parameter, value = decoded
        if isinstance(value, list) and len(value) > 1:
            raise DecodeError("more than one record")
        is_value = parameter.parameter_type not in _NO_VALUES and not isinstance(value, dict | list | tuple)
        if is_value and self._state.cursor_byte_position > _RECORD_HEAD:
            self._behind.append(decoded)


def _shown(response: Response, answer: bytes) -> _Shown:
    decoded = response.decode(answer)
    return [
        (one, decoded[one.short_name])
        for one in response.parameters
        if one.parameter_type not in _NO_VALUES and one.short_name in decoded
    ]


def _one(parameter: Parameter, value: Any) -> Json:
    """The value as it is, with its unit."""
    said: Json = {"name": parameter.long_name or parameter.short_name, "value": _plain(value)}
    unit = _unit_of(parameter)
    return said | {"unit": unit} if unit else said


def _several(shown: _Shown) -> Json:
    """An object of values, and their units in another."""
    units = {one.short_name: unit for one, _ in shown if (unit := _unit_of(one))}
    values: Json = {"value": {one.short_name: _plain(value) for one, value in shown}} if shown else {}
    return values | {"units": units} if units else values


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


def _values_in(request: Request) -> list[ValueParameter]:
    return [one for one in request.parameters if isinstance(one, ValueParameter)]


def _physical(parameters: list[ValueParameter], text: str) -> dict[str, Any]:
    """The text of the only value, or a JSON object of values by name."""
    known = {one.short_name: one for one in parameters}
    given = _object(text)
    if given is not None and given.keys() <= known.keys():
        return {name: _typed(known[name], str(part)) for name, part in given.items()}
    required = [one for one in parameters if one.is_required] or parameters
    if len(required) > 1:
        raise ValueError("several values are needed, as a JSON object")
    return {required[0].short_name: _typed(required[0], text)}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _typed(parameter: ValueParameter, text: str) -> Any:
    kind = parameter.physical_type
    return text if kind is None else kind.base_data_type.from_string(text)


def _allowed(parameter: ValueParameter) -> str:
    """The value's name, type and unit, or the texts that it may be."""
    kind, unit, texts = parameter.physical_type, _unit_of(parameter), _texts_of(parameter)
    said = (kind and not texts and kind.base_data_type, texts and f"one of {', '.join(texts)}", unit and f"in {unit}")
    what = [str(part) for part in said if part]
    return f"{parameter.short_name} ({', '.join(what)})" if what else parameter.short_name


def _texts_of(parameter: ValueParameter) -> list[str]:
    dop = parameter.dop
    method = dop.compu_method if isinstance(dop, DataObjectProperty) else None
    table = method.compu_internal_to_phys if isinstance(method, TexttableCompuMethod) else None
    consts = [scale.compu_const for scale in (table.compu_scales if table else ())]
    return [str(const.value) for const in consts if const is not None]
