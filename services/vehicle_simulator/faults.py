"""Faults that a simulated fleet can be told to have, and which commands they befall.

As text (option, setting): `kind` or `kind:key=value,key=value…`, several separated by `;`:

    slow:seconds=2,command=ReadDTC; negative:nrc=0x22,pending=3,times=1; disconnect:after=2,vin=WDD1234567890ABCD
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class FaultKind(StrEnum):
    """What goes wrong."""

    SLOW = "slow"
    """Waits `seconds` before the first answer and `between` seconds before each further one."""
    SILENT = "silent"
    """Executes nothing and never says a word."""
    PENDING = "pending"
    """Says 0x78 `pending` times, `seconds` apart, then answers."""
    NEGATIVE = "negative"
    """Says 0x78 `pending` times, `seconds` apart, then refuses with `nrc`."""
    DISCONNECT = "disconnect"
    """The connection breaks once `after` updates are sent; it is back after `seconds` (0: soon), and all goes on."""
    FORGET = "forget"
    """The vehicle restarts once `after` updates are sent: it reconnects at once and has forgotten the command."""
    CRASH = "crash"
    """Like forget, but the vehicle is away for `seconds`."""
    DUPLICATE = "duplicate"
    """Sends every update twice, the second time out of order, under the same number."""
    GARBAGE = "garbage"
    """Its responses are no JSON objects."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `vin` and `command`: only there ("": everywhere). `times`: only so often (0: always)."""

    kind: FaultKind
    vin: str = ""
    command: str = ""
    times: int = 0
    seconds: float = 0.0
    between: float = 0.0
    after: int = 1
    pending: int = 0
    nrc: int = 0x22

    def befalls(self, vin: str, command: str) -> bool:
        return self.vin in ("", vin) and self.command in ("", command)

    def __str__(self) -> str:
        options = {key: value for key, value in asdict(self).items() if key != "kind"}
        return f"{self.kind}:" + ",".join(f"{key}={value}" for key, value in options.items())


def parse_fault(text: str) -> Fault:
    """One fault of the form above; raises ValueError that says what is allowed."""
    kind, _, rest = text.strip().partition(":")
    options = dict(_option(part) for part in rest.split(",") if part.strip())
    return make_fault(kind=kind.strip(), **options)


def parse_faults(text: str) -> tuple[Fault, ...]:
    return tuple(parse_fault(part) for part in text.split(";") if part.strip())


def make_fault(*, kind: str, **options: Any) -> Fault:
    """A fault from loose values, as from JSON; raises ValueError that says what is allowed."""
    kinds = [str(known) for known in FaultKind]
    if kind not in kinds:
        raise ValueError(f"fault {kind!r} is not known; known are {', '.join(kinds)}")
    for name in options:
        if name not in _CONVERTERS:
            raise ValueError(f"fault {kind}: {name!r} is not known; known are {', '.join(_CONVERTERS)}")
    try:
        return Fault(FaultKind(kind), **{name: _CONVERTERS[name](value) for name, value in options.items()})
    except (ValueError, TypeError) as error:
        raise ValueError(f"fault {kind}: {error}") from None


class FaultScript:
    """The faults a fleet has now; may be changed while it runs."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: list[tuple[Fault, int]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        self._faults.append((fault, fault.times))

    def clear(self) -> None:
        self._faults.clear()

    def take(self, vin: str, command: str) -> dict[FaultKind, Fault]:
        """What befalls this command; each counts as one of its fault's times."""
        if not self._faults:
            return {}
        taken: dict[FaultKind, Fault] = {}
        left: list[tuple[Fault, int]] = []
        for fault, times in self._faults:
            befalls = fault.befalls(vin, command) and fault.kind not in taken
            if befalls:
                taken[fault.kind] = fault
            if not befalls or times != 1:
                left.append((fault, times - 1 if befalls and times else times))
        self._faults = left
        return taken


def _option(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        raise ValueError(f"{part.strip()!r} is not of the form key=value")
    return name.strip(), value.strip()


def _integer(value: object) -> int:
    return int(value, 0) if isinstance(value, str) else int(float(str(value)))


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if seconds < 0:
        raise ValueError("seconds cannot be negative")
    return seconds


_CONVERTERS: dict[str, Any] = {
    field.name: {"vin": str, "command": str, "seconds": _seconds, "between": _seconds}.get(field.name, _integer)
    for field in fields(Fault)
    if field.name != "kind"
}
