"""What ECUs say of themselves (ISO 14229-1 Annex C.1, 0xF180 to 0xF19F), and what it is called here."""

from collections.abc import Mapping

# By name: the data identifiers that say it, the vehicle manufacturer's before the system supplier's.
FACTS: Mapping[str, tuple[int, ...]] = {
    "name": (0xF197,),
    "part_number": (0xF187,),
    "software_number": (0xF188, 0xF194),
    "software_version": (0xF189, 0xF195),
    "hardware_number": (0xF191, 0xF192),
    "hardware_version": (0xF193,),
    "serial_number": (0xF18C,),
    "vin": (0xF190,),
}
_IDENTIFICATION = range(0xF180, 0xF1A0)


def text_of(data_id: int, raw: bytes) -> str | None:
    """What is text in there; None where it is none (a version in BCD, a date), or no identification at all."""
    text = raw.rstrip(b"\0 ")
    readable = len(text) > 1 and text.isascii() and text.decode().isprintable()
    return text.decode() if data_id in _IDENTIFICATION and readable else None
