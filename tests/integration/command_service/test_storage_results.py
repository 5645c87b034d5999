"""Responses and evidence in storage, and their retention; on both databases."""

from datetime import timedelta

import pytest

from command_service.domain.results import Evidence, RecordedResponse
from command_service.storage import SqlStorage
from command_service.use_cases.ports import CommandFilter
from tests.integration.command_service.rows import (
    NOW,
    a_command,
    a_response,
    an_evidence,
    completed,
    in_progress,
    new_id,
    store,
)


async def _responses(storage: SqlStorage, command_id: str, after: int = 0, limit: int = 100) -> list[RecordedResponse]:
    async with storage.reading() as uow:
        return await uow.responses.page(command_id, after, limit)


async def _evidence(storage: SqlStorage, command_id: str, limit: int = 100, after: int = 0) -> list[Evidence]:
    async with storage.reading() as uow:
        return await uow.evidence.page(command_id, limit, after)


async def test_a_response_comes_back_as_it_went(storage: SqlStorage) -> None:
    body = '{ "fault_name":"Größe \\u0000 \U0001f697",\n "raw" : 1.50 }'
    long = '{"x":"' + "ab" * 100_000 + '"}'
    response = a_response(new_id(), 1, body)
    await store(storage, responses=[response, a_response(response.command_id, 2, long)])
    first, second = await _responses(storage, response.command_id)
    assert first == response
    assert second.body == long


async def test_responses_in_order_page_by_page(storage: SqlStorage) -> None:
    command_id = new_id()
    responses = [a_response(command_id, number) for number in range(1, 301)]
    await store(storage, responses=[*responses[150:], *responses[:150], a_response(new_id(), 1)])
    assert await _responses(storage, command_id, 0, 1000) == responses
    assert await _responses(storage, command_id, 100, 50) == responses[100:150]
    assert await _responses(storage, command_id, 300) == []
    assert await _responses(storage, command_id, 2**32 - 1) == []
    assert await _responses(storage, "nonsense") == []


async def test_a_number_is_given_once(storage: SqlStorage) -> None:
    command_id = new_id()
    await store(storage, responses=[a_response(command_id, 1)])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store(storage, responses=[a_response(command_id, 2), a_response(command_id, 1)])
    assert len(await _responses(storage, command_id)) == 1


async def test_the_next_responses_of_many_commands(storage: SqlStorage) -> None:
    ids = [new_id() for _ in range(4)]
    responses = {command_id: [a_response(command_id, n) for n in range(1, 11)] for command_id in ids[:3]}
    await store(storage, responses=[one for of_command in responses.values() for one in of_command])
    known = [(ids[0], 0), (ids[1], 7), (ids[2], 10), (ids[3], 0), (new_id(), 2**32 - 1), ("nonsense", 0)]
    async with storage.reading() as uow:
        found = await uow.responses.after_each(known, 4)
        assert await uow.responses.after_each([], 4) == {}
    assert {command_id: one for command_id, one in found.items() if one} == {
        ids[0]: responses[ids[0]][:4],
        ids[1]: responses[ids[1]][7:],
    }


async def test_evidence_is_kept_once_and_listed_oldest_first(storage: SqlStorage) -> None:
    command_id = new_id()
    kept = [
        an_evidence(command_id, 2),
        an_evidence(command_id, 2, "outcome", body="completed"),
        an_evidence(command_id, 1, attempt=2**32 - 1, reason="older_attempt"),
        an_evidence(command_id, 2**32 - 1, body="what \x00 came"),
    ]
    async with storage.transaction() as uow:
        await uow.evidence.append(kept[:2])
        await uow.evidence.append([an_evidence(command_id, 2, body="again"), *kept[2:], *kept])
        await uow.evidence.append([an_evidence(new_id(), 1)])
        await uow.evidence.append([])
        await uow.commit()
    found = await _evidence(storage, command_id)
    facts = [(one.attempt, one.number, one.kind, one.reason) for one in found]
    assert facts == [(one.attempt, one.number, one.kind, one.reason) for one in kept]
    assert [one.body for one in found] == ['{"n": 1}', "completed", '{"n": 1}', "what \ufffd came"]
    assert found[0].received_at == NOW
    assert await _evidence(storage, command_id, 2) == found[:2]
    assert await _evidence(storage, command_id, 2, after=found[1].evidence_id) == found[2:]
    assert await _evidence(storage, "nonsense") == []


async def test_retention_takes_the_responses_of_the_longest_ended(storage: SqlStorage) -> None:
    ended = [completed(a_command(), NOW + timedelta(hours=hour), responses=3) for hour in (2, 0, 1, 5)]
    running = in_progress(a_command())
    responses = [a_response(one.command_id, number) for one in [*ended, running] for number in (1, 2, 3)]
    await store(storage, commands=[*ended, running], responses=responses)

    async def clean(limit: int) -> int:
        async with storage.transaction() as uow:
            deleted = await uow.responses.delete_of_commands_completed_before(NOW + timedelta(hours=3), limit)
            await uow.commit()
        return deleted

    async def left() -> list[int]:
        return [len(await _responses(storage, one.command_id)) for one in [*ended, running]]

    assert await clean(2) == 6
    assert await left() == [3, 0, 0, 3, 3]
    assert await clean(2) == 3
    assert await left() == [0, 0, 0, 3, 3]
    assert await clean(2) == 0
    async with storage.reading() as uow:
        assert [one.responses for one in await uow.commands.page(CommandFilter(), 10, None)] == [0, 3, 3, 3, 3]
