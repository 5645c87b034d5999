"""What repositories have in common: one transaction per method, with its audit entries in it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.storage.tables import audit_outbox, login_sessions
from service_kit.database import database_errors
from sovd_protos.audit.v1 import audit_pb2


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Raises Unavailable when the database is away."""
    with database_errors():
        async with engine.begin() as connection:
            yield connection


async def put_in_outbox(connection: AsyncConnection, entries: Sequence[audit_pb2.AuditEntry]) -> None:
    rows = [{"entry_id": entry.entry_id, "entry": entry.SerializeToString()} for entry in entries]
    await connection.execute(insert(audit_outbox), rows)


async def end_sessions(
    connection: AsyncConnection, condition: ColumnElement[bool], reason: str, now: datetime
) -> list[str]:
    """The sids of those that the condition names and that were not over."""
    change = update(login_sessions).where(condition & login_sessions.c.ended_at.is_(None))
    return list(
        await connection.scalars(change.values(ended_at=now, end_reason=reason).returning(login_sessions.c.sid))
    )
