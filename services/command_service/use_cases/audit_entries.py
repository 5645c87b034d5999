"""The audit entries that the command service writes itself, each in the transaction of the change it tells of."""

from datetime import datetime
from typing import Any

from uuid_utils import uuid7

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Command
from command_service.use_cases.actor import Actor


def about_command(
    action: str, command: Command, now: datetime, actor: Actor | None = None, **details: Any
) -> AuditEntry:
    """`actor` is None for what the system did on behalf of the submitter."""
    details.update(vehicle_id=command.vehicle_id, command_name=command.command_name)
    return AuditEntry(
        entry_id=str(uuid7()),
        at=now,
        action=action,
        actor_id=actor.user_id if actor else command.user_id,
        actor_name=actor.username if actor else command.username,
        subject_kind="command",
        subject_id=command.command_id,
        outcome=command.status.value,
        details=details,
    )


def command_submitted(command: Command, now: datetime) -> AuditEntry:
    return about_command("command.submitted", command, now, command_params=command.command_params)


def command_handed_over(command: Command, now: datetime) -> AuditEntry:
    return about_command("command.handed_over", command, now, connector_id=command.connector_id)


def command_ended(command: Command, now: datetime) -> AuditEntry:
    details: dict[str, Any] = {"attempt": command.attempt, "responses": command.responses}
    if command.error_code:
        details["error_code"] = command.error_code
    return about_command("command.ended", command, now, **details)


def about_vehicle(
    action: str, vehicle_id: str, now: datetime, actor: Actor, outcome: str = "success", **details: Any
) -> AuditEntry:
    return AuditEntry(
        entry_id=str(uuid7()),
        at=now,
        action=action,
        actor_id=actor.user_id,
        actor_name=actor.username,
        subject_kind="vehicle",
        subject_id=vehicle_id,
        outcome=outcome,
        details=details,
    )
