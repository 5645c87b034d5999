"""The audit trail: entries, stored with the change they tell of, and their chain, made by one sealer."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, bindparam, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from command_service.domain.audit import AuditEntry
from command_service.storage.session import (
    DeleteRows,
    GivenRows,
    InsertRows,
    Session,
    as_row,
    at_most,
    columns_of,
    given,
    is_identifier,
    is_value,
    storable,
)
from command_service.storage.tables import audit_chain, audit_entries, audit_seals, audit_unsealed
from command_service.use_cases.ports import AuditFilter
from service_kit.database import any_of

_PAGE_OF_CHAIN = 1000

_RECORDED = [field.name for field in fields(AuditEntry) if field.name not in ("chain_number", "hash")]
_DETAILS = _RECORDED.index("details")
_entry_columns = columns_of(audit_entries, _RECORDED)
_seal_columns = columns_of(audit_seals, ["entry_id", "chain_number", "hash"])
_queue_columns = columns_of(audit_unsealed, ["at", "entry_id"])

# What is stored goes to the sealer's queue with it; what was stored before does not go there again.
_given_entries = GivenRows(_entry_columns)
_stored = (
    postgresql.insert(audit_entries)
    .from_select(_RECORDED, select(_given_entries.table))
    .on_conflict_do_nothing()
    .returning(audit_entries.c.at, audit_entries.c.entry_id)
    .cte("stored")
)
_append_at_once = insert(audit_unsealed).from_select(["at", "entry_id"], select(_stored))
_append_rows = InsertRows(audit_entries, _entry_columns, ignore_stored=True)
_queue_rows = (
    sqlite.insert(audit_unsealed)
    .from_select(
        ["at", "entry_id"],
        select(audit_entries.c.at, audit_entries.c.entry_id)
        .outerjoin(audit_seals, audit_seals.c.entry_id == audit_entries.c.entry_id)
        .where(audit_entries.c.entry_id == given(audit_entries.c.entry_id), audit_seals.c.entry_id.is_(None)),
    )
    .on_conflict_do_nothing()
)

_chain_end = select(audit_chain.c.last_number, audit_chain.c.last_hash)
_lock_chain = _chain_end.with_for_update()
_move_chain_end = update(audit_chain).values(
    last_number=bindparam("number", type_=BigInteger()), last_hash=bindparam("last")
)
_unsealed_ids = (
    select(audit_unsealed.c.entry_id)
    .order_by(audit_unsealed.c.at, audit_unsealed.c.entry_id)
    .limit(bindparam("limit", type_=Integer()))
)
_unsealed = (
    select(*_entry_columns)
    .where(any_of(audit_entries.c.entry_id, "ids"))
    .order_by(audit_entries.c.at, audit_entries.c.entry_id)
)
_count_unsealed = select(func.count()).select_from(audit_unsealed)
_store_seals = InsertRows(audit_seals, _seal_columns)
_leave_queue = DeleteRows(audit_unsealed, _queue_columns)
_page_of_chain = (
    select(*_seal_columns)
    .where(audit_seals.c.chain_number > bindparam("after", type_=BigInteger()))
    .order_by(audit_seals.c.chain_number)
    .limit(at_most(_PAGE_OF_CHAIN))
    .subquery("seals")
)
_sealed = (
    select(*_entry_columns, _page_of_chain.c.chain_number, _page_of_chain.c.hash)
    .join(_page_of_chain, _page_of_chain.c.entry_id == audit_entries.c.entry_id)
    .order_by(_page_of_chain.c.chain_number)
)
_newest_first = (audit_entries.c.at.desc(), audit_entries.c.entry_id.desc())


class SqlAuditRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        # In key order, so that two that record the same entries never wait for each other.
        by_id = {entry.entry_id: _recorded_values(entry) for entry in entries}
        rows = [by_id[entry_id] for entry_id in sorted(by_id)]
        if not rows:
            return
        if self._session.sqlite:
            await _append_rows(self._session, rows)
            await self._session.execute(_queue_rows, [as_row(_entry_columns[:1], row[:1]) for row in rows])
        else:
            await self._session.write(_append_at_once, _given_entries.parameters(rows))

    async def page(self, filter_: AuditFilter, limit: int, before: tuple[datetime, str] | None) -> list[AuditEntry]:
        query = (
            select(*_entry_columns).where(*_conditions(filter_, before)).order_by(*_newest_first).limit(at_most(limit))
        )
        page = query.subquery("page")
        with_seals = (
            select(*page.c, audit_seals.c.chain_number, audit_seals.c.hash)
            .outerjoin_from(page, audit_seals, audit_seals.c.entry_id == page.c.entry_id)
            .order_by(page.c.at.desc(), page.c.entry_id.desc())
        )
        return [_entry(row) for row in await self._session.rows(with_seals)]

    async def lock_chain(self) -> tuple[int, str]:
        ((number, last_hash),) = await self._session.rows(_lock_chain)
        return number, last_hash

    async def unsealed(self, limit: int) -> list[AuditEntry]:
        ids = await self._session.column(_unsealed_ids, {"limit": limit})
        return [_entry((*row, 0, "")) for row in await self._session.rows(_unsealed, {"ids": ids})] if ids else []

    async def store_seals(self, sealed: Sequence[AuditEntry]) -> None:
        if not sealed:
            return
        await _store_seals(self._session, [(entry.entry_id, entry.chain_number, entry.hash) for entry in sealed])
        await _leave_queue(self._session, [(entry.at, entry.entry_id) for entry in sealed])
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
    # Neither number nor hash until it is sealed.
    values = [*row[:-2], row[-2] or 0, row[-1] or ""]
    values[_DETAILS] = json.loads(values[_DETAILS])
    return AuditEntry(*values)


def _conditions(filter_: AuditFilter, before: tuple[datetime, str] | None) -> Iterator[ColumnElement[bool]]:
    for name in ("action", "actor_id", "subject_id"):
        if value := getattr(filter_, name):
            yield is_value(audit_entries.c[name], value)
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
