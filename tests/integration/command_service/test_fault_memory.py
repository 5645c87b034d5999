"""The fault memory as it was last read and before that, on both databases."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from command_service.domain.command import Command
from command_service.domain.results import RecordedResponse
from command_service.storage import SqlStorage
from command_service.use_cases import fault_memory
from command_service.use_cases.fault_memory import EcuFaultMemory, ReadFaultMemory, Reading
from service_kit.errors import NotFound
from tests.integration.command_service.rows import (
    NOW,
    a_command,
    a_response,
    a_vehicle,
    completed,
    in_progress,
    new_id,
    store,
)

VEHICLE = a_vehicle()


def reading(
    *codes: str, ecu: str = "0x10", mask: str | None = None, minute: int = 0
) -> tuple[Command, list[RecordedResponse]]:
    """A completed ReadDTC with a response for each fault and the count."""
    params = {"ecuAddress": ecu} | ({"statusMask": mask} if mask else {})
    command = a_command(VEHICLE.vehicle_id, command_params=json.dumps(params), lane=new_id())
    completed(command, NOW + timedelta(minutes=minute), responses=len(codes) + 1)
    bodies = [*(fault(code) for code in codes), f'{{"ecuAddress": "{ecu}", "count": {len(codes)}}}']
    return command, [a_response(command.command_id, number, body) for number, body in enumerate(bodies, 1)]


def fault(code: str) -> str:
    return f'{{ "code":"{code}",  "status": {{"raw":"0x2F"}} }}'


async def stored(storage: SqlStorage, *readings: tuple[Command, list[RecordedResponse]]) -> list[EcuFaultMemory]:
    responses = [response for _, all_of_it in readings for response in all_of_it]
    await store(storage, vehicles=[VEHICLE], commands=[command for command, _ in readings], responses=responses)
    return await ReadFaultMemory(storage)(VEHICLE.vehicle_id)


def shown(memory: list[EcuFaultMemory]) -> list[tuple[int, list[str], list[str] | None]]:
    def codes(one: Reading) -> list[str]:
        return [json.loads(body)["code"] for body in one.faults]

    return [(ecu.address, codes(ecu.latest), codes(ecu.previous) if ecu.previous else None) for ecu in memory]


async def test_the_newest_and_the_one_before(storage: SqlStorage) -> None:
    newest = reading("0x042011", "0x012345", minute=2)
    found = await stored(
        storage,
        reading("0x0000AA", minute=0),
        reading("0x042011", minute=1),
        newest,
        reading("0x0000BB", ecu="0x0018", minute=3),
        reading(ecu="0x7"),
    )
    assert shown(found) == [
        (0x07, [], None),
        (0x10, ["0x042011", "0x012345"], ["0x042011"]),
        (0x18, ["0x0000BB"], None),
    ]
    assert found[1].latest.command == newest[0]
    assert found[1].latest.faults == [fault("0x042011"), fault("0x012345")]
    assert not found[1].latest.truncated


async def test_what_an_earlier_attempt_said_is_not_what_was_read(storage: SqlStorage) -> None:
    """It was broken off, and the command tried again: each fault is there once, and none that is gone by now."""
    command, responses = reading("0x042011", "0x0000AA", "0x042011")
    command.attempt = 2
    (found,) = await stored(storage, (command, [*responses[:2], *(replace(one, attempt=2) for one in responses[2:])]))
    assert shown([found]) == [(0x10, ["0x042011"], None)]
    assert not found.latest.truncated


async def test_only_what_can_be_compared(storage: SqlStorage) -> None:
    """All faults before those of a mask; of a mask, the newest one's."""
    found = await stored(
        storage,
        reading("0x000001"),
        reading("0x000002", mask="0xff"),
        reading("0x000003", mask="0x08"),
        reading("0x000004", ecu="0x18", mask="0x08"),
        reading("0x000005", ecu="0x18", mask="0x09"),
        reading("0x000006", ecu="0x18", mask="0x08"),
        reading("0x000007", ecu="0x20", mask="0x08"),
        reading("0x000008", ecu="0xE400"),
    )
    assert shown(found) == [
        (0x10, ["0x000002"], ["0x000001"]),
        (0x18, ["0x000006"], ["0x000004"]),
        (0x20, ["0x000007"], None),
    ]


async def test_what_is_no_reading(storage: SqlStorage) -> None:
    of_another = a_vehicle("WDD0987654321ZYXW")
    running = in_progress(a_command(VEHICLE.vehicle_id, lane="1"))
    failed = in_progress(a_command(VEHICLE.vehicle_id, lane="2"))
    failed.fail(NOW, "NEGATIVE_RESPONSE", "")
    elsewhere = completed(a_command(of_another.vehicle_id, lane="3"))
    clearing = completed(a_command(VEHICLE.vehicle_id, lane="4", command_name="ClearDTC"))
    await store(storage, vehicles=[of_another])
    assert await stored(storage, *((one, []) for one in (running, failed, elsewhere, clearing))) == []
    with pytest.raises(NotFound):
        await ReadFaultMemory(storage)(new_id())


async def test_what_retention_has_deleted_is_not_taken_for_a_memory_without_faults(storage: SqlStorage) -> None:
    old = reading("0x000001")
    await stored(storage, old)
    async with storage.transaction() as uow:
        assert await uow.responses.delete_of_commands_completed_before(NOW + timedelta(days=1), 10) == 2
        await uow.commit()
    assert await ReadFaultMemory(storage)(VEHICLE.vehicle_id) == []


async def test_more_than_an_answer_holds(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_memory, "MAX_ANSWER_CHARACTERS", len(fault("0x000001")) * 3)
    monkeypatch.setattr(fault_memory, "MAX_RESPONSES_EACH", 4)
    before, newest = reading("0x000001", "0x000002"), reading("0x000003", "0x000004")
    many = reading(*(f"0x00001{number}" for number in range(6)), ecu="0x18")
    (first, second) = await stored(storage, before, newest, many)
    assert first.previous is not None
    assert [(len(one.faults), one.truncated) for one in (first.latest, second.latest, first.previous)] == [
        (2, False),
        (1, True),
        (0, True),
    ]


async def test_it_looks_at_the_newest_commands(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_memory, "NEWEST_COMMANDS", 2)
    newer = completed(a_command(VEHICLE.vehicle_id, command_name="ReadDataByID", lane="1"))
    found = await stored(storage, reading("0x000001"), reading("0x000002"), (replace(newer), []))
    assert shown(found) == [(0x10, ["0x000002"], None)]
