"""The fleet and who reaches it: vehicles with their newest session, and the connectors' leases."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    func,
    literal,
    select,
    tuple_,
    update,
)

from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.vehicle import ConnectionStatus, Ecu, LinkKind, LinkProblem, Vehicle
from command_service.storage.session import (
    GivenRows,
    InsertRows,
    Session,
    UpdateRows,
    already_stored,
    as_row,
    at_most,
    columns_of,
    given,
    identifiers,
    is_identifier,
    storable,
)
from command_service.storage.tables import vehicles
from command_service.use_cases.ports import NEVER, VehicleSort
from service_kit.database import UtcDateTime, UuidText, any_of, db_now

_FIELDS = [field.name for field in fields(Vehicle) if field.name not in ("lock", "link_problem")]
_LOCK = [f"lock_{field.name}" for field in fields(DiagnosticLock)]
_LINK_PROBLEM = [f"link_problem_{field.name}" for field in fields(LinkProblem)]
_ECUS = _FIELDS.index("ecus")
vehicle_columns = columns_of(vehicles, [*_FIELDS, *_LOCK, *_LINK_PROBLEM])
_stored_columns = [*vehicle_columns, vehicles.c.search_text]
exists = vehicles.c.deleted_at.is_(None)

# The value of a row and that of a cursor alike: what "any case" means is the database's business.
_SORTED_BY: Mapping[VehicleSort, Callable[[ColumnElement[Any]], ColumnElement[Any]]] = {
    VehicleSort.VIN: lambda value: value,
    VehicleSort.MAKE: func.lower,
    VehicleSort.MODEL: func.lower,
    VehicleSort.YEAR: lambda value: value,
    VehicleSort.LAST_SEEN_AT: lambda value: func.coalesce(value, literal(NEVER, UtcDateTime())),
}

_insert = InsertRows(vehicles, _stored_columns)
_update = UpdateRows(vehicles, _stored_columns)
_get = select(*vehicle_columns).where(any_of(vehicles.c.vehicle_id, "ids"), exists)
_by_vin = select(*vehicle_columns).where(any_of(vehicles.c.vin, "vins"), exists)
_vins = select(vehicles.c.vehicle_id, vehicles.c.vin).where(any_of(vehicles.c.vehicle_id, "ids"))
# The clock is read outside, so after the locks were waited for. In key order, so that two never wait for each other.
_locked = _get.order_by(vehicles.c.vehicle_id).with_for_update(key_share=True).subquery("locked")
_lock = select(*_locked.c, db_now().label("now"))
_epochs = select(vehicles.c.vehicle_id, vehicles.c.session_epoch).where(any_of(vehicles.c.vehicle_id, "ids"), exists)
_on_connector = select(vehicles.c.vehicle_id).where(vehicles.c.connector_id == bindparam("connector_id"), exists)

_seen_columns = columns_of(vehicles, ["vehicle_id", "session_epoch"])
_given_seen = GivenRows(_seen_columns)
_seen = _given_seen.table
_seen_locked = (
    select(vehicles.c.vehicle_id)
    .join(_seen, (vehicles.c.vehicle_id == _seen.c.vehicle_id) & (vehicles.c.session_epoch == _seen.c.session_epoch))
    .order_by(vehicles.c.vehicle_id)
    .with_for_update(key_share=True, of=vehicles)
    .subquery("locked")
)
_touch_all = update(vehicles).where(vehicles.c.vehicle_id == _seen_locked.c.vehicle_id).values(last_seen_at=db_now())
_touch_rows = update(vehicles).where(*(one == given(one) for one in _seen_columns)).values(last_seen_at=db_now())


class SqlVehicleRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, vehicle_ids: Collection[str]) -> dict[str, Vehicle]:
        ids = identifiers(vehicle_ids)
        return {one.vehicle_id: one for one in await self._vehicles(_get, ids=ids)} if ids else {}

    async def vins(self, vehicle_ids: Collection[str]) -> dict[str, str]:
        ids = identifiers(vehicle_ids)
        if not ids:
            return {}
        return dict(await self._session.rows(_vins, {"ids": ids}))

    async def by_vin(self, vins: Collection[str]) -> dict[str, Vehicle]:
        wanted = [storable(vin) for vin in vins]
        return {one.vin: one for one in await self._vehicles(_by_vin, vins=wanted)} if wanted else {}

    async def lock(self, vehicle_ids: Collection[str]) -> dict[str, Vehicle]:
        ids = identifiers(vehicle_ids)
        if not ids:
            return {}
        locked = {}
        rows = await self._session.rows(_lock, {"ids": ids})
        for *values, _ in rows:
            vehicle = vehicle_of(values)
            locked[vehicle.vehicle_id] = vehicle
        if rows:
            self._session.saw_clock(rows[-1][-1])
        return locked

    async def insert(self, vehicle: Vehicle) -> None:
        with already_stored("vin"):
            await _insert(self._session, [_stored(vehicle)])
            await self._session.settle()

    async def update(self, changed: Sequence[Vehicle]) -> None:
        await _update(self._session, [_stored(vehicle) for vehicle in changed])

    async def touch(self, seen: Sequence[tuple[str, int]]) -> None:
        rows = sorted({pair for pair in seen if is_identifier(pair[0])})
        if not rows:
            return
        if self._session.sqlite:
            await self._session.execute(_touch_rows, [as_row(_seen_columns, row) for row in rows])
        else:
            await self._session.execute(_touch_all, _given_seen.parameters(rows))

    async def session_epochs(self, vehicle_ids: Collection[str]) -> dict[str, int]:
        return dict(await self._session.rows(_epochs, {"ids": identifiers(vehicle_ids)}))

    async def on_connector(self, connector_id: str) -> list[str]:
        return await self._session.column(_on_connector, {"connector_id": connector_id})

    async def page(
        self,
        search: str,
        connection_status: str,
        limit: int,
        after: tuple[Any, str] | None,
        sort: VehicleSort = VehicleSort.VIN,
        descending: bool = False,
    ) -> list[Vehicle]:
        key = _SORTED_BY[sort](vehicles.c[sort]), vehicles.c.vehicle_id
        query = select(*vehicle_columns).where(exists).limit(at_most(limit))
        query = query.order_by(*(one.desc() if descending else one for one in key))
        if search:
            query = query.where(vehicles.c.search_text.contains(storable(search).casefold(), autoescape=True))
        if connection_status:
            query = query.where(vehicles.c.connection_status == storable(connection_status))
        if after:
            query = query.where(_behind(sort, descending, *after))
        return list(await self._vehicles(query))

    async def _vehicles(self, query: Select[Any], **parameters: Any) -> Iterable[Vehicle]:
        return map(vehicle_of, await self._session.rows(query, parameters))


def _behind(sort: VehicleSort, descending: bool, value: Any, vehicle_id: str) -> Any:
    column = vehicles.c[sort]
    cursor = literal(storable(value) if isinstance(value, str) else value, column.type)
    sorted_by, place = _SORTED_BY[sort](column), _SORTED_BY[sort](cursor)
    # A cursor comes from outside; where it names no identifier, all of that value is behind it.
    if not is_identifier(vehicle_id):
        return sorted_by <= place if descending else sorted_by >= place
    here, there = tuple_(sorted_by, vehicles.c.vehicle_id), tuple_(place, literal(vehicle_id, UuidText()))
    return here < there if descending else here > there


def vehicle_of(values: Sequence[Any]) -> Vehicle:
    vehicle = Vehicle(*values[: len(_FIELDS)])
    owner_id, owner, taken_at, expires_at, reason, since = values[len(_FIELDS) :]
    vehicle.lock = None if owner_id is None else DiagnosticLock(owner_id, owner, taken_at, expires_at)
    vehicle.link_problem = None if reason is None else LinkProblem(reason, since)
    vehicle.link_kind = LinkKind(vehicle.link_kind)
    vehicle.connection_status = ConnectionStatus(vehicle.connection_status)
    vehicle.ecus = list(_ecus(values[_ECUS]))
    return vehicle


@lru_cache
def _ecus(text: str) -> list[Ecu]:
    return [Ecu(*ecu) for ecu in json.loads(text)]


def _storable(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def _stored(vehicle: Vehicle) -> tuple[Any, ...]:
    make, model = storable(vehicle.make), storable(vehicle.model)
    values = {
        "make": make,
        "model": model,
        "link_address": storable(vehicle.link_address),
        "ecus": json.dumps([(ecu.address, ecu.name) for ecu in vehicle.ecus], separators=(",", ":")),
    }
    search_text = "\n".join((vehicle.vin, make, model)).casefold()
    lock = [None] * len(_LOCK) if vehicle.lock is None else map(_storable, astuple(vehicle.lock))
    problem = (
        [None] * len(_LINK_PROBLEM) if vehicle.link_problem is None else map(_storable, astuple(vehicle.link_problem))
    )
    return (*(values.get(name, getattr(vehicle, name)) for name in _FIELDS), *lock, *problem, search_text)
