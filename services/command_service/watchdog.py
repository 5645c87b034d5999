"""The periodic work: recovery, sweeps, sealing of the audit trail, retention. One that fails is tried again later."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from command_service import metrics
from command_service.dispatch import Dispatcher
from command_service.use_cases.assign_vehicles import AssignVehicles
from command_service.use_cases.audit_trail import AuditTrail
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Storage
from command_service.use_cases.recover_commands import RecoverCommands
from service_kit.errors import Unavailable
from service_kit.logging import get_logger

_log = get_logger(__name__)

Answer = TypeVar("Answer")

_LOOK_SECONDS = 1.0
_CLEAN_UP_SECONDS = 60.0
_CLEANED_AT_ONCE = 1000


class Watchdog:
    """Decisions about fates wait one full lease after the start and after every outage of the database, so that
    connectors that were cut off with it can attach and present what they hold first."""

    def __init__(
        self,
        recover: RecoverCommands,
        assign: AssignVehicles,
        dispatcher: Dispatcher,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recover = recover
        self._assign = assign
        self._dispatcher = dispatcher
        self._patience = limits.lease_seconds + limits.lease_grace_seconds
        # What stands still for so long (a database that is paused or fails over never says that it is away, nor does
        # this process) may have cost connectors their lease.
        self._stalled_seconds = limits.lease_seconds / 2
        self._clock = clock
        self._decides_from = math.inf

    async def run(self) -> None:
        """Begins when the database is there, which may be long after the service was made."""
        self._be_patient()
        while True:
            await self.look()
            await self._watched(asyncio.sleep(_LOOK_SECONDS))

    async def look(self) -> None:
        """Once at all that is due."""
        try:
            await self._look()
        except Unavailable as error:
            _log.warning("watchdog_waits", reason=error.message)
            self._be_patient()

    async def _look(self) -> None:
        # Fenced by expiry and dispatch number: right at any time.
        await self._count("expire_waiting", self._recover.expire_waiting)
        await self._count("requeue_unclaimed", self._recover.requeue_unclaimed)
        if self._may_decide():
            await self._count("drop_lapsed_connectors", self._recover.drop_lapsed_connectors)
        if self._may_decide():
            await self._count("decide_overdue", self._recover.decide_overdue)
            await self._recover.repeat_cancels()
        await self._watched(self._assign.assign_unassigned())
        await self._watched(self._dispatcher.sweep())

    async def _count(self, look: str, recover: Callable[[], Awaitable[int]]) -> None:
        changed = await self._watched(recover())
        if changed:
            metrics.RECOVERED.labels(look).inc(changed)
            _log.info("commands_recovered", look=look, commands=changed)

    async def _watched(self, step: Awaitable[Answer]) -> Answer:
        started = self._clock()
        answer = await step
        if self._clock() - started > self._stalled_seconds:
            _log.warning("watchdog_waits", reason="the database, or this process, stood still")
            self._be_patient()
        return answer

    def _be_patient(self) -> None:
        self._decides_from = self._clock() + self._patience

    def _may_decide(self) -> bool:
        return self._clock() >= self._decides_from


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
            while await forget_old_keys(storage):
                pass
            while retention_days and await forget_old_responses(storage, retention_days):
                pass
        except Unavailable as error:
            _log.warning("clean_up_waits", reason=error.message)
        await asyncio.sleep(_CLEAN_UP_SECONDS)


async def forget_old_keys(storage: Storage, at_once: int = _CLEANED_AT_ONCE) -> bool:
    """Whether there may be more."""
    async with storage.transaction() as uow:
        deleted = await uow.idempotency.delete_old(at_once)
        await uow.commit()
    return deleted >= at_once


async def forget_old_responses(storage: Storage, days: float, at_once: int = _CLEANED_AT_ONCE) -> bool:
    """Whether there may be more."""
    async with storage.transaction() as uow:
        before = await uow.clock() - timedelta(days=days)
        deleted = await uow.responses.delete_of_commands_completed_before(before, at_once)
        await uow.commit()
    return deleted > 0
