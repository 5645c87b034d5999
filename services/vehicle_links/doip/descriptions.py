"""The port to what is known of ECUs beyond ISO 14229: names, units, physical values. Without it all stays raw."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from vehicle_links.doip.decoding import Json

Ask = Callable[[bytes], Awaitable[bytes]]
"""One request to the ECU and its answer, also a negative one."""


class Description(Protocol):
    """Of one ECU. What it says of an answer is put beside the bytes; it never raises for what a vehicle sent."""

    def fault(self, code: int) -> Json:
        """`fault_name` and `severity` of a DTC (3 bytes), as far as they are known."""

    def data(self, data_id: int, raw: bytes) -> Json:
        """`name`, `value` and `unit` of a data identifier, as far as they are known."""

    def routine(self, request: bytes, answer: bytes) -> Json:
        """The routine's `name`, and what it returned: `value` and `units` by name; both messages whole."""

    def extended_data(self, answer: bytes) -> Json:
        """`name`, `value` and `unit` of the one record in an answer 0x59 0x06, as far as they are known."""

    def data_size(self, data_id: int) -> int:
        """Bytes of a data identifier; 0: unknown, or it varies."""

    def encoded(self, request: bytes, values: str) -> bytes:
        """What follows the beginning of a request for a physical value, or for several, as a JSON object. Raises
        ValueError that says what is allowed."""


class Descriptions(Protocol):
    @property
    def generation(self) -> int:
        """Changes when what was found may be found otherwise."""

    def begin(self) -> None:
        """To look for descriptions, beside the event loop; again and again changes nothing."""

    async def of_ecu(self, vin: str, address: int, ask: Ask) -> Description:
        """Asks the ECU which of several it is, if need be; what `ask` raises comes through."""


class _Raw:
    def fault(self, code: int) -> Json:
        return {}

    def data(self, data_id: int, raw: bytes) -> Json:
        return {}

    def routine(self, request: bytes, answer: bytes) -> Json:
        return {}

    def extended_data(self, answer: bytes) -> Json:
        return {}

    def data_size(self, data_id: int) -> int:
        return 0

    def encoded(self, request: bytes, values: str) -> bytes:
        raise ValueError("no ODX description of this ECU is there, so bytes are needed: 0x and pairs of hex digits")


RAW: Description = _Raw()


class NoDescriptions:
    generation = 0

    def begin(self) -> None: ...

    async def of_ecu(self, vin: str, address: int, ask: Ask) -> Description:
        return RAW
