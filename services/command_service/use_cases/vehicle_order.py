"""The order of the list of vehicles, and where in it a page begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from command_service.domain.vehicle import Vehicle
from command_service.use_cases.cursors import decode_sorted, decode_text_pair, encode_cursor, not_ours
from command_service.use_cases.ports import NEVER, VehicleSort
from service_kit.errors import InvalidInput


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def _year(text: str) -> int:
    year = int(text)
    if abs(year) >= 2**31:
        raise ValueError("out of range")
    return year


# How a cursor's text becomes what is sorted by.
_READ: Mapping[VehicleSort, Callable[[str], Any]] = {VehicleSort.YEAR: _year, VehicleSort.LAST_SEEN_AT: _moment}


@dataclass(frozen=True, slots=True)
class VehicleOrder:
    sort: VehicleSort
    descending: bool

    @classmethod
    def of(cls, text: str) -> "VehicleOrder":
        """Such as "" (by VIN), "make" or "-last_seen_at". Raises InvalidInput."""
        try:
            return cls(VehicleSort(text.removeprefix("-") or VehicleSort.VIN), text.startswith("-"))
        except ValueError:
            allowed = ", ".join(VehicleSort)
            raise InvalidInput(
                "VALIDATION_FAILED", f"sort must be one of {allowed}, with or without a - before it"
            ) from None

    def cursor(self, last: Vehicle) -> str:
        if self == _BY_VIN:
            return encode_cursor(last.vin, last.vehicle_id)
        value = getattr(last, self.sort) or NEVER
        return encode_cursor(
            self._name, value.isoformat() if isinstance(value, datetime) else str(value), last.vehicle_id
        )

    def place(self, cursor: str) -> tuple[Any, str] | None:
        """None for an empty cursor. Raises InvalidInput INVALID_CURSOR."""
        if self == _BY_VIN:
            return decode_text_pair(cursor)
        key = decode_sorted(cursor, self._name)
        if key is None:
            return None
        try:
            return _READ.get(self.sort, str)(key[0]), key[1]
        except (ValueError, OverflowError):
            raise not_ours() from None

    @property
    def _name(self) -> str:
        return f"{'-' if self.descending else ''}{self.sort}"


_BY_VIN = VehicleOrder(VehicleSort.VIN, descending=False)
