"""What must hold of a vehicle right before it is handed a command.

What is looked at (its speed) is the catalogue's, or the deployment's; where a vehicle keeps it differs by its maker,
and only the deployment knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Comparison(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Precondition:
    """`name` is for people; `signal` names what has to be read. `when`: only of commands with these parameters."""

    name: str
    signal: str
    comparison: Comparison
    value: float
    unit: str = ""
    when: Mapping[str, str] = field(default_factory=dict)

    def concerns(self, parameters: Mapping[str, Any]) -> bool:
        return all(parameters.get(name) == value for name, value in self.when.items())


@dataclass(frozen=True, slots=True)
class Reading:
    """A data identifier of an ECU, whose bytes are an unsigned number: of its bits those in `mask` (0: all), times
    `scale`, plus `offset`."""

    ecu_address: int
    data_id: int
    scale: float = 1.0
    offset: float = 0.0
    mask: int = 0


Signals = Mapping[str, Reading | None]
"""Where vehicles keep what is looked at, by signal; None: there it is not looked at."""

Required = tuple[Precondition, Reading | None]
"""None: nobody has said where the vehicle keeps it. It cannot be read then, which refuses the command."""


@dataclass(frozen=True, slots=True)
class PreconditionRules:
    """By command name; and by the beginning of VINs, of which the longest that fits counts."""

    of_types: Mapping[str, Sequence[Precondition]] = field(default_factory=dict)
    signals: Mapping[str, Signals] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.of_types)

    def required(self, command_name: str, parameters: Mapping[str, Any], vin: str) -> list[Required]:
        """In the order of the rules."""
        known = self._signals_of(vin)
        return [
            (one, known.get(one.signal))
            for one in self.of_types.get(command_name, ())
            if one.concerns(parameters) and (one.signal not in known or known[one.signal] is not None)
        ]

    def _signals_of(self, vin: str) -> Signals:
        fitting = [beginning for beginning in self.signals if vin.startswith(beginning)]
        return self.signals[max(fitting, key=len)] if fitting else {}
