"""DoIP messages (ISO 13400-2:2019) as a simulated vehicle reads and writes them.

Own code on purpose: the link that is tested with it uses a library, and a mistake of one must not hide in the other.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct("!BBHI")
HEADER_BYTES = _HEADER.size
MAX_PAYLOAD_BYTES = 64 * 1024
_VERSION = 0x02
# "Any version", for identification requests only.
_DEFAULT_VERSION = 0xFF
_VERSIONS = (0x01, _VERSION, 0x03)


class PayloadType(IntEnum):
    """Table 17."""

    GENERIC_NACK = 0x0000
    IDENTIFICATION_REQUEST = 0x0001
    IDENTIFICATION_REQUEST_EID = 0x0002
    IDENTIFICATION_REQUEST_VIN = 0x0003
    IDENTIFICATION_RESPONSE = 0x0004
    ROUTING_ACTIVATION_REQUEST = 0x0005
    ROUTING_ACTIVATION_RESPONSE = 0x0006
    ALIVE_CHECK_REQUEST = 0x0007
    ALIVE_CHECK_RESPONSE = 0x0008
    ENTITY_STATUS_REQUEST = 0x4001
    ENTITY_STATUS_RESPONSE = 0x4002
    POWER_MODE_REQUEST = 0x4003
    POWER_MODE_RESPONSE = 0x4004
    DIAGNOSTIC_MESSAGE = 0x8001
    DIAGNOSTIC_ACK = 0x8002
    DIAGNOSTIC_NACK = 0x8003


class GenericNack(IntEnum):
    """Table 19."""

    INCORRECT_PATTERN = 0x00
    UNKNOWN_PAYLOAD_TYPE = 0x01
    MESSAGE_TOO_LARGE = 0x02
    INVALID_LENGTH = 0x04


class DiagnosticNack(IntEnum):
    """Table 26."""

    INVALID_SOURCE_ADDRESS = 0x02
    UNKNOWN_TARGET_ADDRESS = 0x03


class BadHeader(Exception):
    def __init__(self, code: GenericNack) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Diagnostic:
    source: int
    target: int
    data: bytes


def message(payload_type: PayloadType, payload: bytes = b"") -> bytes:
    return _HEADER.pack(_VERSION, _VERSION ^ 0xFF, payload_type, len(payload)) + payload


def of_version(message: bytes, version: int) -> bytes:
    return bytes((version, version ^ 0xFF)) + message[2:]


def parse_header(header: bytes, *, any_version: bool = False, versions: Sequence[int] = _VERSIONS) -> tuple[int, int]:
    """(payload type, length); raises BadHeader."""
    version, inverse, payload_type, length = _HEADER.unpack(header)
    known = version in versions or (any_version and version == _DEFAULT_VERSION)
    if inverse != version ^ 0xFF or not known:
        raise BadHeader(GenericNack.INCORRECT_PATTERN)
    if length > MAX_PAYLOAD_BYTES:
        raise BadHeader(GenericNack.MESSAGE_TOO_LARGE)
    return payload_type, length


def generic_nack(code: GenericNack) -> bytes:
    return message(PayloadType.GENERIC_NACK, bytes((code,)))


def diagnostic(source: int, target: int, data: bytes) -> bytes:
    return message(PayloadType.DIAGNOSTIC_MESSAGE, struct.pack("!HH", source, target) + data)


def parse_diagnostic(payload: bytes) -> Diagnostic:
    if len(payload) < 5:
        raise BadHeader(GenericNack.INVALID_LENGTH)
    source, target = struct.unpack_from("!HH", payload)
    return Diagnostic(source, target, payload[4:])


def diagnostic_ack(asked: Diagnostic) -> bytes:
    return message(PayloadType.DIAGNOSTIC_ACK, struct.pack("!HHB", asked.target, asked.source, 0))


def diagnostic_nack(asked: Diagnostic, code: DiagnosticNack) -> bytes:
    return message(PayloadType.DIAGNOSTIC_NACK, struct.pack("!HHB", asked.target, asked.source, code))


def routing_activation_response(tester: int, entity: int, code: int) -> bytes:
    return message(PayloadType.ROUTING_ACTIVATION_RESPONSE, struct.pack("!HHBI", tester, entity, code, 0))


def identification(vin: str, entity: int, eid: bytes) -> bytes:
    """Response and announcement: no further action is needed, VIN and GID are synchronised."""
    return message(
        PayloadType.IDENTIFICATION_RESPONSE, struct.pack("!17sH6s6sBB", vin.encode(), entity, eid, eid, 0, 0)
    )


def entity_status(max_sockets: int, open_sockets: int) -> bytes:
    """0: a gateway."""
    status = struct.pack("!BBBI", 0, max_sockets, open_sockets, MAX_PAYLOAD_BYTES)
    return message(PayloadType.ENTITY_STATUS_RESPONSE, status)
