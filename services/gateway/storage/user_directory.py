"""The users as an administrator sees and changes them. What takes rights away ends the user's sessions with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.storage.repositories import User, user_columns, user_of
from gateway.storage.tables import login_sessions, users
from gateway.storage.transactions import end_sessions, put_in_outbox, transaction
from gateway.tokens import Role
from sovd_protos.audit.v1 import audit_pb2

_columns = (*user_columns, users.c.created_at, users.c.last_login_at)

# What is told of a change: the user as it is then, and which fields differ.
TellOfChange = Callable[[User, Mapping[str, Any]], audit_pb2.AuditEntry]


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    created_at: datetime
    last_login_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """`search`: part of username, e-mail address or full name, any case. None: any."""

    search: str = ""
    role: Role | None = None
    is_active: bool | None = None


class Changed(NamedTuple):
    account: Account
    ended_sids: list[str]


class NoLongerAdmin(Exception):
    """Who asked for the change was an administrator until just now."""


class UserDirectory:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, filter_: AccountFilter, limit: int, after: str) -> list[Account]:
        """By username, after that one."""
        query = select(*_columns).where(*_conditions(filter_), users.c.username > after)
        async with transaction(self._engine) as connection:
            return [_account(row) for row in await connection.execute(query.order_by(users.c.username).limit(limit))]

    async def get(self, user_id: str) -> Account | None:
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(*_columns).where(users.c.user_id == user_id))).one_or_none()
        return None if row is None else _account(row)

    async def change(
        self, admin_id: str, user_id: str, wanted: Mapping[str, Any], now: datetime, tell: TellOfChange
    ) -> Changed | None:
        """None: no such user. Raises NoLongerAdmin: of two who take each other's rights away, one comes first."""
        async with transaction(self._engine) as connection:
            account = await _lock(connection, admin_id, user_id)
            if account is None:
                return None
            differing = {name: value for name, value in wanted.items() if getattr(account.user, name) != value}
            if not differing:
                return Changed(account, [])
            user = replace(account.user, **differing)
            await _update(connection, user_id, differing, now)
            ends = "role" in differing or not user.is_active
            ended = await _end_all_sessions(connection, user_id, "account_changed", now) if ends else []
            await put_in_outbox(connection, [tell(user, differing)])
        return Changed(replace(account, user=user), ended)

    async def reset_password(
        self, admin_id: str, user_id: str, password_hash: str, now: datetime, tell: TellOfChange
    ) -> Changed | None:
        """As `change`."""
        async with transaction(self._engine) as connection:
            account = await _lock(connection, admin_id, user_id)
            if account is None:
                return None
            await _update(connection, user_id, {"password_hash": password_hash}, now)
            ended = await _end_all_sessions(connection, user_id, "password_reset", now)
            await put_in_outbox(connection, [tell(account.user, {})])
        return Changed(account, ended)


async def _lock(connection: AsyncConnection, admin_id: str, user_id: str) -> Account | None:
    # In key order, so that two never wait for each other.
    query = select(*_columns).where(users.c.user_id.in_({admin_id, user_id})).order_by(users.c.user_id)
    found = {row.user_id: _account(row) for row in await connection.execute(query.with_for_update())}
    admin = found.get(admin_id)
    if admin is None or admin.user.role != "admin" or not admin.user.is_active:
        raise NoLongerAdmin
    return found.get(user_id)


async def _update(connection: AsyncConnection, user_id: str, values: Mapping[str, Any], now: datetime) -> None:
    await connection.execute(update(users).where(users.c.user_id == user_id).values(**values, updated_at=now))


async def _end_all_sessions(connection: AsyncConnection, user_id: str, reason: str, now: datetime) -> list[str]:
    return await end_sessions(connection, login_sessions.c.user_id == user_id, reason, now)


def _conditions(filter_: AccountFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if filter_.search:
        texts = (users.c.username, users.c.email, users.c.full_name)
        # As typed, too: SQLite folds ASCII only.
        conditions.append(or_(*(_contains(text, filter_.search) for text in texts)))
    if filter_.role is not None:
        conditions.append(users.c.role == filter_.role)
    if filter_.is_active is not None:
        conditions.append(users.c.is_active.is_(filter_.is_active))
    return conditions


def _contains(text: ColumnElement[str], search: str) -> ColumnElement[bool]:
    folded = func.lower(text).contains(search.lower(), autoescape=True)
    return or_(folded, text.contains(search, autoescape=True))


def _account(row: Any) -> Account:
    return Account(user_of(row), row.created_at, row.last_login_at)
