"""The audit trail: entries, stored with the change they tell of, and their chain, made by one sealer."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, bindparam, func, literal, select, tuple_, update

from command_service.domain.audit import AuditEntry
from command_service.storage.session import InsertRows, Session, UpdateRows, columns_of, is_identifier, storable
from command_service.storage.tables import audit_chain, audit_entries
from command_service.use_cases.ports import AuditFilter

_PAGE_OF_CHAIN = 1000

_FIELDS = [field.name for field in fields(AuditEntry)]
_DETAILS, _CHAIN_NUMBER, _HASH = (_FIELDS.index(name) for name in ("details", "chain_number", "hash"))
_columns = columns_of(audit_entries, _FIELDS)
_recorded = [name for name in _FIELDS if name not in ("chain_number", "hash")]
_append = InsertRows(audit_entries, columns_of(audit_entries, _recorded), ignore_stored=True)
_seal = UpdateRows(audit_entries, columns_of(audit_entries, ["entry_id", "chain_number", "hash"]))

_chain_end = select(audit_chain.c.last_number, audit_chain.c.last_hash)
_lock_chain = _chain_end.with_for_update()
_move_chain_end = update(audit_chain).values(
    last_number=bindparam("number", type_=BigInteger()), last_hash=bindparam("last")
)
_is_unsealed = audit_entries.c.chain_number.is_(None)
_unsealed = (
    select(*_columns)
    .where(_is_unsealed)
    .order_by(audit_entries.c.at, audit_entries.c.entry_id)
    .limit(bindparam("limit", type_=Integer()))
)
_count_unsealed = select(func.count()).select_from(audit_entries).where(_is_unsealed)
_sealed = (
    select(*_columns)
    .where(
        audit_entries.c.chain_number.is_not(None),
        audit_entries.c.chain_number > bindparam("after", type_=BigInteger()),
    )
    .order_by(audit_entries.c.chain_number)
    .limit(_PAGE_OF_CHAIN)
)
_newest_first = (audit_entries.c.at.desc(), audit_entries.c.entry_id.desc())


class SqlAuditRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        # In key order, so that two that record the same entries never wait for each other.
        rows = {entry.entry_id: _recorded_values(entry) for entry in entries}
        await _append(self._session, [rows[entry_id] for entry_id in sorted(rows)])

    async def page(self, filter_: AuditFilter, limit: int, before: tuple[datetime, str] | None) -> list[AuditEntry]:
        query = select(*_columns).where(*_conditions(filter_, before)).order_by(*_newest_first).limit(limit)
        return [_entry(row) for row in await self._session.rows(query)]

    async def lock_chain(self) -> tuple[int, str]:
        ((number, last_hash),) = await self._session.rows(_lock_chain)
        return number, last_hash

    async def unsealed(self, limit: int) -> list[AuditEntry]:
        return [_entry(row) for row in await self._session.rows(_unsealed, {"limit": limit})]

    async def store_seals(self, sealed: Sequence[AuditEntry]) -> None:
        if not sealed:
            return
        await _seal(self._session, [(entry.entry_id, entry.chain_number, entry.hash) for entry in sealed])
        await self._session.execute(_move_chain_end, {"number": sealed[-1].chain_number, "last": sealed[-1].hash})

    async def count_unsealed(self) -> int:
        (count,) = await self._session.column(_count_unsealed)
        return int(count)

    async def chain_end(self) -> tuple[int, str]:
        ((number, last_hash),) = await self._session.rows(_chain_end)
        return number, last_hash

    async def sealed(self) -> AsyncIterator[Sequence[AuditEntry]]:
        after = 0
        while page := [_entry(row) for row in await self._session.rows(_sealed, {"after": after})]:
            yield page
            after = page[-1].chain_number


def _recorded_values(entry: AuditEntry) -> tuple[Any, ...]:
    return (
        entry.entry_id,
        entry.at,
        storable(entry.action),
        storable(entry.actor_id),
        storable(entry.actor_name),
        storable(entry.subject_kind),
        storable(entry.subject_id),
        storable(entry.outcome),
        json.dumps(entry.details, ensure_ascii=False, separators=(",", ":")),
        storable(entry.remote_address),
    )


def _entry(row: Sequence[Any]) -> AuditEntry:
    values = list(row)
    values[_DETAILS] = json.loads(values[_DETAILS])
    # Null until sealed.
    values[_CHAIN_NUMBER] = values[_CHAIN_NUMBER] or 0
    values[_HASH] = values[_HASH] or ""
    return AuditEntry(*values)


def _conditions(filter_: AuditFilter, before: tuple[datetime, str] | None) -> Iterator[ColumnElement[bool]]:
    for name in ("action", "actor_id", "subject_id"):
        if value := getattr(filter_, name):
            yield audit_entries.c[name] == storable(value)
    if filter_.from_:
        yield audit_entries.c.at >= filter_.from_
    if filter_.to:
        yield audit_entries.c.at < filter_.to
    if before:
        yield _older(*before)


def _older(at: datetime, entry_id: str) -> ColumnElement[bool]:
    # A cursor comes from outside; where it names no identifier, all of that moment is still to come.
    if not is_identifier(entry_id):
        return audit_entries.c.at <= at
    key = tuple_(literal(at, audit_entries.c.at.type), literal(entry_id, audit_entries.c.entry_id.type))
    return tuple_(audit_entries.c.at, audit_entries.c.entry_id) < key
