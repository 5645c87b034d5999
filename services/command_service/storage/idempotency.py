"""Idempotency keys: per user, stored in the transaction that accepts the command, valid for 24 hours."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Float, Integer, bindparam, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from command_service.storage.session import GivenRows, Session, as_row, columns_of, given
from command_service.storage.tables import idempotency_keys as keys
from command_service.use_cases.ports import IdempotencyRecord
from service_kit.database import db_now

_VALID_SECONDS = timedelta(hours=24).total_seconds()

_columns = columns_of(keys, [field.name for field in fields(IdempotencyRecord)])
_values = attrgetter(*(column.name for column in _columns))
_valid_since = db_now(bindparam("age", -_VALID_SECONDS, type_=Float()))
# Whether it is still valid is a result, not a condition: the index of the times is no way to find a key.
_found = select(*_columns, keys.c.created_at > _valid_since)
_pair_columns = columns_of(keys, ["user_id", "key"])
_given_pairs = GivenRows(_pair_columns)
_pairs = _given_pairs.table
_find_all = _found.where(keys.c.user_id == _pairs.c.user_id, keys.c.key == _pairs.c.key)
_find_one = _found.where(*(one == given(one) for one in _pair_columns))


def _taking_over(insert: Any) -> Any:
    """A free key is taken; one that is no longer valid changes hands; any other stays, and is not returned."""
    names = ["request_hash", "command_id", "created_at"]
    return insert.on_conflict_do_update(
        index_elements=[keys.c.user_id, keys.c.key],
        set_={name: insert.excluded[name] for name in names},
        where=keys.c.created_at <= _valid_since,
    ).returning(keys.c.user_id, keys.c.key)


_given_keys = GivenRows(_columns)
_put_all = _taking_over(
    postgresql.insert(keys).from_select([column.name for column in _columns], select(_given_keys.table))
)
_put_one = _taking_over(sqlite.insert(keys).values({column.name: given(column) for column in _columns}))

_old = (
    select(keys.c.user_id, keys.c.key)
    .where(keys.c.created_at <= _valid_since)
    .order_by(keys.c.created_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
)
_delete_old = delete(keys).where(tuple_(keys.c.user_id, keys.c.key).in_(_old))


class SqlIdempotencyRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def find(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], IdempotencyRecord]:
        pairs = sorted(set(wanted))
        if not pairs:
            return {}
        if self._session.sqlite:
            looks = [await self._session.rows(_find_one, as_row(_pair_columns, pair)) for pair in pairs]
        else:
            looks = [await self._session.rows(_find_all, _given_pairs.parameters(pairs))]
        found = (IdempotencyRecord(*values) for rows in looks for *values, valid in rows if valid)
        return {(record.user_id, record.key): record for record in found}

    async def put(self, records: Sequence[IdempotencyRecord]) -> set[tuple[str, str]]:
        # One row per key (the first counts), in key order, so that two transactions never wait for each other.
        by_key = {(record.user_id, record.key): record for record in reversed(records)}
        rows = [_values(by_key[key]) for key in sorted(by_key)]
        if not rows:
            return set()
        if self._session.sqlite:
            stored = [await self._session.rows(_put_one, as_row(_columns, row)) for row in rows]
        elif self._session.optimistic:
            await self._session.write(_put_all, _given_keys.parameters(rows), must_change=len(rows))
            return set(by_key)
        else:
            stored = [await self._session.rows(_put_all, _given_keys.parameters(rows))]
        return {(user_id, key) for rows in stored for user_id, key in rows}

    async def delete_old(self, limit: int) -> int:
        return (await self._session.execute(_delete_old, {"limit": limit})).rowcount
