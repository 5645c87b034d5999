"""What the gateway reads and writes, each method one transaction. A database that is away raises Unavailable."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, CursorResult, delete, exists, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.storage.tables import audit_outbox, login_sessions, refresh_tokens, users, ws_tickets
from gateway.storage.transactions import end_sessions, put_in_outbox, transaction
from gateway.tokens import CurrentUser, Role
from service_kit.database import any_of
from sovd_protos.audit.v1 import audit_pb2

# An ended session is kept for a while: its refresh tokens still give a thief away.
KEEP_ENDED = timedelta(days=7)

Tell = Callable[[CurrentUser], audit_pb2.AuditEntry]


@dataclass(frozen=True, slots=True)
class User:
    user_id: str
    username: str
    email: str
    full_name: str
    role: Role
    is_active: bool


@dataclass(frozen=True, slots=True)
class StoredUser:
    user: User
    password_hash: str


class LoginSession(NamedTuple):
    """A session about to be opened, with the hash of its first refresh token."""

    sid: str
    refresh_hash: str
    expires_at: datetime
    remote_address: str
    user_agent: str | None = None


class Reuse(NamedTuple):
    """A refresh token was shown again: the whole session of this user has been ended."""

    user: CurrentUser


def user_of(row: Any) -> User:
    return User(row.user_id, row.username, row.email, row.full_name, row.role, row.is_active)


def _current_user(row: Any) -> CurrentUser:
    return CurrentUser(row.user_id, row.username, row.role, row.sid)


def _live(now: datetime) -> ColumnElement[bool]:
    return login_sessions.c.ended_at.is_(None) & (login_sessions.c.expires_at > now) & users.c.is_active.is_(True)


user_columns = tuple(users.c[name] for name in User.__slots__)
_session_and_user = login_sessions.join(users)
_identity = (login_sessions.c.sid, users.c.user_id, users.c.username, users.c.role)


class Users:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, username: str) -> StoredUser | None:
        query = select(*user_columns, users.c.password_hash).where(users.c.username == username)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoredUser(user_of(row), row.password_hash)

    async def get(self, user_id: str) -> User | None:
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(*user_columns).where(users.c.user_id == user_id))).one_or_none()
        return None if row is None else user_of(row)

    async def any_exist(self) -> bool:
        async with transaction(self._engine) as connection:
            return bool(await connection.scalar(select(exists().select_from(users))))

    async def create(self, user: User, password_hash: str, now: datetime, audit: audit_pb2.AuditEntry) -> bool:
        """False when the name is taken."""
        values = {name: getattr(user, name) for name in User.__slots__}
        values |= {"password_hash": password_hash, "created_at": now, "updated_at": now}
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(users).values(values))
                await put_in_outbox(connection, [audit])
        except IntegrityError:
            return False
        return True

    async def renew_password_hash(self, verified: StoredUser, password_hash: str, now: datetime) -> None:
        """Another hash of the same password: not when it is no longer the one that was verified."""
        same = (users.c.user_id == verified.user.user_id) & (users.c.password_hash == verified.password_hash)
        async with transaction(self._engine) as connection:
            await connection.execute(update(users).where(same).values(password_hash=password_hash, updated_at=now))


class LoginSessions:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(
        self, session: LoginSession, verified: StoredUser, now: datetime, audit: audit_pb2.AuditEntry
    ) -> bool:
        """False when the user is no longer as verified: another password or role, or deactivated."""
        row = {
            "sid": session.sid,
            "user_id": verified.user.user_id,
            "created_at": now,
            "expires_at": session.expires_at,
            "remote_address": session.remote_address,
            "user_agent": session.user_agent,
        }
        async with transaction(self._engine) as connection:
            if not await _note_login(connection, verified, now):
                return False
            await connection.execute(insert(login_sessions).values(row))
            await _add_refresh_token(connection, session.sid, session.refresh_hash, now, session.expires_at)
            await put_in_outbox(connection, [audit])
        return True

    async def rotate(
        self, old_hash: str, new_hash: str, now: datetime, expires_at: datetime, tell_of_reuse: Tell
    ) -> CurrentUser | Reuse | None:
        """Swaps a refresh token for the next. Of several who show the same one exactly one gets it; the others end
        the session. None: no such token, or its session is over already.
        """
        async with transaction(self._engine) as connection:
            sid = await connection.scalar(
                update(refresh_tokens)
                .where(refresh_tokens.c.token_hash == old_hash)
                .where(refresh_tokens.c.used_at.is_(None) & (refresh_tokens.c.expires_at > now))
                .values(used_at=now)
                .returning(refresh_tokens.c.sid)
            )
            if sid is None:
                return await _end_for_reuse(connection, old_hash, now, tell_of_reuse)
            query = select(*_identity).select_from(_session_and_user).where(login_sessions.c.sid == sid)
            row = (await connection.execute(query.where(_live(now)))).one_or_none()
            if row is None:
                return None
            await _add_refresh_token(connection, sid, new_hash, now, expires_at)
            await connection.execute(
                update(login_sessions).where(login_sessions.c.sid == sid).values(expires_at=expires_at)
            )
            return _current_user(row)

    async def end(self, sid: str, reason: str, now: datetime, audit: audit_pb2.AuditEntry) -> None:
        async with transaction(self._engine) as connection:
            if await end_sessions(connection, login_sessions.c.sid == sid, reason, now):
                await put_in_outbox(connection, [audit])

    async def find_by_refresh_token(self, token_hash: str) -> CurrentUser | None:
        """Whose token it is or was, as long as it is remembered."""
        async with transaction(self._engine) as connection:
            return await _owner(connection, refresh_tokens.c.token_hash == token_hash)

    async def find_live(self, sids: Collection[str], now: datetime) -> set[str]:
        query = select(login_sessions.c.sid).select_from(_session_and_user).where(_live(now))
        async with transaction(self._engine) as connection:
            found = await connection.scalars(query.where(any_of(login_sessions.c.sid, "sids")), {"sids": list(sids)})
            return set(found)

    async def add_ticket(self, ticket_hash: str, sid: str, expires_at: datetime) -> None:
        row = {"ticket_hash": ticket_hash, "sid": sid, "expires_at": expires_at}
        async with transaction(self._engine) as connection:
            await connection.execute(insert(ws_tickets).values(row))

    async def redeem_ticket(self, ticket_hash: str, now: datetime) -> CurrentUser | None:
        """Deletes the ticket: whoever comes second finds none."""
        taken = delete(ws_tickets).where(ws_tickets.c.ticket_hash == ticket_hash)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(taken.returning(ws_tickets.c.sid, ws_tickets.c.expires_at))).one_or_none()
            if row is None or row.expires_at <= now:
                return None
            query = select(*_identity).select_from(_session_and_user).where(login_sessions.c.sid == row.sid)
            found = (await connection.execute(query.where(_live(now)))).one_or_none()
        return None if found is None else _current_user(found)

    async def forget_old(self, now: datetime) -> None:
        """Drops what nobody can use any more; a session takes its tokens along."""
        over = (login_sessions.c.expires_at < now - KEEP_ENDED) | (login_sessions.c.ended_at < now - KEEP_ENDED)
        async with transaction(self._engine) as connection:
            await connection.execute(delete(ws_tickets).where(ws_tickets.c.expires_at < now))
            await connection.execute(delete(login_sessions).where(over))


class AuditOutbox:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, entries: Sequence[audit_pb2.AuditEntry]) -> None:
        async with transaction(self._engine) as connection:
            await put_in_outbox(connection, entries)

    async def oldest(self, limit: int) -> list[audit_pb2.AuditEntry]:
        query = select(audit_outbox.c.entry).order_by(audit_outbox.c.entry_id).limit(limit)
        async with transaction(self._engine) as connection:
            return [audit_pb2.AuditEntry.FromString(entry) for entry in await connection.scalars(query)]

    async def remove(self, entry_ids: Sequence[str]) -> None:
        gone = delete(audit_outbox).where(any_of(audit_outbox.c.entry_id, "entry_ids"))
        async with transaction(self._engine) as connection:
            await connection.execute(gone, {"entry_ids": list(entry_ids)})


async def ping(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT 1"))


async def _note_login(connection: AsyncConnection, verified: StoredUser, now: datetime) -> bool:
    unchanged = (
        users.c.is_active.is_(True)
        & (users.c.role == verified.user.role)
        & (users.c.password_hash == verified.password_hash)
    )
    change = update(users).where((users.c.user_id == verified.user.user_id) & unchanged).values(last_login_at=now)
    return cast("CursorResult[Any]", await connection.execute(change)).rowcount > 0


async def _add_refresh_token(
    connection: AsyncConnection, sid: str, token_hash: str, now: datetime, expires_at: datetime
) -> None:
    row = {"token_hash": token_hash, "sid": sid, "issued_at": now, "expires_at": expires_at}
    await connection.execute(insert(refresh_tokens).values(row))


async def _owner(connection: AsyncConnection, condition: ColumnElement[bool]) -> CurrentUser | None:
    query = select(*_identity).select_from(refresh_tokens.join(_session_and_user)).where(condition)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _current_user(row)


async def _end_for_reuse(connection: AsyncConnection, token_hash: str, now: datetime, tell: Tell) -> Reuse | None:
    used = (refresh_tokens.c.token_hash == token_hash) & refresh_tokens.c.used_at.is_not(None)
    user = await _owner(connection, used)
    if user is None:
        return None
    if not await end_sessions(connection, login_sessions.c.sid == user.sid, "refresh_token_reuse", now):
        return None
    await put_in_outbox(connection, [tell(user)])
    return Reuse(user)
