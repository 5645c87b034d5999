"""The audit trail in storage: entries, listing, sealing; on both databases."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from command_service.domain.audit import GENESIS, AuditEntry, ChainCheck, seal
from command_service.storage import SqlStorage
from command_service.use_cases.ports import AuditFilter
from service_kit.database import open_engine
from tests.integration.command_service.rows import NOW, an_entry, new_id, store


async def _page(storage: SqlStorage, limit: int = 100, before: Any = None, **filter_: Any) -> list[AuditEntry]:
    async with storage.reading() as uow:
        return await uow.audit.page(AuditFilter(**filter_), limit, before)


async def _seal(storage: SqlStorage, limit: int = 1000) -> list[AuditEntry]:
    async with storage.transaction() as uow:
        number, last_hash = await uow.audit.lock_chain()
        sealed = seal(await uow.audit.unsealed(limit), number, last_hash)
        await uow.audit.store_seals(sealed)
        await uow.commit()
    return sealed


async def _check(storage: SqlStorage) -> ChainCheck:
    check = ChainCheck()
    async with storage.reading() as uow:
        async for page in uow.audit.sealed():
            check.feed(page)
    return check


async def test_an_entry_comes_back_as_it_went(storage: SqlStorage) -> None:
    await store(storage, entries=[entry := an_entry()])
    assert await _page(storage) == [entry]


async def test_free_text_that_postgresql_cannot_hold_is_kept_readable(storage: SqlStorage) -> None:
    entry = an_entry(actor_name="ad\x00min", details={"user\x00name": "\x00"}, subject_id="\x00", remote_address="\x00")
    await store(storage, entries=[entry])
    (found,) = await _page(storage)
    assert (found.actor_name, found.details) == ("ad\ufffdmin", {"user\x00name": "\x00"})


async def test_the_same_entry_is_stored_once(storage: SqlStorage) -> None:
    entry = an_entry()
    await store(storage, entries=[entry])
    (sealed,) = await _seal(storage)
    again = an_entry(entry_id=entry.entry_id, action="forged")
    await store(storage, entries=[again, other := an_entry(at=NOW + timedelta(seconds=1)), again])
    assert await _page(storage) == [other, sealed]
    async with storage.reading() as uow:
        assert await uow.audit.unsealed(10) == [other]
        assert await uow.audit.count_unsealed() == 1


async def test_listing_newest_first_page_by_page_by_every_filter(storage: SqlStorage) -> None:
    entries = [an_entry(at=NOW + timedelta(seconds=second // 2)) for second in range(9)]
    login = an_entry(at=NOW + timedelta(hours=1), action="user.login", actor_id="", subject_id="somebody")
    await store(storage, entries=[*entries, login])
    newest_first = sorted([*entries, login], key=lambda entry: (entry.at, entry.entry_id), reverse=True)
    found: list[AuditEntry] = []
    while page := await _page(storage, 4, (found[-1].at, found[-1].entry_id) if found else None):
        found += page
    assert found == newest_first
    assert await _page(storage, action="user.login") == [login]
    assert await _page(storage, subject_id="somebody", action="user.login") == [login]
    assert await _page(storage, actor_id=entries[0].actor_id) == newest_first[1:]
    assert await _page(storage, from_=NOW + timedelta(seconds=2), to=NOW + timedelta(seconds=3)) == [
        entry for entry in newest_first if entry.at == NOW + timedelta(seconds=2)
    ]
    assert await _page(storage, action="\x00") == []
    assert await _page(storage, before=(NOW, "nonsense")) == [entry for entry in newest_first if entry.at == NOW]


async def test_an_empty_trail(storage: SqlStorage) -> None:
    async with storage.transaction() as uow:
        assert await uow.audit.lock_chain() == (0, GENESIS)
        assert await uow.audit.chain_end() == (0, GENESIS)
        assert await uow.audit.unsealed(10) == []
        assert await uow.audit.count_unsealed() == 0
        await uow.audit.append([])
        await uow.audit.store_seals([])
        assert [page async for page in uow.audit.sealed()] == []


async def test_sealing_oldest_first_in_rounds(storage: SqlStorage) -> None:
    entries = [an_entry(at=NOW + timedelta(seconds=second)) for second in (3, 1, 2, 0)]
    await store(storage, entries=entries)
    first = await _seal(storage, 3)
    await store(storage, entries=[early := an_entry(at=NOW - timedelta(days=1))])
    second = await _seal(storage)
    assert await _seal(storage) == []
    oldest_first = sorted(entries, key=lambda entry: entry.at)
    assert [entry.entry_id for entry in first] == [entry.entry_id for entry in oldest_first[:3]]
    assert [entry.entry_id for entry in second] == [early.entry_id, oldest_first[3].entry_id]
    assert [entry.chain_number for entry in first + second] == [1, 2, 3, 4, 5]
    async with storage.reading() as uow:
        assert await uow.audit.chain_end() == (5, second[-1].hash)
        assert await uow.audit.count_unsealed() == 0
    assert {entry.entry_id: entry for entry in await _page(storage)} == {
        entry.entry_id: entry for entry in first + second
    }


async def test_a_sealed_chain_verifies_over_many_pages(storage: SqlStorage) -> None:
    for _ in range(5):
        await store(storage, entries=[an_entry() for _ in range(500)])
        await _seal(storage)
    check = await _check(storage)
    assert (check.last_number, check.broken_at) == (2500, None)


async def test_a_seal_that_is_rolled_back_was_none(storage: SqlStorage) -> None:
    await store(storage, entries=[an_entry()])
    async with storage.transaction() as uow:
        number, last_hash = await uow.audit.lock_chain()
        await uow.audit.store_seals(seal(await uow.audit.unsealed(10), number, last_hash))
    async with storage.reading() as uow:
        assert await uow.audit.chain_end() == (0, GENESIS)
        assert await uow.audit.count_unsealed() == 1


async def test_what_is_done_behind_the_services_back_shows(storage: SqlStorage, database_url: str) -> None:
    entries = [an_entry(at=NOW + timedelta(seconds=second)) for second in range(4)]
    await store(storage, entries=entries)
    await _seal(storage)
    assert (await _check(storage)).broken_at is None
    await _tamper(database_url, f"UPDATE audit_entries SET actor_name = 'x' WHERE entry_id = '{entries[2].entry_id}'")
    assert (await _check(storage)).broken_at == 3
    await _tamper(database_url, f"DELETE FROM audit_entries WHERE entry_id = '{entries[1].entry_id}'")
    assert (await _check(storage)).broken_at == 2
    await _tamper(database_url, f"DELETE FROM audit_seals WHERE entry_id <> '{new_id()}'")
    assert (await _check(storage)).last_number == 0
    async with storage.reading() as uow:
        assert (await uow.audit.chain_end())[0] == 4


async def _tamper(database_url: str, statement: str) -> None:
    engine = open_engine(database_url, "command_service")
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SET LOCAL search_path = command_service"))
        await connection.execute(text(statement))
    await engine.dispose()
