"""The gateway's repositories and migrations, the same on PostgreSQL and SQLite."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.audit_trail import audit_entry
from gateway.storage import MIGRATIONS, OLDEST, is_migrated, migrate
from gateway.storage.repositories import AuditOutbox, LoginSession, LoginSessions, Reuse, StoredUser, User, Users, ping
from gateway.storage.tables import SCHEMA, login_sessions, metadata, refresh_tokens, users, ws_tickets
from gateway.tokens import CurrentUser
from service_kit.database import downgrade, open_engine
from service_kit.errors import Unavailable
from sovd_protos.audit.v1.audit_pb2 import AuditEntry

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=14)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await migrate(database_url)
    engine = open_engine(database_url, SCHEMA)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> LoginSessions:
    return LoginSessions(engine)


@pytest.fixture
async def user(engine: AsyncEngine) -> User:
    return await create_user(engine, "engineer")


async def create_user(engine: AsyncEngine, username: str) -> User:
    user = User(str(uuid4()), username, f"{username}@example.com", "An Engineer", "engineer", is_active=True)
    assert await Users(engine).create(user, "hash", NOW, audit_entry("user.created", "success"))
    return user


async def open_session(sessions: LoginSessions, user: User, refresh_hash: str = "r1", sid: str | None = None) -> str:
    sid = sid or str(uuid4())
    session = LoginSession(sid, refresh_hash, LATER, "192.0.2.1")
    assert await sessions.open(session, StoredUser(user, "hash"), NOW, entry())
    return sid


def entry(_: CurrentUser | None = None) -> AuditEntry:
    return audit_entry("test", "success")


async def outbox_size(engine: AsyncEngine) -> int:
    return len(await AuditOutbox(engine).oldest(1000))


async def set_active(engine: AsyncEngine, user: User, is_active: bool) -> None:
    async with engine.begin() as connection:
        await connection.execute(update(users).where(users.c.user_id == user.user_id).values(is_active=is_active))


async def test_migrations_make_what_the_tables_say(engine: AsyncEngine) -> None:
    def columns(connection: object) -> dict[str, set[str]]:
        inspector = inspect(connection)
        assert inspector is not None
        schema = SCHEMA if engine.dialect.name == "postgresql" else None
        return {
            table: {column["name"] for column in inspector.get_columns(table, schema)}
            for table in inspector.get_table_names(schema)
            if not table.endswith("alembic_version")
        }

    async with engine.connect() as connection:
        found = await connection.run_sync(columns)
    assert found == {table.name: {column.name for column in table.columns} for table in metadata.tables.values()}


async def test_migrating_again_and_back(database_url: str, engine: AsyncEngine) -> None:
    await migrate(database_url)
    assert await is_migrated(engine)
    await downgrade(database_url, MIGRATIONS, SCHEMA, "base")
    assert not await is_migrated(engine)
    with pytest.raises(Unavailable) as away:
        await Users(engine).any_exist()
    assert away.value.code == "DATABASE_NOT_MIGRATED"


async def test_it_works_on_its_oldest_revision(database_url: str, engine: AsyncEngine) -> None:
    await downgrade(database_url, MIGRATIONS, SCHEMA, OLDEST)
    assert await is_migrated(engine)
    user = await create_user(engine, "engineer")
    stored = await Users(engine).find("engineer")
    assert stored is not None
    sid = await open_session(LoginSessions(engine), user)
    found = await LoginSessions(engine).rotate("r1", "r2", NOW, LATER, entry)
    assert found == CurrentUser(user.user_id, user.username, "engineer", sid)
    await migrate(database_url)
    assert await Users(engine).find("engineer") == stored


async def test_several_migrate_at_once(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url) for _ in range(3)))


async def test_an_empty_database_is_not_migrated(database_url: str) -> None:
    engine = open_engine(database_url, SCHEMA)
    await ping(engine)
    assert not await is_migrated(engine)
    await engine.dispose()


async def test_users(engine: AsyncEngine) -> None:
    repository = Users(engine)
    assert not await repository.any_exist()
    user = await create_user(engine, "engineer")
    assert await repository.any_exist()
    assert await repository.get(user.user_id) == user
    assert await repository.get(str(uuid4())) is None
    stored = await repository.find("engineer")
    assert stored is not None
    assert (stored.user, stored.password_hash) == (user, "hash")
    assert await repository.find("nobody") is None
    await repository.renew_password_hash(stored, "better hash", NOW)
    renewed = await repository.find("engineer")
    assert renewed == StoredUser(user, "better hash")
    await repository.renew_password_hash(stored, "of an older password", NOW)
    assert await repository.find("engineer") == renewed


async def test_a_name_is_taken_once(engine: AsyncEngine, user: User) -> None:
    again = User(str(uuid4()), user.username, "", "", "viewer", is_active=True)
    assert not await Users(engine).create(again, "hash", NOW, entry())
    assert await outbox_size(engine) == 1


async def test_a_session_is_live_until_it_ends(engine: AsyncEngine, sessions: LoginSessions, user: User) -> None:
    sid, other = await open_session(sessions, user), await open_session(sessions, user, "r2")
    assert await sessions.find_live([sid, other, str(uuid4())], NOW) == {sid, other}
    assert await sessions.find_live([sid], LATER) == set()
    before = await outbox_size(engine)
    await sessions.end(sid, "logout", NOW, entry())
    await sessions.end(sid, "logout", NOW, entry())
    assert await sessions.find_live([sid, other], NOW) == {other}
    assert await outbox_size(engine) == before + 1
    await set_active(engine, user, False)
    assert await sessions.find_live([other], NOW) == set()


async def test_refresh_tokens_rotate(sessions: LoginSessions, user: User) -> None:
    sid = await open_session(sessions, user)
    much_later = LATER + timedelta(days=14)
    found = await sessions.rotate("r1", "r2", NOW, much_later, entry)
    assert found == CurrentUser(user.user_id, user.username, "engineer", sid)
    assert await sessions.find_live([sid], LATER) == {sid}
    assert await sessions.rotate("r2", "r3", LATER, much_later, entry) == found
    assert await sessions.find_by_refresh_token("r1") == found
    assert await sessions.rotate("unknown", "r9", NOW, LATER, entry) is None
    assert await sessions.find_by_refresh_token("unknown") is None


async def test_an_old_token_ends_the_session(engine: AsyncEngine, sessions: LoginSessions, user: User) -> None:
    sid = await open_session(sessions, user)
    await sessions.rotate("r1", "r2", NOW, LATER, entry)
    before = await outbox_size(engine)
    reuse = await sessions.rotate("r1", "r3", NOW, LATER, entry)
    assert isinstance(reuse, Reuse)
    assert reuse.user.sid == sid
    assert await outbox_size(engine) == before + 1
    assert await sessions.find_live([sid], NOW) == set()
    assert await sessions.rotate("r2", "r4", NOW, LATER, entry) is None
    assert await sessions.rotate("r1", "r5", NOW, LATER, entry) is None
    assert await outbox_size(engine) == before + 1


async def test_of_many_who_show_a_token_at_once_one_gets_the_next(sessions: LoginSessions, user: User) -> None:
    await open_session(sessions, user)
    outcomes = await asyncio.gather(*(sessions.rotate("r1", f"n{i}", NOW, LATER, entry) for i in range(5)))
    assert sum(isinstance(outcome, CurrentUser) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Reuse) for outcome in outcomes) == 1


async def test_an_expired_token_and_a_deactivated_user(
    engine: AsyncEngine, sessions: LoginSessions, user: User
) -> None:
    await open_session(sessions, user)
    assert await sessions.rotate("r1", "r2", LATER, LATER + timedelta(days=1), entry) is None
    await set_active(engine, user, False)
    assert await sessions.rotate("r1", "r2", NOW, LATER, entry) is None


async def test_a_ticket_is_good_once(sessions: LoginSessions, user: User) -> None:
    sid = await open_session(sessions, user)
    for name in ("once", "late", "ended", "raced"):
        await sessions.add_ticket(name, sid, NOW + timedelta(seconds=30))
    assert await sessions.redeem_ticket("once", NOW) == CurrentUser(user.user_id, user.username, "engineer", sid)
    assert await sessions.redeem_ticket("once", NOW) is None
    assert await sessions.redeem_ticket("never", NOW) is None
    assert await sessions.redeem_ticket("late", NOW + timedelta(seconds=30)) is None
    raced = await asyncio.gather(*(sessions.redeem_ticket("raced", NOW) for _ in range(5)))
    assert sum(found is not None for found in raced) == 1
    await sessions.end(sid, "logout", NOW, entry())
    assert await sessions.redeem_ticket("ended", NOW) is None


async def test_what_is_over_is_forgotten(engine: AsyncEngine, sessions: LoginSessions, user: User) -> None:
    ended, live = await open_session(sessions, user, "r1"), await open_session(sessions, user, "r2")
    await sessions.add_ticket("t", live, NOW)
    await sessions.end(ended, "logout", NOW, entry())
    await sessions.forget_old(NOW + timedelta(days=1))
    assert await count(engine, login_sessions.c.sid) == 2
    assert await count(engine, ws_tickets.c.ticket_hash) == 0
    await sessions.forget_old(NOW + timedelta(days=8))
    assert await count(engine, login_sessions.c.sid) == 1
    assert await count(engine, refresh_tokens.c.token_hash) == 1
    await sessions.forget_old(LATER + timedelta(days=8))
    assert await count(engine, login_sessions.c.sid) == 0


async def count(engine: AsyncEngine, column: object) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count(column))) or 0)  # type: ignore[arg-type]


async def test_the_outbox_gives_the_oldest_first(engine: AsyncEngine) -> None:
    outbox = AuditOutbox(engine)
    entries = [audit_entry("test", "success", number=str(number)) for number in range(5)]
    await outbox.add(entries[3:])
    await outbox.add(entries[:3])
    assert await outbox.oldest(3) == entries[:3]
    await outbox.remove([each.entry_id for each in entries[:4]])
    assert await outbox.oldest(3) == entries[4:]


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    nowhere = open_engine("postgresql://sovd:sovd@127.0.0.1:1/none", SCHEMA)
    missing = open_engine(f"sqlite:///{tmp_path}/no/such/folder/gateway.db", SCHEMA)
    for engine in (nowhere, missing):
        with pytest.raises(Unavailable):
            await ping(engine)
        await engine.dispose()
