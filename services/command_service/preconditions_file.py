"""PRECONDITIONS_FILE: where a deployment's vehicles keep what is looked at before they are changed. JSON:

    {
      "vehicles": [
        {"vin": "WDD", "signals": {
          "vehicle_speed": {"ecuAddress": "0x10", "dataId": "0xF40D"},
          "ignition": {"ecuAddress": "0x10", "dataId": "0x2002"},
          "supply_voltage": {"ecuAddress": "0x10", "dataId": "0xF442", "scale": 0.001}
        }},
        {"vin": "", "signals": {"vehicle_speed": null, "ignition": null, "supply_voltage": null}}
      ],
      "command_types": {"ClearDTC": []}
    }

`vin` is the beginning of VINs, the longest that fits counts. A signal that is null is not looked at on these vehicles;
one that is missing cannot be read, and what needs it is refused. `command_types` replaces the catalogue's preconditions
of these types, each as `{"name", "signal", "comparison", "value", "unit"?, "when"?}`.
"""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from command_service.domain.catalogue import CATALOGUE
from command_service.domain.preconditions import Comparison, Precondition, PreconditionRules, Reading, Signals


def _from_hex(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("should be 0x and hexadecimal digits, as text")
    try:
        return int(value, 16)
    except ValueError:
        raise ValueError(f"{value!r} should be 0x and hexadecimal digits") from None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class _Reading(_Strict):
    ecu: Annotated[int, BeforeValidator(_from_hex), Field(alias="ecuAddress", le=0xFFFF_FFFF)]
    data_id: Annotated[int, BeforeValidator(_from_hex), Field(alias="dataId", le=0xFFFF)]
    scale: float = 1.0
    offset: float = 0.0
    mask: Annotated[int, BeforeValidator(_from_hex), Field(le=0xFFFF_FFFF_FFFF_FFFF)] = 0

    def reading(self) -> Reading:
        return Reading(self.ecu, self.data_id, self.scale, self.offset, self.mask)


class _Vehicles(_Strict):
    vin: str = Field(pattern="^[A-HJ-NPR-Z0-9]{0,17}$")
    signals: dict[str, _Reading | None]


class _Precondition(_Strict):
    name: str = Field(min_length=1, max_length=100)
    signal: str = Field(min_length=1)
    comparison: Comparison
    value: float
    unit: str = Field("", max_length=20)
    when: dict[str, str] = Field(default_factory=dict)

    def precondition(self) -> Precondition:
        return Precondition(self.name, self.signal, self.comparison, self.value, self.unit, self.when)


class _File(_Strict):
    vehicles: list[_Vehicles]
    command_types: dict[str, list[_Precondition]] = Field(default_factory=dict)


def load_preconditions(path: Path) -> PreconditionRules:
    """Raises ValueError that says in one line what is wrong and what is allowed."""
    try:
        file = _File.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    rules = PreconditionRules(_of_types(path, file), _signals(path, file))
    _require_used_signals(path, rules)
    return rules


def _of_types(path: Path, file: _File) -> dict[str, tuple[Precondition, ...]]:
    unknown = sorted(set(file.command_types) - set(CATALOGUE))
    if unknown:
        raise ValueError(f"{path}: command_types.{unknown[0]}: allowed are {', '.join(sorted(CATALOGUE))}")
    of_types = {name: command_type.preconditions for name, command_type in CATALOGUE.items()}
    for name, conditions in file.command_types.items():
        of_types[name] = tuple(one.precondition() for one in conditions)
    return {name: conditions for name, conditions in of_types.items() if conditions}


def _signals(path: Path, file: _File) -> dict[str, Signals]:
    signals: dict[str, Signals] = {}
    for number, vehicles in enumerate(file.vehicles):
        if vehicles.vin in signals:
            raise ValueError(f"{path}: vehicles.{number}.vin: {vehicles.vin!r} occurs twice")
        signals[vehicles.vin] = {name: None if one is None else one.reading() for name, one in vehicles.signals.items()}
    return signals


def _require_used_signals(path: Path, rules: PreconditionRules) -> None:
    used = {one.signal for conditions in rules.of_types.values() for one in conditions}
    unused = sorted({name for signals in rules.signals.values() for name in signals} - used)
    if unused:
        needed = ", ".join(sorted(used)) or "none"
        raise ValueError(f"{path}: signal {unused[0]!r} is looked at by no command type; those that are: {needed}")
