"""The audit trail: reading it, and how the gateway's own entries get there, whatever is away meanwhile."""

import asyncio
from typing import Any

from sqlalchemy import select

from gateway.audit_trail import audit_entry
from gateway.storage.tables import audit_outbox
from service_kit.errors import InvalidInput
from sovd_protos.audit.v1.audit_pb2 import AuditEntry, ListAuditRequest
from tests.integration.gateway.conftest import Running, StartGateway, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService, serving
from tests.integration.gateway.test_auth import execute, refused

AUDIT = "/api/v1/audit"


async def test_reading_it(gateway: Running, command_service: FakeCommandService) -> None:
    entry = AuditEntry(
        entry_id="0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10",
        at_us=1_769_860_800_000_000,
        action="command.submitted",
        actor_id="u",
        actor_name="engineer",
        subject_kind="command",
        subject_id="c",
        outcome="success",
        details_json='{"command_name":"ReadDTC"}',
        chain_number=3,
        hash="ab",
    )
    headers = await gateway.headers("admin")
    await eventually(lambda: len(command_service.entries) == 3)
    command_service.entries = {entry.entry_id: entry}
    query = {
        "action": "command.submitted",
        "actor_id": "u",
        "subject_id": "c",
        "from": "2026-01-31T12:00:00Z",
        "to": "2026-01-31T14:00:00.5+01:00",
        "limit": "7",
    }
    answer = (await gateway.client.get(AUDIT, params=query, headers=headers)).json()
    assert answer == {
        "items": [
            {
                "entry_id": entry.entry_id,
                "at": "2026-01-31T12:00:00.000000Z",
                "action": "command.submitted",
                "outcome": "success",
                "actor_id": "u",
                "actor_name": "engineer",
                "subject_kind": "command",
                "subject_id": "c",
                "details": {"command_name": "ReadDTC"},
                "remote_address": None,
                "chain_number": 3,
                "hash": "ab",
            }
        ],
        "next_cursor": None,
    }
    (asked,) = (request for request in command_service.requests if isinstance(request, ListAuditRequest))
    assert (asked.from_us, asked.to_us, asked.limit) == (1_769_860_800_000_000, 1_769_864_400_500_000, 7)
    for wrong in ("from=yesterday", "from=1769860800", "to=2026-01-31T12:00:00", "limit=1000", "actor=u"):
        refused(await gateway.client.get(f"{AUDIT}?{wrong}", headers=headers), 422, "VALIDATION_FAILED")


async def test_verifying_it(gateway: Running, command_service: FakeCommandService) -> None:
    headers = await gateway.headers("admin")
    await eventually(lambda: len(command_service.entries) == 3)
    answer = await gateway.client.get(f"{AUDIT}/verification", headers=headers)
    assert answer.json() == {"intact": True, "sealed": 3, "unsealed": 1, "broken_at": None, "reason": None}


async def test_what_the_gateway_does_is_told(
    gateway: Running, command_service: FakeCommandService, settings: dict[str, Any]
) -> None:
    await gateway.log_in()
    await eventually(lambda: len(command_service.entries) == 3)
    assert {entry.actor_name for entry in command_service.audited("user.created")} == {"system"}
    (login,) = command_service.audited("user.login")
    assert (login.actor_name, login.outcome, login.subject_kind) == ("engineer", "success", "login_session")
    await eventually_empty(settings)


async def eventually_empty(settings: dict[str, Any]) -> None:
    async with asyncio.timeout(10):
        while await execute(settings, select(audit_outbox)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_entries_wait_for_the_command_service(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    fake = FakeCommandService()
    async with serving(fake) as port:
        pass
    gateway = await start_gateway(command_service_address=fake.address)
    tokens = await gateway.log_in()
    assert tokens["access_token"]
    assert len(await execute(settings, select(audit_outbox))) == 3
    async with serving(fake, port):
        await eventually(lambda: len(fake.entries) == 3)
        await eventually_empty(settings)


async def test_entries_survive_the_gateway(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    await (await start_gateway(command_service_address="127.0.0.1:1")).log_in()
    fake = FakeCommandService()
    async with serving(fake):
        await start_gateway(command_service_address=fake.address, demo_data=False)
        await eventually(lambda: len(fake.audited("user.login")) == 1)


async def test_an_entry_that_is_refused_holds_up_no_other(
    gateway: Running, command_service: FakeCommandService, settings: dict[str, Any]
) -> None:
    command_service.refuses["bad"] = InvalidInput("BAD_ENTRY", "no")
    for action in ("good.1", "bad", "good.2"):
        gateway.gateway.state.audit.record(audit_entry(action, "success"))
    await eventually(lambda: bool(command_service.audited("good.1") and command_service.audited("good.2")))
    await eventually_empty(settings)
    assert command_service.audited("bad") == []
