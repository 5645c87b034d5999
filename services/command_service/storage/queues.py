"""The open commands of vehicles, as far as the lanes need to know them."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Boolean, Text, and_, bindparam, column, func, literal, select

from command_service.domain.command import Status
from command_service.domain.lanes import QueueEntry
from command_service.domain.vehicle import Vehicle
from command_service.storage.command_filters import is_open
from command_service.storage.session import Session, columns_of, identifiers, version_of
from command_service.storage.tables import SCHEMA, commands, vehicles
from command_service.storage.vehicles import exists, vehicle_columns, vehicle_of
from command_service.use_cases.ports import Queues
from service_kit.database import ListOf, UuidText, any_of, db_now

_FIELDS = [field.name for field in fields(QueueEntry)]
_COMMAND_ID, _STATUS = _FIELDS.index("command_id"), _FIELDS.index("status")
_STATUSES = {status.value: status for status in Status}

_columns = columns_of(commands, _FIELDS)
_open = select(*_columns).where(any_of(commands.c.vehicle_id, "ids"), is_open)
_together = vehicles.outerjoin(commands, and_(commands.c.vehicle_id == vehicles.c.vehicle_id, is_open))
_with_vehicles = (
    select(db_now().label("now"), *_columns, *vehicle_columns)
    .select_from(_together)
    .where(any_of(vehicles.c.vehicle_id, "ids"), exists)
)
# What the migration 0009 makes. In a FROM it runs once, before the first row.
queues_as_read = (
    getattr(func, SCHEMA)
    .require_queues_as_read(
        bindparam("read_vehicle_ids", type_=ListOf(UuidText())),
        bindparam("read_versions", type_=ListOf(Text())),
        bindparam("read_waiting", type_=ListOf(UuidText())),
        bindparam("read_active", type_=ListOf(UuidText())),
    )
    .table_valued(column("as_read", Boolean()), name="queues")
)
_with_versions = _with_vehicles.add_columns(version_of(vehicles).label("version"))
_without_versions = _with_vehicles.add_columns(literal("", Text()).label("version"))


class SqlQueueRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def open_of_vehicles(self, vehicle_ids: Collection[str]) -> list[QueueEntry]:
        ids = identifiers(vehicle_ids)
        return [_entry(row) for row in await self._session.rows(_open, {"ids": ids})] if ids else []

    async def with_vehicles(self, vehicle_ids: Collection[str]) -> tuple[dict[str, Vehicle], Queues]:
        found: dict[str, Vehicle] = {}
        queues: Queues = {}
        versions: dict[str, str] = {}
        query = _without_versions if self._session.sqlite else _with_versions
        ids = identifiers(vehicle_ids)
        rows = await self._session.rows(query, {"ids": ids}) if ids else ()
        for clock, *values, version in rows:
            vehicle_id = values[len(_FIELDS)]
            if vehicle_id not in found:
                found[vehicle_id], queues[vehicle_id] = vehicle_of(values[len(_FIELDS) :]), []
                versions[vehicle_id] = version
            if values[_COMMAND_ID] is not None:
                queues[vehicle_id].append(_entry(values[: len(_FIELDS)]))
            self._session.saw_clock(clock)
        open_ = [entry for queue in queues.values() for entry in queue]
        self._session.as_read = {
            "read_vehicle_ids": list(versions),
            "read_versions": list(versions.values()),
            "read_waiting": [entry.command_id for entry in open_ if entry.status is Status.PENDING],
            "read_active": [entry.command_id for entry in open_ if entry.status is not Status.PENDING],
        }
        return found, queues


def _entry(row: Sequence[Any]) -> QueueEntry:
    values = list(row)
    values[_STATUS] = _STATUSES[values[_STATUS]]
    return QueueEntry(*values)
