"""Idempotency keys in storage; on both databases."""

from datetime import UTC, datetime, timedelta

from command_service.storage import SqlStorage
from command_service.use_cases.ports import IdempotencyRecord
from tests.integration.command_service.rows import new_id

NOW = datetime.now(UTC)
A_DAY_AGO = NOW - timedelta(hours=24, minutes=1)


def a_record(key: str = "key", user_id: str = "user", created_at: datetime = NOW) -> IdempotencyRecord:
    return IdempotencyRecord(user_id, key, bytes(range(32)), new_id(), created_at)


def _key(record: IdempotencyRecord) -> tuple[str, str]:
    return record.user_id, record.key


async def _put(storage: SqlStorage, *records: IdempotencyRecord) -> set[tuple[str, str]]:
    async with storage.transaction() as uow:
        stored = await uow.idempotency.put(records)
        await uow.commit()
    return stored


async def _find(storage: SqlStorage, *keys: tuple[str, str]) -> dict[tuple[str, str], IdempotencyRecord]:
    async with storage.reading() as uow:
        return await uow.idempotency.find(keys)


async def test_a_key_is_found_by_its_user_alone(storage: SqlStorage) -> None:
    records = [a_record("a"), a_record("b"), a_record("a", user_id="other")]
    assert await _put(storage, *records) == {_key(record) for record in records}
    assert await _find(storage, ("user", "a"), ("other", "b"), ("nobody", "a")) == {("user", "a"): records[0]}
    assert await _find(storage) == {}


async def test_the_first_keeps_a_key(storage: SqlStorage) -> None:
    first, second, free = a_record(), a_record(), a_record("free")
    assert await _put(storage, first) == {_key(first)}
    assert await _put(storage, second, free) == {_key(free)}
    assert (await _find(storage, _key(first)))[_key(first)] == first


async def test_the_first_of_a_batch_keeps_a_key(storage: SqlStorage) -> None:
    records = [a_record() for _ in range(3)]
    assert await _put(storage, *records) == {_key(records[0])}
    assert list((await _find(storage, _key(records[0]))).values()) == records[:1]
    assert await _put(storage) == set()


async def test_a_key_is_free_again_after_a_day(storage: SqlStorage) -> None:
    old, new = a_record(created_at=A_DAY_AGO), a_record()
    await _put(storage, old)
    assert await _find(storage, _key(old)) == {}
    assert await _put(storage, new) == {_key(new)}
    assert await _find(storage, _key(new)) == {_key(new): new}


async def test_what_is_not_committed_took_no_key(storage: SqlStorage) -> None:
    record = a_record()
    async with storage.transaction() as uow:
        assert await uow.idempotency.put([record]) == {_key(record)}
    assert await _find(storage, _key(record)) == {}
    assert await _put(storage, record) == {_key(record)}


async def test_old_keys_are_deleted_oldest_first(storage: SqlStorage) -> None:
    old = [a_record(f"old-{hour}", created_at=A_DAY_AGO - timedelta(hours=hour)) for hour in range(5)]
    await _put(storage, *old, kept := a_record())
    deleted = []
    for _ in range(3):
        async with storage.transaction() as uow:
            deleted.append(await uow.idempotency.delete_old(2))
            await uow.commit()
    assert deleted == [2, 2, 1]
    assert await _find(storage, _key(kept)) == {_key(kept): kept}
