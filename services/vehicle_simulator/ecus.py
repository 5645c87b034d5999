"""The ECUs of a simulated vehicle. Built when first spoken to: an idle vehicle of a large fleet costs little."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from vehicle_simulator.data_identifiers import (
    BODY,
    BRAKES,
    DRIVING,
    ENGINE,
    IDENTIFICATION,
    PARKED,
    TRANSMISSION,
    VIN_ID,
    DataIdentifier,
    EcuData,
)
from vehicle_simulator.failures import CommandFailed
from vehicle_simulator.fault_memory import FaultMemory, FaultType, Snapshot, StoredFault
from vehicle_simulator.routines import EcuRoutines, Routine

ENGINE_ADDRESS = 0x10


@dataclass(frozen=True, slots=True)
class EcuType:
    """What all ECUs of one kind have in common. `faults`: what it can detect, with the status when it does."""

    address: int
    name: str
    part_number: str
    faults: Mapping[FaultType, int]
    data: Mapping[int, DataIdentifier] = field(default_factory=dict)
    routines: Mapping[int, Routine] = field(default_factory=dict)
    software_version: str = "4.12.0"
    hardware_number: str = "A000901HW3"
    hardware_version: str = "03.01"


SELF_TEST = Routine(0x0301, "selfTest", duration_s=2.0, results=b"\x00\x64", stoppable=True)
CHECK_PRECONDITIONS = Routine(0x0203, "checkProgrammingPreconditions", results=b"\x00")
ERASE_MEMORY = Routine(0xFF00, "eraseMemory", duration_s=0.5, engine_off=True)
# Takes which valve (1 byte) and for how long (1 byte).
BLEED_BRAKES = Routine(0x0310, "bleedBrakes", duration_s=5.0, stoppable=True, parameter_bytes=2)


def _routines(*routines: Routine) -> dict[int, Routine]:
    return {routine.id: routine for routine in routines}


ECU_TYPES: Mapping[int, EcuType] = {
    ecu_type.address: ecu_type
    for ecu_type in (
        EcuType(
            ENGINE_ADDRESS,
            "ECM",
            "A2749004",
            {
                FaultType(0x042011, "Catalyst system efficiency below threshold (bank 1)", 2): 0xAF,
                FaultType(0x017100, "System too lean (bank 1)", 3): 0x28,
            },
            ENGINE,
            _routines(CHECK_PRECONDITIONS, SELF_TEST, ERASE_MEMORY),
        ),
        EcuType(
            0x18,
            "TCM",
            "A0009012",
            {FaultType(0x074100, "Torque converter clutch circuit performance", 3): 0x2C},
            TRANSMISSION,
            _routines(CHECK_PRECONDITIONS, SELF_TEST),
        ),
        EcuType(
            0x1A,
            "SRS",
            "A2229010",
            {FaultType(0x80011B, "Driver airbag stage 1: resistance above threshold", 1): 0xAF},
            routines=_routines(SELF_TEST),
        ),
        EcuType(
            0x28,
            "ABS",
            "A2134311",
            {
                FaultType(0x403564, "Left front wheel speed sensor: signal plausibility", 2): 0x2F,
                FaultType(0xC12100, "Lost communication with ABS control module", 2): 0x28,
            },
            BRAKES,
            _routines(SELF_TEST, BLEED_BRAKES),
        ),
        EcuType(
            0x40,
            "BCM",
            "A2139005",
            {FaultType(0x931713, "Right rear lamp: circuit open", 4): 0x2F},
            BODY,
            _routines(CHECK_PRECONDITIONS, SELF_TEST),
        ),
        EcuType(
            0x60,
            "IC",
            "A2139024",
            {FaultType(0xC15500, "Lost communication with instrument cluster", 3): 0x28},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class VehicleSpec:
    """A vehicle to simulate. `stored` names the DTCs in its fault memories; None: two in ECU 0x10, some by chance."""

    vin: str
    make: str = "Mercedes"
    model: str = "E-Class"
    year: int = 2024
    stored: Mapping[int, tuple[int, ...]] | None = None
    drives: bool = False


class Ecu:
    """One ECU of one vehicle."""

    __slots__ = ("address", "data", "memory", "routines")

    def __init__(self, spec: VehicleSpec, ecu_type: EcuType, measured: Callable[[], Mapping[int, float]]) -> None:
        seed = crc32(f"{spec.vin}/{ecu_type.address}".encode())
        self.address = ecu_type.address
        self.data = EcuData(
            {**IDENTIFICATION, **ecu_type.data}, _identification(spec, ecu_type, seed), seed % 1000 / 1000, measured
        )
        self.memory = FaultMemory(_stored_faults(spec, ecu_type, seed))
        self.routines = EcuRoutines(ecu_type.routines)

    def reset(self) -> None:
        """The control unit starts anew: nothing runs, a new operation cycle begins. What was written stays."""
        self.routines.reset()
        self.memory.begin_operation_cycle()


class VehicleModel:
    """The ECUs of one vehicle, by address."""

    __slots__ = ("_ecus", "engine_running", "measured", "spec")

    def __init__(self, spec: VehicleSpec) -> None:
        self.spec = spec
        self.engine_running = True
        # Physical values by data identifier, of whichever ECU has it; may be replaced at any time.
        self.measured: Mapping[int, float] = DRIVING if spec.drives else PARKED
        self._ecus: dict[int, Ecu] = {}

    def ecu(self, address: int) -> Ecu:
        if (ecu := self._ecus.get(address)) is not None:
            return ecu
        if (ecu_type := ECU_TYPES.get(address)) is None:
            raise CommandFailed("ECU_NOT_REACHABLE", f"no ECU answers at 0x{address:X}")
        return self._ecus.setdefault(address, Ecu(self.spec, ecu_type, lambda: self.measured))

    def all_ecus(self) -> list[Ecu]:
        return [self.ecu(address) for address in ECU_TYPES]


def _identification(spec: VehicleSpec, ecu_type: EcuType, seed: int) -> dict[int, bytes]:
    return {
        VIN_ID: spec.vin.encode(),
        0xF186: b"\x01",
        0xF187: ecu_type.part_number.encode(),
        0xF188: f"{ecu_type.part_number}SW".encode(),
        0xF189: ecu_type.software_version.encode(),
        0xF18C: f"SN{seed:010d}".encode(),
        0xF191: ecu_type.hardware_number.encode(),
        0xF193: ecu_type.hardware_version.encode(),
        0xF197: ecu_type.name.encode(),
        0xF198: b"FACTORY",
        0xF199: bytes.fromhex(f"{spec.year:04d}0315"),
        0x2001: b"\x02\xee",
        0x2302: b"\x32",
    }


def _stored_faults(spec: VehicleSpec, ecu_type: EcuType, seed: int) -> list[StoredFault]:
    chance = random.Random(seed)  # noqa: S311  the same vehicle has the same faults each time
    if spec.stored is not None:
        codes = spec.stored.get(ecu_type.address, ())
        found = [fault for fault in ecu_type.faults if fault.code in codes]
    elif ecu_type.address == ENGINE_ADDRESS:
        found = list(ecu_type.faults)
    else:
        found = [fault for fault in ecu_type.faults if chance.random() < 0.5]
    return [
        StoredFault(fault, ecu_type.faults[fault], chance.randint(1, 20), chance.randint(0, 5), (_snapshot(chance),))
        for fault in found
    ]


def _snapshot(chance: random.Random) -> Snapshot:
    measured = [ENGINE[data_id] for data_id in (0xF405, 0xF40C, 0xF40D, 0xF442)]
    swings = [(definition, definition.swing) for definition in measured if definition.swing is not None]
    return Snapshot(
        1, tuple((definition, definition.encode(chance.uniform(swing.low, swing.high))) for definition, swing in swings)
    )
