"""The ECUs that scans found."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from command_service.domain.vehicle import Ecu
from command_service.storage.session import InsertRows, Session, columns_of, identifiers, storable
from command_service.storage.tables import scanned_ecus
from service_kit.database import any_of

_columns = columns_of(scanned_ecus, ["vehicle_id", "address", "name", "facts", "seen_at"])
_keep = InsertRows(scanned_ecus, _columns, replace_stored=True)
_of_vehicles = select(*_columns).where(any_of(scanned_ecus.c.vehicle_id, "ids"))


class SqlScannedEcuRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def of_vehicles(self, vehicle_ids: Collection[str]) -> dict[str, list[Ecu]]:
        ids, found = identifiers(vehicle_ids), defaultdict[str, list[Ecu]](list)
        rows = await self._session.rows(_of_vehicles, {"ids": ids}) if ids else ()
        for vehicle_id, address, name, facts, seen_at in rows:
            found[vehicle_id].append(Ecu(address, name, json.loads(facts), seen_at))
        return dict(found)

    async def keep(self, found: Mapping[str, Sequence[Ecu]]) -> None:
        ecus = {(vehicle_id, ecu.address): ecu for vehicle_id, each in found.items() for ecu in each}
        # In key order, so that two never wait for each other.
        await _keep(self._session, [(*key, *_stored(ecu)) for key, ecu in sorted(ecus.items())])


def _stored(ecu: Ecu) -> tuple[str, str, object]:
    return storable(ecu.name), storable(json.dumps(dict(ecu.facts), ensure_ascii=False)), ecu.seen_at
