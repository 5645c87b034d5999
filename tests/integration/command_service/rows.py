"""Rows for the tests of storage: valid, and different where it matters."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from uuid_utils import uuid7

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Command, Status
from command_service.domain.results import Evidence, RecordedResponse
from command_service.domain.vehicle import Ecu, LinkKind, Vehicle
from command_service.storage import SqlStorage

NOW = datetime(2026, 11, 23, 17, 0, 0, 123456, tzinfo=UTC)
USER = str(uuid4())


def new_id() -> str:
    return str(uuid7())


def a_command(vehicle_id: str | None = None, **facts: Any) -> Command:
    """Pending, in the lane of ECU 0x10, expiring long after the tests have run."""
    vehicle_id = vehicle_id or new_id()
    defaults: dict[str, Any] = {
        "command_id": new_id(),
        "vehicle_id": vehicle_id,
        "command_name": "ReadDTC",
        "command_params": '{"ecuAddress":"0x10"}',
        "command_class": "read",
        "repeatable": True,
        "lane": f"{vehicle_id}:10",
        "exclusive": False,
        "priority": 0,
        "user_id": USER,
        "username": "engineer",
        "timeout_seconds": 30,
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=36500),
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    }
    return Command(**defaults | facts)


def a_vehicle(vin: str = "WDD1234567890ABCD", **facts: Any) -> Vehicle:
    defaults: dict[str, Any] = {
        "vehicle_id": new_id(),
        "vin": vin,
        "make": "Mercedes",
        "model": "E-Class",
        "year": 2024,
        "link_kind": LinkKind.SESSION,
        "link_address": "",
        "created_at": NOW,
    }
    return Vehicle(**defaults | facts)


def online(vehicle: Vehicle, connector_id: str = "connector-1", now: datetime = NOW) -> Vehicle:
    vehicle.open_session(connector_id, [Ecu(0x10, "Engine"), Ecu(0x18DA10F1, "Gateway")], now)
    return vehicle


def a_response(command_id: str, sequence_number: int, body: str | None = None) -> RecordedResponse:
    return RecordedResponse(command_id, sequence_number, 1, body or f'{{"n": {sequence_number}}}', NOW)


def an_evidence(command_id: str, number: int, kind: str = "response", **facts: Any) -> Evidence:
    defaults: dict[str, Any] = {"attempt": 1, "body": '{"n": 1}', "reason": "after_end", "received_at": NOW}
    return Evidence(command_id, number=number, kind=kind, **defaults | facts)


def an_entry(**facts: Any) -> AuditEntry:
    defaults: dict[str, Any] = {
        "entry_id": new_id(),
        "at": NOW,
        "action": "command.submitted",
        "actor_id": USER,
        "actor_name": "engineer",
        "subject_kind": "command",
        "subject_id": new_id(),
        "outcome": "success",
        "details": {"command_name": "ReadDTC", "é": [1, 2.5, None, True]},
        "remote_address": "192.0.2.1",
    }
    return AuditEntry(**defaults | facts)


async def store(
    storage: SqlStorage,
    *,
    commands: Sequence[Command] = (),
    vehicles: Sequence[Vehicle] = (),
    responses: Sequence[RecordedResponse] = (),
    entries: Sequence[AuditEntry] = (),
) -> None:
    """All of it, committed."""
    async with storage.transaction() as uow:
        for vehicle in vehicles:
            await uow.vehicles.insert(vehicle)
        # What is inserted is new; where a command is further in its life, that is a change of it.
        new = [replace(one, status=Status.PENDING, revision=1, dispatch_number=0) for one in commands]
        await uow.commands.insert(new)
        for one, stored in zip(commands, new, strict=True):
            one.accept_number = stored.accept_number
        await uow.commands.update([command for command in commands if command.revision > 1])
        await uow.responses.append(responses)
        await uow.audit.append(entries)
        await uow.commit()


def dispatched(command: Command, at: datetime = NOW) -> Command:
    command.dispatch("connector-1", 1, at)
    return command


def in_progress(command: Command, at: datetime = NOW) -> Command:
    dispatched(command, at)
    assert command.claim(command.dispatch_number, "connector-1", 1, at) is None
    return command


def completed(command: Command, at: datetime = NOW, responses: int = 0) -> Command:
    in_progress(command, at)
    for _ in range(responses):
        command.record_response(at)
    command.complete(at)
    return command


Change = Callable[[Command], Any]
