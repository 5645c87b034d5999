"""Vehicles that must be dialled: each is assigned to one connector, so that it sees one connection."""

import heapq
from collections.abc import Collection, Mapping

from command_service.use_cases.ports import Assignment, Storage
from service_kit.errors import Unavailable

_PER_LOOK = 500


class AssignVehicles:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def assign_unassigned(self) -> int:
        """Assigns those that nobody dials: new ones, and those whose connector is gone or has let go of them to stop.
        Returns how many."""
        async with self._storage.reading() as uow:
            found = await uow.assignments.unassigned(_PER_LOOK)
        if not found:
            return 0
        async with self._storage.transaction() as uow:
            # Looked for without a lock: locked now, and looked at again.
            await uow.vehicles.lock(found)
            unassigned = await uow.assignments.unassigned_among(found)
            assigned = spread(unassigned, await uow.assignments.loads())
            await uow.assignments.assign(assigned)
            await uow.commit()
        return len(assigned)

    async def of_connectors(self, connector_ids: Collection[str]) -> dict[str, list[Assignment]]:
        """What each of the connectors dials."""
        try:
            async with self._storage.reading() as uow:
                return await uow.assignments.of_connectors(connector_ids)
        except Unavailable as error:
            if error.code != "DATABASE_NOT_MIGRATED":
                raise
            return {}  # connectors keep their leases while the migration is awaited


def spread(vehicle_ids: Collection[str], loads: Mapping[str, int]) -> dict[str, str]:
    """vehicle_id → connector_id, each to the connector that dials the fewest; `loads` is how many each dials now."""
    heap = [(load, connector_id) for connector_id, load in loads.items()]
    heapq.heapify(heap)
    assigned: dict[str, str] = {}
    for vehicle_id in vehicle_ids if heap else ():
        load, connector_id = heap[0]
        assigned[vehicle_id] = connector_id
        heapq.heapreplace(heap, (load + 1, connector_id))
    return assigned
