"""What users see and change of their own: their login sessions and their password."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.storage.repositories import StoredUser
from gateway.storage.tables import login_sessions, refresh_tokens, users
from gateway.storage.transactions import end_sessions, put_in_outbox, transaction
from sovd_protos.audit.v1 import audit_pb2

_last_used_at = (
    select(func.max(refresh_tokens.c.issued_at)).where(refresh_tokens.c.sid == login_sessions.c.sid).scalar_subquery()
)
_columns = (
    login_sessions.c.sid,
    login_sessions.c.created_at,
    _last_used_at.label("last_used_at"),
    login_sessions.c.expires_at,
    login_sessions.c.user_agent,
    login_sessions.c.remote_address,
)
_newest_first = (login_sessions.c.created_at.desc(), login_sessions.c.sid.desc())


@dataclass(frozen=True, slots=True)
class OpenSession:
    """`last_used_at`: when it last got tokens."""

    sid: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    remote_address: str


class Place(NamedTuple):
    """In the list, newest first."""

    created_at: datetime
    sid: str


class OwnSessions:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, user_id: str, now: datetime, limit: int, after: Place | None) -> list[OpenSession]:
        """Those that are live, newest first, after that place."""
        query = select(*_columns).where(_live_of(user_id), login_sessions.c.expires_at > now)
        if after is not None:
            key = tuple_(login_sessions.c.created_at, login_sessions.c.sid)
            query = query.where(key < tuple_(*after, types=[one.type for one in key.clauses]))
        async with transaction(self._engine) as connection:
            return [_session(row) for row in await connection.execute(query.order_by(*_newest_first).limit(limit))]

    async def end(self, user_id: str, sid: str, now: datetime, audit: audit_pb2.AuditEntry) -> bool:
        """False when the user has no such session, or it is over."""
        async with transaction(self._engine) as connection:
            ended = await end_sessions(connection, _live_of(user_id) & (login_sessions.c.sid == sid), "ended", now)
            if ended:
                await put_in_outbox(connection, [audit])
        return bool(ended)

    async def change_password(
        self, verified: StoredUser, password_hash: str, kept_sid: str, now: datetime, audit: audit_pb2.AuditEntry
    ) -> Sequence[str] | None:
        """The sessions that ended: all but the one. None when the password is no longer the one that was verified."""
        user_id = verified.user.user_id
        same = (users.c.user_id == user_id) & (users.c.password_hash == verified.password_hash)
        change = update(users).where(same).values(password_hash=password_hash, updated_at=now)
        async with transaction(self._engine) as connection:
            if (await connection.execute(change.returning(users.c.user_id))).one_or_none() is None:
                return None
            others = _live_of(user_id) & (login_sessions.c.sid != kept_sid)
            ended = await end_sessions(connection, others, "password_changed", now)
            await put_in_outbox(connection, [audit])
        return ended


def _live_of(user_id: str) -> ColumnElement[bool]:
    return (login_sessions.c.user_id == user_id) & login_sessions.c.ended_at.is_(None)


def _session(row: Any) -> OpenSession:
    return OpenSession(*row)
