"""Data identifiers (ISO 14229-1 Annex C) of a simulated ECU: identification, live values, some that can be written."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson

from vehicle_simulator.failures import INCORRECT_LENGTH_OR_FORMAT, REQUEST_OUT_OF_RANGE, negative_response

VIN_ID = 0xF190
VEHICLE_SPEED_ID = 0xF40D
IGNITION_ID = 0x2002
SUPPLY_VOLTAGE_ID = 0xF442


def to_json(value: Mapping[str, object]) -> str:
    return orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class Swing:
    """How a live value moves: between two physical values, once there and back per period."""

    low: float
    high: float
    period_s: float

    def at(self, seconds: float, phase: float) -> float:
        middle, reach = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle + reach * math.sin(2 * math.pi * (seconds / self.period_s + phase))


@dataclass(frozen=True, slots=True)
class DataIdentifier:
    """What an ECU knows under one identifier. A text has at most `length` bytes, everything else exactly."""

    id: int
    name: str
    coding: Literal["text", "number", "bytes"]
    length: int
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    writable: bool = False
    swing: Swing | None = None

    def encode(self, physical: float) -> bytes:
        highest = (1 << 8 * self.length) - 1
        number: int = min(max(round((physical - self.offset) / self.scale), 0), highest)
        return number.to_bytes(self.length, "big")

    def value(self, raw: bytes) -> str | float | None:
        """What `raw` means; None when only the bytes are known."""
        if self.coding == "text":
            return raw.decode("ascii", "replace").rstrip("\0 ")
        if self.coding == "bytes":
            return None
        number = int.from_bytes(raw, "big") * self.scale + self.offset
        return int(number) if number == int(number) else round(number, 3)

    def check_length(self, raw: bytes) -> None:
        fits = 1 <= len(raw) <= self.length if self.coding == "text" else len(raw) == self.length
        if not fits:
            most = "at most " if self.coding == "text" else ""
            reason = f"0x{self.id:04X} {self.name} takes {most}{self.length} bytes, not {len(raw)}"
            raise negative_response(INCORRECT_LENGTH_OR_FORMAT, reason)


def data_json(address: int, definition: DataIdentifier, raw: bytes) -> str:
    """The response that carries one value."""
    response: dict[str, object] = {
        "ecuAddress": f"0x{address:X}",
        "id": f"0x{definition.id:04X}",
        "name": definition.name,
        "raw": f"0x{raw.hex().upper()}",
    }
    if (value := definition.value(raw)) is not None:
        response["value"] = value
    if definition.unit:
        response["unit"] = definition.unit
    return to_json(response)


class EcuData:
    """The values of one ECU of one vehicle. What was never written comes from `initial`, live ones from the clock."""

    def __init__(
        self,
        definitions: Mapping[int, DataIdentifier],
        initial: Mapping[int, bytes],
        phase: float = 0.0,
        measured: Callable[[], Mapping[int, float]] = dict,
    ) -> None:
        """`measured`: what the vehicle is doing now, as physical values, where that says more than the clock."""
        self._definitions = definitions
        self._measured = measured
        self._values = dict(initial)
        self._phase = phase

    def definitions(self) -> Iterable[DataIdentifier]:
        return self._definitions.values()

    def definition(self, data_id: int) -> DataIdentifier:
        definition = self._definitions.get(data_id)
        if definition is None:
            raise negative_response(REQUEST_OUT_OF_RANGE, f"data identifier 0x{data_id:04X} is not known here")
        return definition

    def read(self, data_id: int, now: float) -> bytes:
        definition = self.definition(data_id)
        if (measured := self._measured().get(data_id)) is not None:
            return definition.encode(measured)
        if definition.swing is not None:
            return definition.encode(definition.swing.at(now, self._phase))
        return self._values.get(data_id, bytes(definition.length))

    def write(self, data_id: int, raw: bytes) -> None:
        definition = self.definition(data_id)
        if not definition.writable:
            raise negative_response(REQUEST_OUT_OF_RANGE, f"0x{data_id:04X} {definition.name} can only be read")
        definition.check_length(raw)
        self._values[data_id] = raw


def _text(data_id: int, name: str, length: int, *, writable: bool = False) -> DataIdentifier:
    return DataIdentifier(data_id, name, "text", length, writable=writable)


def by_id(*definitions: DataIdentifier) -> dict[int, DataIdentifier]:
    return {definition.id: definition for definition in definitions}


# Every ECU has these.
IDENTIFICATION = by_id(
    DataIdentifier(0xF186, "activeDiagnosticSession", "number", 1),
    _text(0xF187, "vehicleManufacturerSparePartNumber", 10),
    _text(0xF188, "vehicleManufacturerECUSoftwareNumber", 12),
    _text(0xF189, "vehicleManufacturerECUSoftwareVersionNumber", 8),
    _text(0xF18C, "ECUSerialNumber", 12),
    _text(VIN_ID, "VIN", 17),
    _text(0xF191, "vehicleManufacturerECUHardwareNumber", 10),
    _text(0xF193, "systemSupplierECUHardwareVersionNumber", 8),
    _text(0xF197, "systemNameOrEngineType", 16),
    _text(0xF198, "repairShopCodeOrTesterSerialNumber", 16, writable=True),
    DataIdentifier(0xF199, "programmingDate", "bytes", 4, writable=True),
)
# The OBD parameters of SAE J1979-2 lie at 0xF400 + PID.
ENGINE = by_id(
    DataIdentifier(0xF405, "engineCoolantTemperature", "number", 1, "°C", offset=-40, swing=Swing(84, 96, 120)),
    DataIdentifier(0xF40C, "engineSpeed", "number", 2, "1/min", scale=0.25, swing=Swing(760, 2900, 17)),
    DataIdentifier(VEHICLE_SPEED_ID, "vehicleSpeed", "number", 1, "km/h", swing=Swing(20, 110, 45)),
    DataIdentifier(0xF40F, "intakeAirTemperature", "number", 1, "°C", offset=-40, swing=Swing(18, 24, 300)),
    DataIdentifier(
        SUPPLY_VOLTAGE_ID, "controlModuleVoltage", "number", 2, "V", scale=0.001, swing=Swing(13.8, 14.4, 8)
    ),
    DataIdentifier(IGNITION_ID, "ignitionOn", "number", 1),
    DataIdentifier(0x2001, "idleSpeedAdaptation", "number", 2, "1/min", writable=True),
)
TRANSMISSION = by_id(
    DataIdentifier(0x2101, "transmissionOilTemperature", "number", 1, "°C", offset=-40, swing=Swing(70, 88, 200)),
    DataIdentifier(0x2102, "outputShaftSpeed", "number", 2, "1/min", swing=Swing(440, 2400, 45)),
)
BRAKES = by_id(
    *(
        DataIdentifier(0x2201 + wheel, f"wheelSpeed{name}", "number", 2, "km/h", scale=0.01, swing=Swing(20, 110, 45))
        for wheel, name in enumerate(("FrontLeft", "FrontRight", "RearLeft", "RearRight"))
    ),
    DataIdentifier(0x2210, "brakePressure", "number", 2, "bar", scale=0.1, swing=Swing(0, 60, 11)),
)
BODY = by_id(
    DataIdentifier(0x2301, "batteryVoltage", "number", 2, "V", scale=0.001, swing=Swing(12.4, 14.4, 60)),
    DataIdentifier(0x2302, "ambientLightBrightness", "number", 1, "%", writable=True),
    DataIdentifier(0x2303, "doorLockConfiguration", "bytes", 2, writable=True),
)

# What a vehicle that drives does by the clock, and its ignition.
DRIVING: Mapping[int, float] = {IGNITION_ID: 1}
PARKED: Mapping[int, float] = {
    **DRIVING,
    **dict.fromkeys((VEHICLE_SPEED_ID, 0x2102, *range(0x2201, 0x2205)), 0.0),
}
