"""Why vehicles that must be dialled are not reached, as their connectors say."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from command_service.domain.vehicle import LinkKind, Vehicle
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.ports import Storage, UnitOfWork


@dataclass(frozen=True, slots=True)
class NotReached:
    connector_id: str
    vehicle_id: str
    reason: str


class UnreachedVehicles:
    def __init__(self, storage: Storage, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._announcer = announcer
        self._waker = waker

    async def __call__(self, reports: Sequence[NotReached]) -> None:
        """The last word on each vehicle counts, and only of the connector that dials it: another one's is outdated."""
        latest = {report.vehicle_id: report for report in reports}
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicles = await uow.vehicles.lock(latest.keys())
            dialled_by = await uow.assignments.dialled_by(vehicles.keys())
            now = await uow.clock()
            changed = [
                vehicle
                for vehicle_id, vehicle in vehicles.items()
                if vehicle.link_kind is not LinkKind.SESSION
                and dialled_by.get(vehicle_id) == latest[vehicle_id].connector_id
                and vehicle.not_reached(latest[vehicle_id].reason, now)
            ]
            await _tell_after(uow, changed, aftermath)
            await uow.commit()
        aftermath.tell()


async def forget_link_problems(uow: UnitOfWork, vehicles: Collection[Vehicle], aftermath: Aftermath) -> None:
    """Of locked vehicles that nobody tries to reach as before."""
    await _tell_after(uow, [vehicle for vehicle in vehicles if vehicle.forget_link_problem()], aftermath)


async def _tell_after(uow: UnitOfWork, changed: Sequence[Vehicle], aftermath: Aftermath) -> None:
    now = await uow.clock()
    await uow.vehicles.update(changed)
    for vehicle in changed:
        aftermath.vehicle_changed(vehicle, now)
