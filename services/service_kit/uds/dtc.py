"""Diagnostic trouble codes: three bytes (ISO 14229-1 Annex D), as people write them (SAE J2012), and their status."""

import re

# Bit 0 first (ISO 14229-1 Annex D.2).
STATUS_BITS = (
    "testFailed",
    "testFailedThisOperationCycle",
    "pendingDTC",
    "confirmedDTC",
    "testNotCompletedSinceLastClear",
    "testFailedSinceLastClear",
    "testNotCompletedThisOperationCycle",
    "warningIndicatorRequested",
)
ALL_DTCS = 0xFFFFFF
"""The group that every DTC belongs to (ISO 14229-1 Annex D.1)."""

_HEX = re.compile(r"0x[0-9A-Fa-f]{6}")
_DISPLAYED = re.compile(r"([PCBU])([0-3])([0-9A-Fa-f]{3})(?:-([0-9A-Fa-f]{2}))?")


def display_code(code: int) -> str:
    """Letter, four digits and failure type byte: 0x042011 is P0420-11."""
    high = code >> 8
    return f"{'PCBU'[high >> 14]}{high >> 12 & 3}{high & 0xFFF:03X}-{code & 0xFF:02X}"


def parse_code(text: str) -> tuple[int, int]:
    """(code, mask) of "0x042011", "P0420-11" or "P0420", which stands for every failure type. Raises ValueError."""
    if _HEX.fullmatch(text):
        return int(text, 16), 0xFFFFFF
    match = _DISPLAYED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no DTC")
    letter, digit, rest, failure_type = match.groups()
    high = "PCBU".index(letter) << 14 | int(digit) << 12 | int(rest, 16)
    return high << 8 | int(failure_type or "0", 16), 0xFFFFFF if failure_type else 0xFFFF00


def status_object(status: int) -> dict[str, bool | str]:
    """The status byte, bit by bit and as it is."""
    bits: dict[str, bool | str] = {name: bool(status >> bit & 1) for bit, name in enumerate(STATUS_BITS)}
    return bits | {"raw": f"0x{status:02X}"}


def fault_object(ecu_address: int, code: int, status: int) -> dict[str, object]:
    """One fault as every link reports it, as far as its three bytes and its status tell."""
    return {
        "ecuAddress": f"0x{ecu_address:X}",
        "code": f"0x{code:06X}",
        "display_code": display_code(code),
        "status": status_object(status),
    }
