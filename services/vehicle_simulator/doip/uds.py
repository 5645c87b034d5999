"""The UDS servers (ISO 14229-1) of a simulated vehicle's ECUs: requests and answers as bytes, on the same model that
answers the catalogue's commands.

Writing, routines and security access need a non-default session, which ends 5 s after the last request (S3); the
programming date (0xF199) needs security access, for which the key is the seed with each byte XOR 0x5A.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from service_kit.uds import NOT_SAID_TO_ALL
from vehicle_simulator.commands import RESET_TYPES
from vehicle_simulator.ecus import ENGINE_ADDRESS, Ecu, VehicleModel
from vehicle_simulator.failures import (
    INCORRECT_LENGTH_OR_FORMAT,
    REQUEST_OUT_OF_RANGE,
    REQUEST_SEQUENCE_ERROR,
    SUB_FUNCTION_NOT_SUPPORTED,
    CommandFailed,
    negative_response,
)
from vehicle_simulator.fault_memory import StoredFault

S3_SECONDS = 5.0
# P2 50 ms, P2* 5000 ms in units of 10 ms.
_TIMING = bytes.fromhex("003201F4")
_DEFAULT_SESSION = 0x01
_SESSIONS = (_DEFAULT_SESSION, 0x02, 0x03)
_SECURED_DATA = frozenset((0xF199,))
_ACTIONS = {0x01: "start", 0x02: "stop", 0x03: "requestResults"}
_ROUTINE_STATUS = {"completed": 0x00, "running": 0x01, "stopped": 0x02}
_SERVICE_NOT_SUPPORTED = 0x11
_SECURITY_ACCESS_DENIED = 0x33
_INVALID_KEY = 0x35
_EXCEEDED_NUMBER_OF_ATTEMPTS = 0x36
_NOT_IN_ACTIVE_SESSION = 0x7F
_KEY_TRIES = 3
_ALL_RECORDS = 0xFF


def key_of(seed: bytes) -> bytes:
    """What unlocks a simulated ECU."""
    return bytes(byte ^ 0x5A for byte in seed)


def command_of(request: bytes) -> str:
    """The catalogue's name of what is asked for: what fault scripts and metrics go by. Empty: nothing of it."""
    if request[:1] == b"\x19":
        return "ReadDTCDetails" if request[1:2] in (b"\x04", b"\x06") else "ReadDTC"
    return _COMMANDS.get(request[0], "") if request else ""


@dataclass(slots=True)
class _Server:
    """One ECU and how it is spoken to now."""

    ecu: Ecu
    session: int = _DEFAULT_SESSION
    heard_at: float = 0.0
    seed: bytes = b""
    unlocked: bool = False
    wrong_keys: int = 0

    def hear(self, now: float) -> None:
        if now - self.heard_at > S3_SECONDS:
            self.enter(_DEFAULT_SESSION)
        self.heard_at = now

    def enter(self, session: int) -> None:
        self.session = session
        self.seed, self.unlocked = b"", False


class UdsServers:
    """By logical address. What a request does is done when `answer` returns."""

    def __init__(self, vehicle: VehicleModel) -> None:
        self._vehicle = vehicle
        self._servers: dict[int, _Server] = {}

    def restart(self) -> None:
        """As after a loss of power: no session, nothing unlocked."""
        self._servers.clear()

    def addresses(self) -> list[int]:
        return [ecu.address for ecu in self._vehicle.all_ecus()]

    def answer(self, address: int, request: bytes, now: float, *, functional: bool = False) -> bytes | None:
        """None: nothing is said. Raises CommandFailed when there is no such ECU."""
        server = self._server(address)
        server.hear(now)
        service = request[0] if request else 0
        suppressed = service in _WITH_SUB_FUNCTION and len(request) > 1 and bool(request[1] & 0x80)
        if suppressed:
            request = bytes((service, request[1] & 0x7F)) + request[2:]
        try:
            answer = self._serve(server, request, now)
        except CommandFailed as failure:
            silent = functional and failure.nrc in NOT_SAID_TO_ALL
            return None if silent else bytes((0x7F, service, failure.nrc))
        return None if suppressed else bytes((service + 0x40,)) + answer

    def _server(self, address: int) -> _Server:
        if address not in self._servers:
            self._servers[address] = _Server(self._vehicle.ecu(address))
        return self._servers[address]

    def _serve(self, server: _Server, request: bytes, now: float) -> bytes:
        handler = _HANDLERS.get(request[0] if request else 0)
        if handler is None:
            raise negative_response(_SERVICE_NOT_SUPPORTED, "no such service here")
        if request[0] in _NEEDS_SESSION and server.session == _DEFAULT_SESSION:
            raise negative_response(_NOT_IN_ACTIVE_SESSION, "only in another session")
        return handler(_Asked(self._vehicle, server, request[1:], now))


@dataclass(frozen=True, slots=True)
class _Asked:
    vehicle: VehicleModel
    server: _Server
    data: bytes
    now: float

    @property
    def ecu(self) -> Ecu:
        return self.server.ecu

    @property
    def sub_function(self) -> int:
        self.need(1)
        return self.data[0]

    def need(self, at_least: int, at_most: int | None = None) -> None:
        if len(self.data) < at_least or (at_most is not None and len(self.data) > at_most):
            raise negative_response(INCORRECT_LENGTH_OR_FORMAT, "wrong length")

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], "big")


def _session_control(asked: _Asked) -> bytes:
    asked.need(1, 1)
    if asked.sub_function not in _SESSIONS:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "no such session")
    asked.server.enter(asked.sub_function)
    return asked.data + _TIMING


