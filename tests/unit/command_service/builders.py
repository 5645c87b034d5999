"""Commands for tests."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from command_service.domain.command import Command
from command_service.domain.lanes import lane_key
from service_kit.uds import is_functional

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VEHICLE = "018f0000-0000-7000-8000-000000000001"
_numbers = itertools.count(1)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_command(*, repeatable: bool = True, ecu: int = 0x10, stream: bool = False, **fields: Any) -> Command:
    defaults: dict[str, Any] = {
        "command_id": str(uuid4()),
        "vehicle_id": VEHICLE,
        "command_name": "ReadDTC" if repeatable else "ClearDTC",
        "command_params": f'{{"ecuAddress":"{ecu:#x}"}}',
        "command_class": "read" if repeatable else "write",
        "repeatable": repeatable,
        "lane": lane_key(VEHICLE, ecu, stream=stream),
        "exclusive": is_functional(ecu),
        "priority": 0,
        "user_id": "018f0000-0000-7000-8000-0000000000aa",
        "username": "engineer",
        "timeout_seconds": 30,
        "created_at": START,
        "expires_at": after(900),
        "accept_number": next(_numbers),
    }
    return Command(**(defaults | fields))


def in_progress(**fields: Any) -> Command:
    """Handed over by connector "c1" in session epoch 1."""
    command = a_command(**fields)
    command.dispatch("c1", 1, START)
    assert command.claim(1, "c1", 1, START) is None
    return command
