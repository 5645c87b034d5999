"""The periodic work: recovery, sweeps, sealing of the audit trail, retention. One that fails is tried again later."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from command_service import metrics
from command_service.dispatch import Dispatcher
from command_service.use_cases.audit_trail import AuditTrail
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Storage
from command_service.use_cases.recover_commands import RecoverCommands
from service_kit.errors import Unavailable
from service_kit.logging import get_logger

_log = get_logger(__name__)

_LOOK_SECONDS = 1.0
_CLEAN_UP_SECONDS = 60.0
_CLEANED_AT_ONCE = 1000


class Watchdog:
    """Decisions about fates wait one full lease after the start and after every outage of the database, so that
    connectors that were cut off with it can attach and present what they hold first."""

    def __init__(self, recover: RecoverCommands, dispatcher: Dispatcher, limits: Limits) -> None:
        self._recover = recover
        self._dispatcher = dispatcher
        self._patience = limits.lease_seconds + limits.lease_grace_seconds
        self._decides_from = time.monotonic() + self._patience

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except Unavailable as error:
                _log.warning("watchdog_waits", reason=error.message)
                self._decides_from = time.monotonic() + self._patience
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        # Fenced by expiry and dispatch number: right at any time.
        await self._count("expire_waiting", self._recover.expire_waiting)
        await self._count("requeue_unclaimed", self._recover.requeue_unclaimed)
        if time.monotonic() >= self._decides_from:
            await self._count("drop_lapsed_connectors", self._recover.drop_lapsed_connectors)
            await self._count("decide_overdue", self._recover.decide_overdue)
            await self._count("repeat_cancels", self._recover.repeat_cancels)
        await self._dispatcher.sweep()

    async def _count(self, look: str, recover: Callable[[], Awaitable[int]]) -> None:
        changed = await recover()
        if changed:
            metrics.RECOVERED.labels(look).inc(changed)
            _log.info("commands_recovered", look=look, commands=changed)


async def keep_sealing(audit: AuditTrail) -> None:
    """Chains new audit entries about once a second."""
    while True:
        try:
            sealed = await audit.seal()
        except Unavailable:
            sealed = 0
        # Under load every look finds some; a pause keeps the sealer from taking a turn in every moment.
        await asyncio.sleep(_LOOK_SECONDS if sealed < _CLEANED_AT_ONCE else 0.1)


async def keep_clean(storage: Storage, retention_days: int) -> None:
    """Forgets idempotency keys past their day and, where set, responses past their retention, in small batches."""
    while True:
        try:
            await _clean(storage, retention_days)
        except Unavailable as error:
            _log.warning("clean_up_waits", reason=error.message)
        await asyncio.sleep(_CLEAN_UP_SECONDS)


async def _clean(storage: Storage, retention_days: int) -> None:
    async with storage.transaction() as uow:
        await uow.idempotency.delete_old(_CLEANED_AT_ONCE)
        await uow.commit()
    if retention_days:
        async with storage.transaction() as uow:
            before = datetime.now(UTC) - timedelta(days=retention_days)
            await uow.responses.delete_of_commands_completed_before(before, _CLEANED_AT_ONCE)
            await uow.commit()