def _reset(asked: _Asked) -> bytes:
    asked.need(1, 1)
    if not 1 <= asked.sub_function <= len(RESET_TYPES):
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "no such reset")
    asked.ecu.reset()
    asked.server.enter(_DEFAULT_SESSION)
    return asked.data


def _clear(asked: _Asked) -> bytes:
    asked.need(3, 3)
    group = asked.number(0, 3)
    asked.ecu.memory.clear(None if group == 0xFFFFFF else f"0x{group:06X}")
    return b""


def _read_dtcs(asked: _Asked) -> bytes:
    report = _REPORTS.get(asked.sub_function)
    if report is None:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "no such report")
    return asked.data[:1] + report(asked)


def _count_by_mask(asked: _Asked) -> bytes:
    asked.need(2, 2)
    return b"\xff\x01" + len(asked.ecu.memory.stored(asked.data[1])).to_bytes(2, "big")


def _by_mask(asked: _Asked) -> bytes:
    asked.need(2, 2)
    return _list(asked, asked.data[1])


def _supported(asked: _Asked) -> bytes:
    asked.need(1, 1)
    return _list(asked, 0xFF)


def _list(asked: _Asked, mask: int) -> bytes:
    stored = asked.ecu.memory.stored(mask)
    return b"\xff" + b"".join(fault.type.code.to_bytes(3, "big") + bytes((fault.status,)) for fault in stored)


def _snapshots(asked: _Asked) -> bytes:
    fault = _one_fault(asked)
    records = b"".join(
        bytes((snapshot.record_number, len(snapshot.data)))
        + b"".join(definition.id.to_bytes(2, "big") + raw for definition, raw in snapshot.data)
        for snapshot in fault.snapshots
        if asked.data[4] in (_ALL_RECORDS, snapshot.record_number)
    )
    return asked.data[1:4] + bytes((fault.status,)) + records


def _extended_data(asked: _Asked) -> bytes:
    fault = _one_fault(asked)
    records = {1: fault.occurrences, 2: fault.aging}
    wanted = [number for number in records if asked.data[4] in (_ALL_RECORDS, number)]
    if not wanted:
        raise negative_response(REQUEST_OUT_OF_RANGE, "no such record")
    data = b"".join(bytes((number, records[number] & 0xFF)) for number in wanted)
    return asked.data[1:4] + bytes((fault.status,)) + data


def _one_fault(asked: _Asked) -> StoredFault:
    asked.need(5, 5)
    return asked.ecu.memory.fault(asked.number(1, 3))


def _read_data(asked: _Asked) -> bytes:
    if not asked.data or len(asked.data) % 2:
        raise negative_response(INCORRECT_LENGTH_OR_FORMAT, "wrong length")
    ids = [asked.number(at, 2) for at in range(0, len(asked.data), 2)]
    return b"".join(data_id.to_bytes(2, "big") + _value(asked, data_id) for data_id in ids)


def _value(asked: _Asked, data_id: int) -> bytes:
    return bytes((asked.server.session,)) if data_id == 0xF186 else asked.ecu.data.read(data_id, asked.now)


def _write_data(asked: _Asked) -> bytes:
    asked.need(3)
    data_id = asked.number(0, 2)
    if data_id in _SECURED_DATA and not asked.server.unlocked:
        raise negative_response(_SECURITY_ACCESS_DENIED, "locked")
    asked.ecu.data.write(data_id, asked.data[2:])
    return asked.data[:2]


def _security_access(asked: _Asked) -> bytes:
    server = asked.server
    if asked.sub_function == 0x01:
        server.seed = bytes(4) if server.unlocked else secrets.token_bytes(4)
        return b"\x01" + server.seed
    if asked.sub_function != 0x02:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "no such level")
    if not server.seed:
        raise negative_response(REQUEST_SEQUENCE_ERROR, "no seed was asked for")
    if asked.data[1:] != key_of(server.seed):
        server.wrong_keys += 1
        code = _EXCEEDED_NUMBER_OF_ATTEMPTS if server.wrong_keys >= _KEY_TRIES else _INVALID_KEY
        raise negative_response(code, "wrong key")
    server.seed, server.unlocked, server.wrong_keys = b"", True, 0
    return b"\x02"


def _routine(asked: _Asked) -> bytes:
    asked.need(3)
    action = _ACTIONS.get(asked.sub_function)
    if action is None:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "no such action")
    running = asked.vehicle.engine_running and asked.ecu.address == ENGINE_ADDRESS
    state = asked.ecu.routines.control(asked.number(1, 2), action, asked.data[3:], running, asked.now)
    return asked.data[:3] + bytes((_ROUTINE_STATUS[state.status],)) + state.raw


def _tester_present(asked: _Asked) -> bytes:
    asked.need(1, 1)
    if asked.sub_function:
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, "only 0")
    return asked.data


_Handler = Callable[[_Asked], bytes]
_REPORTS: dict[int, _Handler] = {
    0x01: _count_by_mask,
    0x02: _by_mask,
    0x04: _snapshots,
    0x06: _extended_data,
    0x0A: _supported,
}
_HANDLERS: dict[int, _Handler] = {
    0x10: _session_control,
    0x11: _reset,
    0x14: _clear,
    0x19: _read_dtcs,
    0x22: _read_data,
    0x27: _security_access,
    0x2E: _write_data,
    0x31: _routine,
    0x3E: _tester_present,
}
_WITH_SUB_FUNCTION = frozenset((0x10, 0x11, 0x19, 0x27, 0x31, 0x3E))
_NEEDS_SESSION = frozenset((0x27, 0x2E, 0x31))
_COMMANDS = {
    0x11: "ECUReset",
    0x14: "ClearDTC",
    0x22: "ReadDataByID",
    0x2E: "WriteDataByID",
    0x31: "RoutineControl",
}
