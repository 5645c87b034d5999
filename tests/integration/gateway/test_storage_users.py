"""The users in storage as administrators see and change them; on both databases."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.storage import MIGRATIONS, migrate
from gateway.storage.own_sessions import OpenSession, OwnSessions, Place
from gateway.storage.repositories import LoginSession, LoginSessions, StoredUser, User, Users
from gateway.storage.tables import SCHEMA, login_sessions
from gateway.storage.user_directory import Account, AccountFilter, Changed, NoLongerAdmin, UserDirectory
from service_kit.database import downgrade, open_engine, upgrade
from tests.integration.gateway.test_storage import (
    LATER,
    NOW,
    create_user,
    database_url,
    engine,
    entry,
    open_session,
    outbox_size,
)

__all__ = ["database_url", "engine"]

TOMORROW = NOW + timedelta(days=1)


def tell(_: User, __: Any) -> Any:
    return entry()


@pytest.fixture
def directory(engine: AsyncEngine) -> UserDirectory:
    return UserDirectory(engine)


async def an_admin(engine: AsyncEngine, username: str = "admin") -> User:
    user = User(str(uuid4()), username, f"{username}@example.com", "Ada Straße", "admin", is_active=True)
    assert await Users(engine).create(user, "hash", NOW, entry())
    return user


async def live_sessions(engine: AsyncEngine) -> int:
    query = select(func.count()).select_from(login_sessions).where(login_sessions.c.ended_at.is_(None))
    async with engine.connect() as connection:
        return int(await connection.scalar(query) or 0)


async def names(directory: UserDirectory, limit: int = 10, after: str = "", **filter_: Any) -> list[str]:
    return [one.user.username for one in await directory.page(AccountFilter(**filter_), limit, after)]


async def test_an_account(engine: AsyncEngine, directory: UserDirectory) -> None:
    user = await create_user(engine, "engineer")
    assert await directory.get(user.user_id) == Account(user, NOW, None)
    assert await directory.get(str(uuid4())) is None
    session = LoginSession(str(uuid4()), "r1", LATER, "192.0.2.1")
    assert await LoginSessions(engine).open(session, StoredUser(user, "hash"), TOMORROW, entry())
    assert await directory.get(user.user_id) == Account(user, NOW, TOMORROW)


async def test_the_list(engine: AsyncEngine, directory: UserDirectory) -> None:
    for name in ("walter", "bea", "o%hara"):
        await create_user(engine, name)
    await an_admin(engine)
    assert await names(directory) == ["admin", "bea", "o%hara", "walter"]
    assert await names(directory, limit=2) == ["admin", "bea"]
    assert await names(directory, after="bea") == ["o%hara", "walter"]
    searches = {
        "WALTER@": ["walter"],
        "straße": ["admin"],
        "Straße": ["admin"],
        "%": ["o%hara"],
        "an engineer": ["bea", "o%hara", "walter"],
        "none": [],
    }
    assert {search: await names(directory, search=search) for search in searches} == searches
    assert await names(directory, role="admin") == ["admin"]
    assert await names(directory, role="viewer") == []
    assert await names(directory, is_active=False) == []
    assert len(await names(directory, is_active=True)) == 4


@pytest.mark.parametrize(
    ("wanted", "sessions_end"),
    [({"role": "viewer"}, True), ({"is_active": False}, True), ({"email": "e@example.com", "full_name": "E"}, False)],
)
async def test_what_takes_rights_away_ends_the_sessions(
    engine: AsyncEngine, directory: UserDirectory, wanted: dict[str, Any], sessions_end: bool
) -> None:
    admin, user = await an_admin(engine), await create_user(engine, "engineer")
    sessions = LoginSessions(engine)
    sids = {await open_session(sessions, user, f"r{number}") for number in range(2)}
    await open_session(sessions, admin, "of the admin")
    before = await outbox_size(engine)
    changed = await directory.change(admin.user_id, user.user_id, wanted, NOW, tell)
    assert changed is not None
    assert changed.account.user == replace(user, **wanted)
    assert set(changed.ended_sids) == (sids if sessions_end else set())
    assert await live_sessions(engine) == (1 if sessions_end else 3)
    assert await directory.get(user.user_id) == changed.account
    assert await outbox_size(engine) == before + 1


async def test_what_changes_nothing(engine: AsyncEngine, directory: UserDirectory) -> None:
    admin, user = await an_admin(engine), await create_user(engine, "engineer")
    await open_session(LoginSessions(engine), user)
    before = await outbox_size(engine)
    for wanted in ({}, {"role": "engineer", "is_active": True}):
        found = await directory.change(admin.user_id, user.user_id, wanted, NOW, tell)
        assert found == Changed(Account(user, NOW, NOW), [])
    assert await directory.change(admin.user_id, str(uuid4()), {"role": "viewer"}, NOW, tell) is None
    assert await directory.reset_password(admin.user_id, str(uuid4()), "hash", NOW, tell) is None
    assert (await outbox_size(engine), await live_sessions(engine)) == (before, 1)


async def test_of_two_admins_who_demote_each_other_one_stays(engine: AsyncEngine, directory: UserDirectory) -> None:
    one, other = await an_admin(engine, "one"), await an_admin(engine, "other")
    outcomes = await asyncio.gather(
        directory.change(one.user_id, other.user_id, {"role": "viewer"}, NOW, tell),
        directory.change(other.user_id, one.user_id, {"is_active": False}, NOW, tell),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Changed", "NoLongerAdmin"]
    assert len(await names(directory, role="admin", is_active=True)) == 1


async def test_only_an_administrator_changes(engine: AsyncEngine, directory: UserDirectory) -> None:
    user = await create_user(engine, "engineer")
    for asking in (user.user_id, str(uuid4())):
        with pytest.raises(NoLongerAdmin):
            await directory.change(asking, user.user_id, {"role": "admin"}, NOW, tell)
        with pytest.raises(NoLongerAdmin):
            await directory.reset_password(asking, user.user_id, "hash", NOW, tell)


async def test_a_password_reset(engine: AsyncEngine, directory: UserDirectory) -> None:
    admin, user = await an_admin(engine), await create_user(engine, "engineer")
    sid = await open_session(LoginSessions(engine), user)
    changed = await directory.reset_password(admin.user_id, user.user_id, "new hash", NOW, tell)
    assert changed == Changed(Account(user, NOW, NOW), [sid])
    assert await Users(engine).find("engineer") == StoredUser(user, "new hash")


async def test_a_log_in_that_a_change_has_overtaken(engine: AsyncEngine, directory: UserDirectory) -> None:
    admin, user = await an_admin(engine), await create_user(engine, "engineer")
    verified = StoredUser(user, "hash")
    session = LoginSession(str(uuid4()), "r1", LATER, "192.0.2.1")
    await directory.change(admin.user_id, user.user_id, {"role": "viewer"}, NOW, tell)
    assert not await LoginSessions(engine).open(session, verified, NOW, entry())
    await directory.change(admin.user_id, user.user_id, {"role": "engineer"}, NOW, tell)
    await directory.reset_password(admin.user_id, user.user_id, "new hash", NOW, tell)
    assert not await LoginSessions(engine).open(session, verified, NOW, entry())
    await directory.change(admin.user_id, user.user_id, {"is_active": False}, NOW, tell)
    assert not await LoginSessions(engine).open(session, StoredUser(user, "new hash"), NOW, entry())
    assert await live_sessions(engine) == 0


async def test_the_last_log_in_is_taken_from_the_sessions_that_are_there(database_url: str, tmp_path: Path) -> None:
    await upgrade(database_url, MIGRATIONS, SCHEMA, "0002")
    engine = open_engine(database_url, SCHEMA)
    user, other = await create_user(engine, "engineer"), await create_user(engine, "other")
    await open_session(LoginSessions(engine), user)
    await downgrade(database_url, MIGRATIONS, SCHEMA, "0001")
    await migrate(database_url)
    directory = UserDirectory(engine)
    assert await directory.get(user.user_id) == Account(user, NOW, NOW)
    assert await directory.get(other.user_id) == Account(other, NOW, None)
    await engine.dispose()


async def test_own_sessions(engine: AsyncEngine) -> None:
    own, user, other = OwnSessions(engine), await create_user(engine, "engineer"), await create_user(engine, "other")
    sessions = LoginSessions(engine)
    sids = [await open_session(sessions, user, f"r{number}") for number in range(3)]
    await open_session(sessions, other, "of somebody else")
    await sessions.rotate("r0", "rotated", TOMORROW, LATER, entry)
    found = await own.page(user.user_id, NOW, 10, None)
    assert [one.sid for one in found] == sorted(sids, reverse=True)  # all opened at the same time
    expected = OpenSession(sids[0], NOW, TOMORROW, LATER, None, "192.0.2.1")
    assert expected in found
    assert await own.page(user.user_id, NOW, 10, Place(NOW, found[0].sid)) == found[1:]
    assert await own.page(user.user_id, NOW, 1, Place(TOMORROW, found[2].sid)) == found[:1]
    assert await own.page(user.user_id, LATER, 10, None) == []
    assert not await own.end(other.user_id, sids[0], NOW, entry())
    assert await own.end(user.user_id, sids[0], NOW, entry())
    assert not await own.end(user.user_id, sids[0], NOW, entry())
    assert len(await own.page(user.user_id, NOW, 10, None)) == 2


async def test_a_password_is_changed_by_who_knows_it(engine: AsyncEngine) -> None:
    own, user = OwnSessions(engine), await create_user(engine, "engineer")
    sids = [await open_session(LoginSessions(engine), user, f"r{number}") for number in range(3)]
    verified = StoredUser(user, "hash")
    ended = await own.change_password(verified, "new hash", sids[0], NOW, entry())
    assert set(ended or ()) == set(sids[1:])
    assert await own.change_password(verified, "another hash", sids[0], NOW, entry()) is None
    assert await Users(engine).find("engineer") == StoredUser(user, "new hash")
    assert [one.sid for one in await own.page(user.user_id, NOW, 10, None)] == sids[:1]
