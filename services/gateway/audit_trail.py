"""The gateway's audit entries: into the outbox with the change they tell of, from there to the command service.

An entry without a change of its own (a refusal, a failed log-in) goes to the outbox beside the request, batched. The
outbox is emptied by every gateway replica; entry_id makes a second delivery harmless.
"""

import asyncio
import time
from collections.abc import Sequence

import grpc.aio
import orjson
from uuid_utils import uuid7

from gateway.metrics import AUDIT_DROPPED, AUDIT_PENDING
from gateway.storage.repositories import AuditOutbox
from gateway.tokens import CurrentUser
from service_kit.batcher import Batcher
from service_kit.errors import InvalidInput, ServiceError, Unavailable
from service_kit.grpc_errors import from_rpc_error
from service_kit.logging import get_logger
from sovd_protos.audit.v1 import audit_pb2, audit_pb2_grpc

# Beyond this, entries without a change of their own are dropped: the database has been away for long.
MAX_PENDING = 10_000
DELIVERY_BATCH = 200
# Another replica may have left entries behind.
POLL_SECONDS = 5.0
RETRY_SECONDS = 1.0
MAX_TEXT = 256

log = get_logger(__name__)


def audit_entry(
    action: str,
    outcome: str,
    *,
    user: CurrentUser | None = None,
    actor_name: str = "",
    subject: tuple[str, str] = ("", ""),
    remote_address: str = "",
    **details: str,
) -> audit_pb2.AuditEntry:
    """An entry as of now. `actor_name` is for who is not (yet) a known user."""
    return audit_pb2.AuditEntry(
        entry_id=str(uuid7()),
        at_us=time.time_ns() // 1000,
        action=action,
        actor_id=user.user_id if user else "",
        actor_name=(user.username if user else actor_name)[:MAX_TEXT],
        subject_kind=subject[0],
        subject_id=subject[1][:MAX_TEXT],
        outcome=outcome,
        details_json=orjson.dumps(details).decode(),
        remote_address=remote_address[:64],
    )


class AuditTrail:
    def __init__(self, outbox: AuditOutbox, channel: grpc.aio.Channel) -> None:
        self._outbox = outbox
        self._service = audit_pb2_grpc.AuditServiceStub(channel)
        self._writes: Batcher[audit_pb2.AuditEntry, None] = Batcher(self._write, max_items=DELIVERY_BATCH)
        self._pending = 0
        self._news = asyncio.Event()

    def record(self, entry: audit_pb2.AuditEntry) -> None:
        """Takes the entry to the outbox without making anybody wait."""
        if self._pending >= MAX_PENDING:
            AUDIT_DROPPED.inc()
            return
        self._pending += 1
        AUDIT_PENDING.set(self._pending)
        self._writes.enqueue(entry)

    def notify(self) -> None:
        """There is something new in the outbox."""
        self._news.set()

    async def run(self) -> None:
        """Empties the outbox for ever; while the command service is away entries wait in the database."""
        while True:
            pause = POLL_SECONDS
            try:
                while await self.deliver() == DELIVERY_BATCH:
                    pass
            except ServiceError as error:
                log.debug("audit_entries_wait", reason=error.code)
                pause = RETRY_SECONDS
            await self._wait_for_news(pause)

    async def deliver(self) -> int:
        """One batch from the outbox to the command service; returns how many there were."""
        entries = await self._outbox.oldest(DELIVERY_BATCH)
        if entries:
            await self._send(entries)
            await self._outbox.remove([entry.entry_id for entry in entries])
        return len(entries)

    async def drain(self) -> None:
        await self._writes.drain()

    async def _send(self, entries: Sequence[audit_pb2.AuditEntry]) -> None:
        try:
            await self._service.RecordAudit(audit_pb2.RecordAuditRequest(entries=entries))
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error, "command_service")
            if not isinstance(error, InvalidInput):
                raise error from None
            if len(entries) > 1:  # one bad entry must not hold up the others
                for entry in entries:
                    await self._send([entry])
            else:
                log.error("audit_entry_refused", entry_id=entries[0].entry_id, code=error.code)

    async def _write(self, entries: list[audit_pb2.AuditEntry]) -> list[None]:
        while not await self._try_write(entries):  # noqa: ASYNC110  it is the database that is waited for
            await asyncio.sleep(RETRY_SECONDS)
        self._pending -= len(entries)
        AUDIT_PENDING.set(self._pending)
        self.notify()
        return [None] * len(entries)

    async def _try_write(self, entries: list[audit_pb2.AuditEntry]) -> bool:
        try:
            await self._outbox.add(entries)
        except Unavailable:
            return False
        except Exception:  # nobody awaits the answer: say it here
            AUDIT_DROPPED.inc(len(entries))
            log.exception("audit_entries_lost", count=len(entries))
        return True

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
