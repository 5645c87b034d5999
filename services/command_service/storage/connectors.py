"""Connectors and their leases, which the database's clock measures."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Column, Float, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from command_service.storage.session import GivenRows, Session, as_row, columns_of, given
from command_service.storage.tables import connectors
from command_service.use_cases.ports import ConnectorLease
from service_kit.database import any_of, db_now

_renewed = db_now(bindparam("lease_seconds", type_=Float()))


def _upsert(dialect_insert: Any) -> Any:
    insert = dialect_insert(connectors).values(
        connector_id=bindparam("connector_id"), address=bindparam("address"), lease_until=_renewed, draining=False
    )
    replaced = {"address": insert.excluded.address, "lease_until": insert.excluded.lease_until}
    return insert.on_conflict_do_update(index_elements=[connectors.c.connector_id], set_=replaced)


_register_postgresql = _upsert(postgresql.insert)
_register_sqlite = _upsert(sqlite.insert)

_renewal_columns: list[Column[Any]] = [connectors.c.connector_id, connectors.c.draining]
_given_renewals = GivenRows(_renewal_columns)
_renewals = _given_renewals.table
_renew_all = (
    update(connectors)
    .where(connectors.c.connector_id == _renewals.c.connector_id)
    .values(lease_until=_renewed, draining=_renewals.c.draining)
    .returning(connectors.c.connector_id)
)
_renew_one = (
    update(connectors)
    .where(connectors.c.connector_id == given(connectors.c.connector_id))
    .values(lease_until=_renewed, draining=given(connectors.c.draining))
    .returning(connectors.c.connector_id)
)
_is_lapsed = connectors.c.lease_until < db_now(bindparam("age", type_=Float()))
_lapsed = select(connectors.c.connector_id).where(_is_lapsed)
_remove_lapsed = delete(connectors).where(connectors.c.connector_id == bindparam("connector_id"), _is_lapsed)
_get = select(*columns_of(connectors, [field.name for field in fields(ConnectorLease)])).where(
    any_of(connectors.c.connector_id, "ids")
)


class SqlConnectorRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def register(self, connector_id: str, address: str, lease_seconds: float) -> None:
        statement = _register_sqlite if self._session.sqlite else _register_postgresql
        parameters = {"connector_id": connector_id, "address": address, "lease_seconds": lease_seconds}
        await self._session.execute(statement, parameters)

    async def renew(self, renewals: Sequence[tuple[str, bool]], lease_seconds: float) -> set[str]:
        lease = {"lease_seconds": lease_seconds}
        # The last word of each connector, in key order, so that two never wait for each other.
        rows = sorted(dict(renewals).items())
        if not rows:
            return set()
        if not self._session.sqlite:
            return set(await self._session.column(_renew_all, _given_renewals.parameters(rows) | lease))
        known: set[str] = set()
        for row in rows:
            known.update(await self._session.column(_renew_one, as_row(_renewal_columns, row) | lease))
        return known

    async def lapsed(self, grace_seconds: float) -> list[str]:
        return await self._session.column(_lapsed, {"age": -grace_seconds})

    async def remove_lapsed(self, connector_id: str, grace_seconds: float) -> bool:
        parameters = {"connector_id": connector_id, "age": -grace_seconds}
        return bool((await self._session.execute(_remove_lapsed, parameters)).rowcount)

    async def get(self, connector_ids: Collection[str]) -> dict[str, ConnectorLease]:
        if not connector_ids:
            return {}
        found = await self._session.rows(_get, {"ids": list(connector_ids)})
        return {row[0]: ConnectorLease(*row) for row in found}
