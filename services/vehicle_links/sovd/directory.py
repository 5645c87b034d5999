"""Which component of a SOVD server is which ECU, and which of its resources is which identifier.

The catalogue speaks of ECU addresses and of the two-byte identifiers of ISO 14229-1; SOVD speaks of names. Servers
declare what belongs together, each in its way: here are the ways that are known. Read once and kept; read again when
something asked for is not there, at most every few seconds.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from vehicle_links.dialled import CommandFailed, FateUnknown
from vehicle_links.sovd.codec import Object, check, items_of, number_of, object_of, text_of
from vehicle_links.sovd.http import Answer, BadAnswer

_REREAD_SECONDS = 5.0
_MOST_COMPONENTS = 256
_AT_ONCE = 8

# `variant.logical_address` is what Eclipse OpenSOVD's adapter says.
_NAMES_OF_ADDRESS = ("logical_address", "x-logical-address", "address", "x-address", "ecuAddress", "x-ecu-address")
_NAMES_OF_IDENTIFIER = ("did", "x-did", "data_identifier", "x-data-identifier", "routine_id", "x-routine-id", "rid")
# UDS requests in hexadecimal (OpenSOVD): 22 F1 90 and 2E F1 90 are data, 31 01 02 03 is a routine.
_SERVICES = "x-sovd2uds-serviceAbstract"
_UDS_REQUEST = re.compile(r"(?:22|2E|31 ?0[123]) ?([0-9A-Fa-f]{2}) ?([0-9A-Fa-f]{2})")

Get = Callable[[str], Awaitable[Answer]]


@dataclass(slots=True)
class Component:
    """`path` is below the base; `links` are the attributes of its capability description (ISO 17978-3, 7.6)."""

    id: str
    name: str
    path: str
    address: int | None
    links: Mapping[str, Any]
    collections: dict[str, "_Collection"] = field(default_factory=dict)
    reset_path: str | None = None
    """Where a reset goes, once that is known."""


@dataclass(slots=True)
class _Collection:
    read_at: float
    ids: dict[int, str]
    items: list[Object]


class Directory:
    """The components of one server, by ECU address. `get` reads a path; what it raises comes through."""

    def __init__(self, base: str, get: Get) -> None:
        self._base = base
        self._get = get
        self._components: dict[int, Component] = {}
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def component(self, address: int) -> Component:
        if address not in self._components:
            async with self._reading:
                if address not in self._components and _is_old(self._read_at):
                    await self.read()
        component = self._components.get(address)
        if component is None:
            known = ", ".join(f"0x{number:X} {found.name}" for number, found in sorted(self._components.items()))
            there = f"those with one are {known}" if known else "none says which address it has"
            raise CommandFailed(
                "ECU_NOT_REACHABLE", f"no component of the vehicle has the address 0x{address:X}; {there}"
            )
        return component

    async def components(self) -> list[Component]:
        """All that have an address."""
        if not self._components:
            await self.read()
        return list(self._components.values())

    async def resource(self, component: Component, collection: str, identifier: int) -> str:
        """The path of a data resource or an operation. One that nobody declared goes by its number: the server says
        whether there is such a thing."""
        known = await self._collection(component, collection)
        if identifier not in known.ids and _is_old(known.read_at):
            known = component.collections[collection] = await self._read_collection(component, collection)
        return f"{component.path}/{collection}/{quote(known.ids.get(identifier, f'0x{identifier:04X}'), safe='')}"

    async def has_operation(self, component: Component, names: Iterable[str]) -> str | None:
        """The path of the operation that has one of these ids."""
        known = await self._collection(component, "operations")
        there = {str(item.get("id", "")).lower(): item for item in known.items}
        found = next((there[name] for name in names if name in there), None)
        return None if found is None else f"{component.path}/operations/{quote(str(found['id']), safe='')}"

    async def declared(self, component: Component, collection: str) -> Iterable[int]:
        """The identifiers that the component says it has; none: it does not say."""
        return (await self._collection(component, collection)).ids.keys()

    async def read(self) -> None:
        """All components with what each says of itself."""
        entries = items_of(check(await self._get(f"{self._base}/components"), "the list of components"))
        gate = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(self._describe(entry, gate) for entry in entries[:_MOST_COMPONENTS]))
        self._components = {}
        for component in found:
            if component is not None and component.address is not None:
                self._components.setdefault(component.address, component)
        self._read_at = time.monotonic()

    async def _describe(self, entry: Object, gate: asyncio.Semaphore) -> Component | None:
        if not (component_id := text_of(entry, "id")):
            return None
        path = f"{self._base}/components/{quote(component_id, safe='')}"
        try:
            async with gate:
                said = object_of(check(await self._get(path), f"component {component_id}"))
        except (CommandFailed, FateUnknown, BadAnswer):  # one that cannot be read does not hide the others
            said = {}
        address = _address_of(said, entry, component_id)
        return Component(
            component_id, text_of(said, "name") or text_of(entry, "name") or component_id, path, address, said
        )

    async def _collection(self, component: Component, collection: str) -> _Collection:
        if collection not in component.collections:
            component.collections[collection] = await self._read_collection(component, collection)
        return component.collections[collection]

    async def _read_collection(self, component: Component, collection: str) -> _Collection:
        try:
            items = items_of(
                check(await self._get(f"{component.path}/{collection}"), f"{collection} of {component.name}")
            )
        except (CommandFailed, FateUnknown):  # servers need not list what they have
            items = []
        ids: dict[int, str] = {}
        for item in items:
            if resource_id := text_of(item, "id"):
                for identifier in _identifiers_of(item, resource_id):
                    ids.setdefault(identifier, resource_id)
        return _Collection(time.monotonic(), ids, items)


def _is_old(read_at: float) -> bool:
    return not read_at or time.monotonic() - read_at > _REREAD_SECONDS


def _address_of(said: Object, entry: Object, component_id: str) -> int | None:
    variant = said.get("variant")
    for part in (said, variant if isinstance(variant, dict) else {}, entry):
        for name in _NAMES_OF_ADDRESS:
            if (address := number_of(part.get(name))) is not None:
                return address
    return number_of(component_id) if component_id[:2] in ("0x", "0X") else None


def _identifiers_of(item: Object, resource_id: str) -> Iterable[int]:
    for name in _NAMES_OF_IDENTIFIER:
        if (identifier := number_of(item.get(name))) is not None:
            yield identifier
    services = item.get(_SERVICES)
    for service in services if isinstance(services, list) else []:
        if isinstance(service, str) and (match := _UDS_REQUEST.fullmatch(service)):
            yield int(match[1] + match[2], 16)
    if re.fullmatch(r"(?:0x)?[0-9A-Fa-f]{4}", resource_id):
        yield int(resource_id, 16)
