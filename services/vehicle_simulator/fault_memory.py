"""Fault memory of a simulated ECU: DTCs with ISO 14229-1 status bytes, snapshots and extended data."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from service_kit.uds.dtc import ALL_DTCS, fault_object, parse_code
from vehicle_simulator.data_identifiers import DataIdentifier, to_json
from vehicle_simulator.failures import REQUEST_OUT_OF_RANGE, CommandFailed, negative_response

_FAILED_THIS_CYCLE = 0x02
_NOT_COMPLETED_THIS_CYCLE = 0x40


@dataclass(frozen=True, slots=True)
class FaultType:
    """A fault an ECU can detect. `severity` as in ISO 17978-3: 1 fatal, 2 error, 3 warning, 4 info."""

    code: int
    fault_name: str
    severity: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the ECU measured when the fault was seen."""

    record_number: int
    data: tuple[tuple[DataIdentifier, bytes], ...]


@dataclass(slots=True)
class StoredFault:
    """A fault in the memory of one ECU."""

    type: FaultType
    status: int
    occurrences: int = 1
    aging: int = 0
    snapshots: tuple[Snapshot, ...] = ()


def _fault_object(address: int, fault: FaultType, status: int) -> dict[str, object]:
    known = {"fault_name": fault.fault_name, "severity": fault.severity}
    return fault_object(address, fault.code, status) | known


# The vehicles of a fleet share the few there are.
@lru_cache(maxsize=4096)
def fault_json(address: int, fault: FaultType, status: int) -> str:
    """The response that tells of one fault."""
    return to_json(_fault_object(address, fault, status))


class FaultMemory:
    """The faults that one ECU has stored."""

    def __init__(self, faults: Iterable[StoredFault]) -> None:
        self._faults = {fault.type.code: fault for fault in faults}

    def __len__(self) -> int:
        return len(self._faults)

    def stored(self, status_mask: int = 0xFF) -> list[StoredFault]:
        """Those that have one of the bits of the mask."""
        return [fault for fault in self._faults.values() if fault.status & status_mask]

    def fault(self, code: int) -> StoredFault:
        """Raises CommandFailed."""
        return self._faults[self._matching(f"0x{code:06X}")[0]]

    def read(self, address: int, status_mask: int) -> list[str]:
        """A response for each fault that has one of the bits of the mask."""
        return [fault_json(address, fault.type, fault.status) for fault in self.stored(status_mask)]

    def details(self, address: int, code_text: str) -> list[str]:
        return [_details_json(address, self._faults[code]) for code in self._matching(code_text)]

    def clear(self, code_text: str | None) -> None:
        """Forget all, or one."""
        codes = list(self._faults) if code_text is None else self._matching(code_text)
        for code in codes:
            del self._faults[code]

    def begin_operation_cycle(self) -> None:
        for fault in self._faults.values():
            fault.status = fault.status & ~_FAILED_THIS_CYCLE | _NOT_COMPLETED_THIS_CYCLE

    def _matching(self, code_text: str) -> list[int]:
        try:
            wanted, mask = parse_code(code_text)
        except ValueError as error:
            raise CommandFailed("INVALID_PARAMETERS", str(error)) from None
        codes = [code for code in self._faults if code & mask == wanted]
        if not codes and mask != ALL_DTCS:  # no ECU can be asked for it, so none has refused
            raise CommandFailed("DTC_NOT_STORED", f"{code_text} is not stored")
        if not codes:
            raise negative_response(REQUEST_OUT_OF_RANGE, f"{code_text} is not stored")
        return codes


def _details_json(address: int, fault: StoredFault) -> str:
    return to_json(
        {
            **_fault_object(address, fault.type, fault.status),
            "snapshots": [_snapshot_object(snapshot) for snapshot in fault.snapshots],
            "extended_data": [
                _extended_data_object(1, "occurrenceCounter", fault.occurrences),
                _extended_data_object(2, "agingCounter", fault.aging),
            ],
        }
    )


def _extended_data_object(number: int, name: str, value: int) -> dict[str, object]:
    return {"record_number": number, "name": name, "raw": f"0x{value:02X}", "value": value}


def _snapshot_object(snapshot: Snapshot) -> dict[str, object]:
    return {
        "record_number": snapshot.record_number,
        "data": [
            {
                "id": f"0x{definition.id:04X}",
                "name": definition.name,
                "raw": f"0x{raw.hex().upper()}",
                "value": definition.value(raw),
                "unit": definition.unit,
            }
            for definition, raw in snapshot.data
        ],
    }
