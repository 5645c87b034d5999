"""Which connector dials which vehicle."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from command_service.storage.session import Session, at_most, identifiers
from command_service.storage.tables import connectors, dialled_vehicles, vehicles
from command_service.use_cases.ports import Assignment
from service_kit.database import any_of, db_now

# As the index has it: a parameter could be anything.
_is_dialled = and_(vehicles.c.link_kind != literal_column("'session'"), vehicles.c.deleted_at.is_(None))
_with_connector = vehicles.outerjoin(
    dialled_vehicles, dialled_vehicles.c.vehicle_id == vehicles.c.vehicle_id
).outerjoin(connectors, connectors.c.connector_id == dialled_vehicles.c.connector_id)
_nobody_dials = or_(connectors.c.connector_id.is_(None), and_(connectors.c.draining, vehicles.c.connector_id.is_(None)))
_unassigned = select(vehicles.c.vehicle_id).select_from(_with_connector).where(_is_dialled, _nobody_dials)
_unassigned_among = _unassigned.where(any_of(vehicles.c.vehicle_id, "ids"))
_with_vehicle = dialled_vehicles.join(vehicles, vehicles.c.vehicle_id == dialled_vehicles.c.vehicle_id)
_loads = (
    select(connectors.c.connector_id, func.count(vehicles.c.vehicle_id))
    .select_from(
        connectors.outerjoin(dialled_vehicles, dialled_vehicles.c.connector_id == connectors.c.connector_id).outerjoin(
            vehicles, and_(vehicles.c.vehicle_id == dialled_vehicles.c.vehicle_id, _is_dialled)
        )
    )
    .where(connectors.c.lease_until > db_now(), connectors.c.draining.is_(False))
    .group_by(connectors.c.connector_id)
)
_of_connectors = (
    select(
        dialled_vehicles.c.connector_id,
        vehicles.c.vehicle_id,
        vehicles.c.vin,
        vehicles.c.link_kind,
        vehicles.c.link_address,
    )
    .select_from(_with_vehicle)
    .where(_is_dialled, any_of(dialled_vehicles.c.connector_id, "ids"))
    .order_by(vehicles.c.vehicle_id)
)
_dialled_by = select(dialled_vehicles.c.vehicle_id, dialled_vehicles.c.connector_id).where(
    any_of(dialled_vehicles.c.vehicle_id, "ids")
)


def _upsert(dialect_insert: Any) -> Any:
    insert = dialect_insert(dialled_vehicles).values(
        vehicle_id=bindparam("vehicle_id"), connector_id=bindparam("connector_id")
    )
    return insert.on_conflict_do_update(
        index_elements=[dialled_vehicles.c.vehicle_id], set_={"connector_id": insert.excluded.connector_id}
    )


_assign_postgresql = _upsert(postgresql.insert)
_assign_sqlite = _upsert(sqlite.insert)


class SqlAssignmentRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def unassigned(self, limit: int) -> list[str]:
        return await self._session.column(_unassigned.limit(at_most(limit)), {})

    async def unassigned_among(self, vehicle_ids: Collection[str]) -> list[str]:
        return await self._session.column(_unassigned_among, {"ids": identifiers(vehicle_ids)})

    async def loads(self) -> dict[str, int]:
        return dict(await self._session.rows(_loads, {}))

    async def assign(self, assigned: Mapping[str, str]) -> None:
        statement = _assign_sqlite if self._session.sqlite else _assign_postgresql
        for vehicle_id, connector_id in sorted(assigned.items()):
            await self._session.execute(statement, {"vehicle_id": vehicle_id, "connector_id": connector_id})

    async def of_connectors(self, connector_ids: Collection[str]) -> dict[str, list[Assignment]]:
        found: dict[str, list[Assignment]] = {}
        for connector_id, *facts in await self._session.rows(_of_connectors, {"ids": list(connector_ids)}):
            found.setdefault(connector_id, []).append(Assignment(*facts))
        return found

    async def dialled_by(self, vehicle_ids: Collection[str]) -> dict[str, str]:
        return dict(await self._session.rows(_dialled_by, {"ids": identifiers(vehicle_ids)}))
