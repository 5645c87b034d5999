"""The ECUs that scans found."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Text, column, func, literal, literal_column, select, table

from command_service.domain.vehicle import Ecu
from command_service.storage.session import InsertRows, Session, columns_of, identifiers, storable
from command_service.storage.tables import SCHEMA, scanned_ecus
from service_kit.database import any_of
from service_kit.errors import Unavailable

_columns = columns_of(scanned_ecus, ["vehicle_id", "address", "name", "facts", "seen_at"])
_keep = InsertRows(scanned_ecus, _columns, replace_stored=True)
_of_vehicles = select(*_columns).where(any_of(scanned_ecus.c.vehicle_id, "ids"))
_regclass = func.to_regclass(literal_column(f"'{SCHEMA}.{scanned_ecus.name}'", Text()))
_is_there = select(literal(1)).where(_regclass.is_not(None))
_is_there_sqlite = (
    select(literal(1)).select_from(table("sqlite_master")).where(column("name") == literal_column("'scanned_ecus'"))
)


class SqlScannedEcuRepository:
    """Before its migration nothing is kept, and nothing found."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def of_vehicles(self, vehicle_ids: Collection[str]) -> dict[str, list[Ecu]]:
        ids, found = identifiers(vehicle_ids), defaultdict[str, list[Ecu]](list)
        try:
            rows = await self._session.rows(_of_vehicles, {"ids": ids}) if ids else ()
        except Unavailable as error:
            if error.code != "DATABASE_NOT_MIGRATED":
                raise
            return {}
        for vehicle_id, address, name, facts, seen_at in rows:
            found[vehicle_id].append(Ecu(address, name, json.loads(facts), seen_at))
        return dict(found)

    async def keep(self, found: Mapping[str, Sequence[Ecu]]) -> None:
        ecus = {(vehicle_id, ecu.address): ecu for vehicle_id, each in found.items() for ecu in each}
        if not ecus or not await self._session.rows(_is_there_sqlite if self._session.sqlite else _is_there):
            return
        # In key order, so that two never wait for each other.
        await _keep(self._session, [(*key, *_stored(ecu)) for key, ecu in sorted(ecus.items())])


def _stored(ecu: Ecu) -> tuple[str, str, object]:
    return storable(ecu.name), storable(json.dumps(dict(ecu.facts), ensure_ascii=False)), ecu.seen_at
