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

    def answer(self, request: bytes, answer: bytes) -> Json:
        """The same of any other positive answer, whole as it came."""

    def data_size(self, data_id: int) -> int:
        """Bytes of a data identifier; 0: unknown, or it varies."""

    def encoded(self, data_id: int, value: str) -> bytes:
        """What is to be written for a physical value. Raises ValueError that says what is allowed."""


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

    def answer(self, request: bytes, answer: bytes) -> Json:
        return {}

    def data_size(self, data_id: int) -> int:
        return 0

    def encoded(self, data_id: int, value: str) -> bytes:
        raise ValueError("no ODX description of this ECU is there, so bytes are needed: 0x and pairs of hex digits")


RAW: Description = _Raw()


class NoDescriptions:
    generation = 0

    def begin(self) -> None: ...

    async def of_ecu(self, vin: str, address: int, ask: Ask) -> Description:
        return RAW
