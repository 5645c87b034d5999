"""Entries on their way to the outbox, while it can and while it cannot take them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import grpc.aio
import pytest

from gateway import audit_trail
from gateway.audit_trail import AuditTrail, audit_entry
from gateway.metrics import AUDIT_DROPPED
from gateway.storage.repositories import AuditOutbox
from gateway.tokens import CurrentUser
from service_kit.errors import Unavailable
from sovd_protos.audit.v1.audit_pb2 import AuditEntry


class Outbox:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.error: Exception | None = None
        self.writes = 0

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        self.writes += 1
        if self.error is not None:
            raise self.error
        self.entries += entries


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    monkeypatch.setattr(audit_trail, "RETRY_SECONDS", 0.001)
    return Outbox()


@pytest.fixture
async def trail(outbox: Outbox) -> AsyncIterator[AuditTrail]:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        yield AuditTrail(cast("AuditOutbox", outbox), channel)


def entry(number: int = 0) -> AuditEntry:
    return audit_entry("request.refused", "refused", number=str(number))


def dropped() -> float:
    return next(iter(AUDIT_DROPPED.collect())).samples[0].value


def test_an_entry() -> None:
    user = CurrentUser("user-1", "engineer", "engineer", "sid-1")
    made = audit_entry("a", "b", user=user, subject=("request", "x" * 1000), remote_address="10.0.0.1", why="role")
    assert (made.actor_id, made.actor_name, made.remote_address) == ("user-1", "engineer", "10.0.0.1")
    assert made.details_json == '{"why":"role"}'
    assert len(made.subject_id) == 256
    assert made.entry_id < audit_entry("a", "b").entry_id


async def test_many_entries_are_few_writes(trail: AuditTrail, outbox: Outbox) -> None:
    for number in range(300):
        trail.record(entry(number))
    await trail.drain()
    assert [each.details_json for each in outbox.entries] == [f'{{"number":"{n}"}}' for n in range(300)]
    assert outbox.writes == 2


async def test_entries_wait_for_the_database(trail: AuditTrail, outbox: Outbox) -> None:
    outbox.error = Unavailable("DATABASE_UNAVAILABLE", "away")
    trail.record(entry())
    while outbox.writes < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    outbox.error = None
    await trail.drain()
    assert len(outbox.entries) == 1


async def test_only_so_many_wait(trail: AuditTrail, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "MAX_PENDING", 5)
    before = dropped()
    for number in range(8):
        trail.record(entry(number))
    assert dropped() == before + 3
    await trail.drain()
    assert len(outbox.entries) == 5
    trail.record(entry())
    await trail.drain()
    assert len(outbox.entries) == 6


async def test_a_mistake_of_ours_is_said_and_forgotten(
    trail: AuditTrail, outbox: Outbox, capfd: pytest.CaptureFixture[str]
) -> None:
    outbox.error = RuntimeError("no such column")
    before = dropped()
    trail.record(entry())
    await trail.drain()
    assert dropped() == before + 1
    assert "no such column" in "".join(capfd.readouterr())
    outbox.error = None
    trail.record(entry())
    await trail.drain()
    assert len(outbox.entries) == 1
