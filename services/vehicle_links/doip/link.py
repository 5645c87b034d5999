"""Dials DoIP entities (see links/dialled.py).

A vehicle's address is `host[:port]` of its entity, or `discover[:broadcast address[:port]]`: then the vehicle is asked
for by its VIN and dialled where it answers from. Options follow as in `192.0.2.10?source=0x0E80&activation=1`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from service_kit.logging import get_logger
from service_kit.uds import FUNCTIONAL_DOIP
from vehicle_links.dialled import Connection, DialledVehicle, Execution, Unreachable
from vehicle_links.doip import commands, functional, scan
from vehicle_links.doip.descriptions import Descriptions, NoDescriptions
from vehicle_links.doip.ecu import EcuSession
from vehicle_links.doip.ecus import Ecus
from vehicle_links.doip.entity import EntityConnection, connect
from vehicle_links.doip.identification import Entity, discover, identify
from vehicle_links.doip.messages import VERSION
from vehicle_links.doip.security import Authenticate, Security, SeedKey

_log = get_logger(__name__)

PORT = 13400
_DISCOVER = "discover"
_BROADCAST = "255.255.255.255"
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class DoipAddress:
    """`source`: the logical address that we take, 0x0E00 to 0x0FFF (Table 13)."""

    host: str
    port: int
    source: int
    activation_type: int = 0
    discover: bool = False


def parse_address(text: str, source: int) -> DoipAddress:
    """Raises ValueError that says what is allowed."""
    place, _, options = text.partition("?")
    to_be_found = place == _DISCOVER or place.startswith(f"{_DISCOVER}:")
    if to_be_found:
        place = place.removeprefix(_DISCOVER).removeprefix(":") or _BROADCAST
    match = _HOST_AND_PORT.fullmatch(place)
    if match is None or not 0 < int(match["port"] or PORT) < 65536:
        raise ValueError(f"{text!r} is neither host[:port] nor discover[:broadcast address[:port]]")
    address = DoipAddress(match["ipv6"] or match["host"], int(match["port"] or PORT), source, discover=to_be_found)
    for name, value in parse_qsl(options, keep_blank_values=True):
        address = _with_option(address, name, value)
    return address


def _with_option(address: DoipAddress, name: str, value: str) -> DoipAddress:
    if name not in ("source", "activation") or not re.fullmatch(r"0x[0-9A-Fa-f]{1,4}|\d{1,5}", value):
        raise ValueError(f"{name}={value} is none of source=0x0E00, activation=0")
    number = int(value, 0)
    return replace(address, source=number) if name == "source" else replace(address, activation_type=number)


class DoipDialler:
    """`source` is our logical address where the vehicle's address says no other."""

    def __init__(
        self,
        source: int,
        *,
        level: int = 1,
        seed_key: SeedKey | None = None,
        authenticate: Authenticate | None = None,
        descriptions: Descriptions | None = None,
    ) -> None:
        self._source = source
        self._descriptions = descriptions or NoDescriptions()
        self._security: Callable[[str], Security] = lambda vin: Security(vin, level, seed_key, authenticate)

    async def dial(self, vehicle: DialledVehicle) -> Connection:
        self._descriptions.begin()
        try:
            address = parse_address(vehicle.address, self._source)
        except ValueError as error:
            raise Unreachable(str(error)) from None
        entity = await (_discovered(vehicle, address) if address.discover else _identified(vehicle, address))
        host, version = (address.host, VERSION) if entity is None else (entity.host, entity.version)
        connection = await connect(host, address.port, address.source, address.activation_type, version)
        if entity is None:
            _log.info(
                "vehicle_not_identified", vin=vehicle.vin, reason="no answer to the identification request by UDP"
            )
        return DoipConnection(connection, self._security(vehicle.vin), self._descriptions)


async def _discovered(vehicle: DialledVehicle, address: DoipAddress) -> Entity:
    """Raises Unreachable."""
    found = await discover(vehicle.vin, address.host, address.port)
    if found is None:
        raise Unreachable(f"no vehicle with this VIN answers at {address.host}:{address.port}")
    return found


async def _identified(vehicle: DialledVehicle, address: DoipAddress) -> Entity | None:
    """What is meant for one vehicle must not reach another that has its network address now: raises Unreachable. An
    entity that does not know its VIN (yet) says only zeros or only ones. None: nobody answers."""
    entity = await identify(address.host, address.port)
    if entity is not None and entity.vin.strip("\0\ufffd") and entity.vin != vehicle.vin:
        raise Unreachable(f"another vehicle answers at {address.host}:{address.port}: {entity.vin}")
    return None if entity is None else replace(entity, host=address.host)


class DoipConnection:
    """The Connection to one vehicle: its ECUs share one TCP connection."""

    def __init__(
        self, connection: EntityConnection, security: Security, descriptions: Descriptions | None = None
    ) -> None:
        self._connection = connection
        self._ecus = Ecus(lambda address: EcuSession(connection, address, security, descriptions))

    async def execute(self, execution: Execution) -> None:
        if execution.command.command_name == scan.COMMAND_NAME:
            await scan.run(self._connection, self._ecus, execution)
            return
        address = commands.ecu_address(execution.parameters)
        if address in FUNCTIONAL_DOIP:
            await functional.run(self._connection, address, self._ecus, execution)
        else:
            await commands.run(self._ecus[address], execution)

    async def lost(self) -> str:
        return await self._connection.lost()

    async def close(self) -> None:
        self._ecus.close()
        await self._connection.close()
