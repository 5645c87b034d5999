"""Who is where, by UDP (ISO 13400-2, 7.2): asking one entity or all, and hearing those that announce themselves."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from service_kit.logging import get_logger
from vehicle_links.doip import messages as doip

_log = get_logger(__name__)

_TRIES = 3
# A_DOIP_Ctrl of the standard is 2 s for all tries.
_TRY_SECONDS = 0.7


@dataclass(frozen=True, slots=True)
class Entity:
    """A DoIP entity that answered or announced itself. `version`: of the protocol that it speaks."""

    host: str
    vin: str
    logical_address: int
    version: int


async def identify(host: str, port: int) -> Entity | None:
    """Asks one entity who it is. None: it does not answer."""
    return await _ask(doip.IdentificationRequest(), (host, port))


async def discover(vin: str, host: str, port: int) -> Entity | None:
    """Asks all that a broadcast reaches. Only that vehicle is to answer, and whoever else does is not it. None: it does
    not answer."""
    return await _ask(doip.IdentificationRequestWithVin(vin), (host, port), vin)


async def _ask(request: Any, address: tuple[str, int], vin: str | None = None) -> Entity | None:
    """With a VIN all are asked, and others are not listened to."""
    to_one = vin is None
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[Entity | None] = loop.create_future()

    def on_entity(entity: Entity | None) -> None:
        if not heard.done() and (to_one or entity is None or entity.vin == vin):
            heard.set_result(entity)

    # Of a connected socket the system tells when nobody listens there.
    place: dict[str, Any] = {"remote_addr": address} if to_one else {"family": socket.AF_INET, "allow_broadcast": True}
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(on_entity), **place)
    except OSError:
        return None
    try:
        for _ in range(_TRIES):
            transport.sendto(doip.packed(request, doip.ANY_VERSION), None if to_one else address)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(heard), _TRY_SECONDS)
    except OSError:
        return None
    finally:
        transport.close()
        heard.cancel()
    return None


async def listen(port: int, on_announced: Callable[[Entity], object]) -> Callable[[], None]:
    """Calls back for each announcement that comes to the port; returns what ends that."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(lambda entity: entity and on_announced(entity)),
        local_addr=("0.0.0.0", port),  # noqa: S104  announcements are broadcast
        allow_broadcast=True,
    )
    return transport.close


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_entity: Callable[[Entity | None], object]) -> None:
        self._on_entity = on_entity

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            message = doip.parse_datagram(data)
            if isinstance(message, doip.IdentificationResponse):
                self._on_entity(_entity(str(addr[0]), cast("Any", message), data[0]))
        except (doip.BadMessage, ValueError) as bad:
            _log.info("bad_datagram", sender=str(addr[0]), reason=str(bad))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        self._on_entity(None)


def _entity(host: str, message: Any, version: int) -> Entity:
    vin = message._vin  # the property fails on what is no ASCII
    known = doip.VERSION if version == doip.ANY_VERSION else version
    return Entity(host, bytes(vin).decode("ascii", "replace"), message.logical_address, known)
