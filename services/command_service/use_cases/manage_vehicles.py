"""The fleet: register, change, soft-delete, find."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from uuid_utils import uuid7

from command_service.domain.vehicle import ConnectionStatus, LinkKind, Vehicle, known_ecus
from command_service.use_cases.actor import Actor, require_admin
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_vehicle
from command_service.use_cases.cancel_command import ConnectorControl
from command_service.use_cases.ports import AlreadyStored, Storage, UnitOfWork
from command_service.use_cases.unreached_vehicles import forget_link_problems
from command_service.use_cases.vehicle_order import VehicleOrder
from service_kit.errors import Conflict, InvalidInput, NotFound


class ManageVehicles:
    def __init__(self, storage: Storage, control: ConnectorControl, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._control = control
        self._announcer = announcer
        self._waker = waker

    async def get(self, vehicle_id: str) -> Vehicle:
        """Raises NotFound."""
        async with self._storage.reading() as uow:
            vehicle = (await uow.vehicles.get([vehicle_id])).get(vehicle_id)
            if vehicle is None:
                raise unknown_vehicle(vehicle_id)
            await _forget_ended_locks(uow, [vehicle])
            await _with_scanned_ecus(uow, [vehicle])
        return vehicle

    async def page(
        self, search: str, connection_status: str, limit: int, cursor: str, sort: str = ""
    ) -> tuple[list[Vehicle], str]:
        """By VIN, or sorted; the next cursor is "" at the end."""
        if connection_status and connection_status not in list(ConnectionStatus):
            raise InvalidInput("VALIDATION_FAILED", "status must be online or offline")
        order = VehicleOrder.of(sort)
        async with self._storage.reading() as uow:
            found = await uow.vehicles.page(
                search, connection_status, limit + 1, order.place(cursor), order.sort, order.descending
            )
            page = found[:limit]
            await _forget_ended_locks(uow, page)
            await _with_scanned_ecus(uow, page)
        return page, order.cursor(page[-1]) if len(found) > limit else ""

    async def create(
        self, actor: Actor, vin: str, make: str, model: str, year: int, link_kind: str, link_address: str
    ) -> Vehicle:
        """Raises Conflict DUPLICATE_VIN."""
        require_admin(actor)
        async with self._storage.transaction() as uow:
            now = await uow.clock()
            vehicle = Vehicle(
                str(uuid7()), vin, make, model, year, _link_kind(link_kind, link_address), link_address, created_at=now
            )
            try:
                await uow.vehicles.insert(vehicle)
            except AlreadyStored:
                raise Conflict("DUPLICATE_VIN", f"a vehicle with VIN {vin} is registered already") from None
            details: dict[str, Any] = {
                "vin": vin,
                "make": make,
                "model": model,
                "year": year,
                "link": str(vehicle.link_kind),
            }
            await uow.audit.append([about_vehicle("vehicle.created", vehicle.vehicle_id, now, actor, **details)])
            await uow.commit()
        return vehicle

    async def update(
        self,
        actor: Actor,
        vehicle_id: str,
        make: str | None = None,
        model: str | None = None,
        year: int | None = None,
        link: tuple[str, str] | None = None,
    ) -> Vehicle:
        """None leaves a fact as it is. Raises NotFound."""
        require_admin(actor)
        changes: dict[str, Any] = {"make": make, "model": model, "year": year}
        if link is not None:
            changes.update(link_kind=_link_kind(*link), link_address=link[1])
        changes = {name: value for name, value in changes.items() if value is not None}
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicle, now = await locked(uow, vehicle_id)
            reached = vehicle.link_kind, vehicle.link_address
            for name, value in changes.items():
                setattr(vehicle, name, value)
            if reached != (vehicle.link_kind, vehicle.link_address):
                await forget_link_problems(uow, [vehicle], aftermath)
            await uow.vehicles.update([vehicle])
            await uow.audit.append([about_vehicle("vehicle.updated", vehicle_id, now, actor, **changes)])
            await uow.commit()
        aftermath.tell()
        return vehicle

    async def delete(self, actor: Actor, vehicle_id: str) -> None:
        """Soft: history stays, its session ends. Raises NotFound, Conflict VEHICLE_HAS_OPEN_COMMANDS."""
        require_admin(actor)
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicle, now = await locked(uow, vehicle_id)
            if await uow.commands.has_open(vehicle_id):
                raise Conflict(
                    "VEHICLE_HAS_OPEN_COMMANDS",
                    f"vehicle {vehicle.vin} has open commands; cancel them or wait for their end",
                )
            connector_id = vehicle.connector_id
            vehicle.deleted_at = now
            if vehicle.close_session(vehicle.session_epoch, now):
                aftermath.vehicle_changed(vehicle, now)
            await uow.vehicles.update([vehicle])
            await uow.audit.append([about_vehicle("vehicle.deleted", vehicle_id, now, actor, vin=vehicle.vin)])
            await uow.commit()
        aftermath.tell()
        if connector_id is not None:
            # Sent away, it says hello again: whoever has its VIN by then is found.
            await self._control.session_superseded(connector_id, vehicle_id, vehicle.session_epoch)


async def _forget_ended_locks(uow: UnitOfWork, vehicles: Iterable[Vehicle]) -> None:
    """For who reads them."""
    for vehicle in vehicles:
        if vehicle.lock is not None:
            vehicle.lock = vehicle.lock_at(await uow.clock())


async def _with_scanned_ecus(uow: UnitOfWork, vehicles: Sequence[Vehicle]) -> None:
    scanned = await uow.scanned_ecus.of_vehicles([vehicle.vehicle_id for vehicle in vehicles])
    for vehicle in vehicles:
        vehicle.ecus = known_ecus(vehicle.ecus, scanned.get(vehicle.vehicle_id, ()))


async def locked(uow: UnitOfWork, vehicle_id: str) -> tuple[Vehicle, datetime]:
    vehicle = (await uow.vehicles.lock([vehicle_id])).get(vehicle_id)
    if vehicle is None:
        raise unknown_vehicle(vehicle_id)
    return vehicle, await uow.clock()


def _link_kind(kind: str, address: str) -> LinkKind:
    try:
        link_kind = LinkKind(kind or LinkKind.SESSION)
    except ValueError:
        raise InvalidInput(
            "VALIDATION_FAILED", f"link kind must be one of {', '.join(LinkKind)}, not {kind!r}"
        ) from None
    if link_kind is not LinkKind.SESSION and not address:
        raise InvalidInput("VALIDATION_FAILED", f"a {link_kind} link needs the address to dial")
    return link_kind


def unknown_vehicle(vehicle_id: str) -> NotFound:
    return NotFound("UNKNOWN_VEHICLE", f"there is no vehicle {vehicle_id}")
