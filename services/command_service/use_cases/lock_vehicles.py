"""The diagnostic lock of a vehicle: taken for a while, renewed, released by its owner, broken by an admin."""

from collections.abc import Callable
from datetime import datetime, timedelta

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.events import timestamp
from command_service.domain.vehicle import Vehicle
from command_service.use_cases.actor import SUBMITTERS, Actor
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_vehicle
from command_service.use_cases.limits import Limits
from command_service.use_cases.manage_vehicles import locked
from command_service.use_cases.ports import Storage, UnitOfWork
from command_service.use_cases.vehicle_sessions import carried_by
from service_kit.errors import Conflict, Forbidden, InvalidInput, NotFound, ServiceError

Decide = Callable[[Vehicle, datetime], str]
"""Changes the vehicle's lock and returns the audit entry's action; raises ServiceError when it may not."""


class LockVehicles:
    def __init__(self, storage: Storage, limits: Limits, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._limits = limits
        self._announcer = announcer
        self._waker = waker

    async def take(self, actor: Actor, vehicle_id: str, seconds: int | None = None) -> Vehicle:
        """To take what one has already is to renew it. What others sent and the vehicle has not got yet waits from now
        on; what it has got runs on. Raises NotFound, Conflict VEHICLE_LOCKED."""
        duration = self._duration(seconds)

        def decide(vehicle: Vehicle, now: datetime) -> str:
            held = vehicle.lock_at(now)
            _require_free_for(actor, vehicle, held)
            vehicle.lock = DiagnosticLock(
                actor.user_id, actor.username, held.taken_at if held else now, expires_at=now + duration
            )
            return "vehicle.lock_renewed" if held else "vehicle.lock_taken"

        return await self._change(actor, vehicle_id, decide)

    async def renew(self, actor: Actor, vehicle_id: str, seconds: int | None = None) -> Vehicle:
        """From now on for so long. Raises NotFound NOT_LOCKED when it has ended, Conflict VEHICLE_LOCKED."""
        duration = self._duration(seconds)

        def decide(vehicle: Vehicle, now: datetime) -> str:
            held = _require_lock(vehicle, now)
            _require_free_for(actor, vehicle, held)
            vehicle.lock = DiagnosticLock(held.owner_id, held.owner, held.taken_at, expires_at=now + duration)
            return "vehicle.lock_renewed"

        return await self._change(actor, vehicle_id, decide)

    async def release(self, actor: Actor, vehicle_id: str, *, break_it: bool = False) -> Vehicle:
        """`break_it`: whoever has it. Raises NotFound NOT_LOCKED, Conflict VEHICLE_LOCKED, Forbidden."""

        def decide(vehicle: Vehicle, now: datetime) -> str:
            held = _require_lock(vehicle, now)
            own = held.owner_id == actor.user_id
            if not own and not break_it:
                raise vehicle_locked(vehicle)
            if not own and actor.role != "admin":
                raise Forbidden("FORBIDDEN", f"only {held.owner} or an admin may end this lock")
            vehicle.lock = None
            return "vehicle.lock_released" if own else "vehicle.lock_broken"

        return await self._change(actor, vehicle_id, decide)

    def _duration(self, seconds: int | None) -> timedelta:
        longest = self._limits.max_lock_seconds
        wanted = min(self._limits.default_lock_seconds, longest) if seconds is None else seconds
        if not 1 <= wanted <= longest:
            raise InvalidInput("VALIDATION_FAILED", f"a lock lasts from 1 to {longest} seconds, not {wanted}")
        return timedelta(seconds=wanted)

    async def _change(self, actor: Actor, vehicle_id: str, decide: Decide) -> Vehicle:
        if actor.role not in SUBMITTERS:
            raise Forbidden("FORBIDDEN", "only an engineer or an admin may lock a vehicle")
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicle, now = await locked(uow, vehicle_id)
            before = vehicle.lock_at(now)
            try:
                action = decide(vehicle, now)
            except ServiceError as error:
                await uow.audit.append([_refused(vehicle, now, actor, error)])
                await uow.commit()
                raise
            await uow.vehicles.update([vehicle])
            await _hold_back(uow, vehicle, now, aftermath)
            details = _details(vehicle.lock or before)
            await uow.audit.append([about_vehicle(action, vehicle_id, now, actor, vin=vehicle.vin, **details)])
            await uow.commit()
        aftermath.vehicle_changed(vehicle, now)
        aftermath.tell()
        return vehicle


async def _hold_back(uow: UnitOfWork, vehicle: Vehicle, now: datetime, aftermath: Aftermath) -> None:
    """Takes back what is on its way and has to wait now; that it is not claimed any more is certain: its row is
    locked, and whoever claims it later is too late."""
    lock = vehicle.lock
    if lock is None:
        return
    on_its_way = [
        command
        for command in (await carried_by(uow, [vehicle.vehicle_id]))[vehicle.vehicle_id]
        if command.status is Status.DISPATCHED and lock.holds_back(command.user_id, command.command_class, now)
    ]
    for command in on_its_way:
        command.return_to_queue(now)
        aftermath.status_changed(command, now)
    await uow.commands.update(on_its_way)


def vehicle_locked(vehicle: Vehicle) -> Conflict:
    """Of one that is."""
    lock = vehicle.lock
    assert lock is not None, "it is locked"
    until = timestamp(lock.expires_at)
    return Conflict(
        "VEHICLE_LOCKED",
        f"vehicle {vehicle.vin} is locked by {lock.owner} until {until}; only {lock.owner} may change anything on it",
        {"owner": lock.owner, "owner_id": lock.owner_id, "expires_at": until},
    )


def _require_free_for(actor: Actor, vehicle: Vehicle, held: DiagnosticLock | None) -> None:
    if held is not None and held.owner_id != actor.user_id:
        raise vehicle_locked(vehicle)


def _require_lock(vehicle: Vehicle, now: datetime) -> DiagnosticLock:
    held = vehicle.lock_at(now)
    if held is None:
        raise NotFound("NOT_LOCKED", f"vehicle {vehicle.vin} is not locked; a lock may have ended by itself")
    return held


def _refused(vehicle: Vehicle, now: datetime, actor: Actor, error: ServiceError) -> AuditEntry:
    details = {"vin": vehicle.vin, "code": error.code, **_details(vehicle.lock_at(now))}
    return about_vehicle("vehicle.lock_refused", vehicle.vehicle_id, now, actor, outcome="refused", **details)


def _details(lock: DiagnosticLock | None) -> dict[str, str]:
    return {} if lock is None else {"owner": lock.owner, "expires_at": timestamp(lock.expires_at)}
