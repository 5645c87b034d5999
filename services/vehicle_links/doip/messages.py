"""DoIP messages (ISO 13400-2): framing, and the messages of `doipclient` with types. Garbage raises BadMessage."""

import struct
from typing import Any

from doipclient import messages as library

_HEADER = struct.Struct("!BBHI")
HEADER_BYTES = _HEADER.size
# More than any diagnostic answer; a length beyond it is a corrupted one.
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
# Of ISO 13400-2:2012, which is spoken to whoever does not say otherwise; the edition of 2019 has 0x03.
VERSION = 0x02
# For identification requests: whatever the entity speaks (Table 16).
ANY_VERSION = 0xFF

# Untyped upstream; the names below are all that is used of it.
_library: Any = library
AliveCheckRequest = _library.AliveCheckRequest
AliveCheckResponse = _library.AliveCheckResponse
DiagnosticMessage = _library.DiagnosticMessage
DiagnosticAck = _library.DiagnosticMessagePositiveAcknowledgement
DiagnosticNack = _library.DiagnosticMessageNegativeAcknowledgement
GenericNack = _library.GenericDoIPNegativeAcknowledge
RoutingActivationRequest = _library.RoutingActivationRequest
RoutingActivationResponse = _library.RoutingActivationResponse
IdentificationRequest = _library.VehicleIdentificationRequest
IdentificationRequestWithVin = _library.VehicleIdentificationRequestWithVIN
IdentificationResponse = _library.VehicleIdentificationResponse

_LEAST_BYTES = {
    0x0000: 1,
    0x0004: 32,
    0x0006: 9,
    0x0008: 2,
    0x8001: 5,
    0x8002: 5,
    0x8003: 5,
}


class BadMessage(Exception):
    """What came is no DoIP message; the message says why and shows its beginning, `raw` is what there was of it."""

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


def packed(message: Any, version: int = VERSION) -> bytes:
    payload: bytes = bytes(message.pack())
    return _HEADER.pack(version, version ^ 0xFF, message.payload_type, len(payload)) + payload


def parse_header(header: bytes) -> tuple[int, int]:
    """Payload type and length."""
    version, inverse, payload_type, length = _HEADER.unpack(header)
    if version ^ 0xFF != inverse:
        raise BadMessage(f"no DoIP header: 0x{header.hex().upper()}", header)
    if length > MAX_PAYLOAD_BYTES:
        raise BadMessage(f"a message of {length} bytes is announced: 0x{header.hex().upper()}", header)
    return payload_type, length


def parse(payload_type: int, payload: bytes) -> Any:
    """None for a type that is of no interest here."""
    kind = _library.payload_type_to_message.get(payload_type)
    if kind is None:
        return None
    try:
        if len(payload) < _LEAST_BYTES.get(payload_type, 0):
            raise ValueError("too short")
        return kind.unpack(payload, len(payload))
    except (struct.error, ValueError, IndexError) as error:
        shown = payload[:100].hex().upper()
        raise BadMessage(f"message 0x{payload_type:04X} makes no sense ({error}): 0x{shown}", payload) from None


def parse_datagram(data: bytes) -> Any:
    """One message in one datagram."""
    if len(data) < HEADER_BYTES:
        raise BadMessage(f"no DoIP header: 0x{data.hex().upper()}")
    payload_type, length = parse_header(data[:HEADER_BYTES])
    if len(data) != HEADER_BYTES + length:
        raise BadMessage(f"{length} bytes are announced and {len(data) - HEADER_BYTES} came")
    return parse(payload_type, data[HEADER_BYTES:])


def code_name(codes: str, code: int) -> str:
    """By one of the library's enumerations, as "RoutingActivationResponse.ResponseCode"; an unknown one as a number."""
    owner, name = codes.split(".")
    try:
        known: str = getattr(getattr(_library, owner), name)(code).name
    except ValueError:
        return f"0x{code:02X}"
    return known
