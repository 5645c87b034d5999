"""Claims: a connector asks before the vehicle sees a command; the granting write is `in_progress`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from command_service.domain.command import ClaimRefusal
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import command_handed_over
from command_service.use_cases.decided import decided
from command_service.use_cases.ports import ClaimContext, Storage, UnitOfWork


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    command_id: str
    dispatch_number: int
    session_epoch: int
    connector_id: str


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """`attempt` is 0 when refused. `expires_in`: how long it may still be handed over."""

    request: ClaimRequest
    attempt: int = 0
    expires_in: timedelta = timedelta(0)
    refusal: ClaimRefusal | None = None


class ClaimCommands:
    def __init__(self, storage: Storage, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._announcer = announcer
        self._waker = waker

    async def __call__(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        """One answer each, in order."""
        answers, aftermath = await decided(self._storage, partial(self._answer, requests))
        aftermath.tell()
        return answers

    async def _answer(self, requests: Sequence[ClaimRequest], uow: UnitOfWork) -> tuple[list[ClaimAnswer], Aftermath]:
        aftermath = Aftermath(self._announcer, self._waker)
        granted = {}
        answers = []
        entries = []
        contexts = await uow.commands.lock_for_claim({request.command_id for request in requests})
        now = await uow.clock()
        for request in requests:
            context = contexts.get(request.command_id)
            if context is None:
                answers.append(ClaimAnswer(request, refusal=ClaimRefusal.UNKNOWN))
                continue
            command, revision = context.command, context.command.revision
            refusal = _decide(context, request, now)
            if refusal is not None:
                answers.append(ClaimAnswer(request, refusal=refusal))
                continue
            answers.append(ClaimAnswer(request, command.attempt, command.expires_at - now))
            granted[command.command_id] = command
            if command.revision == revision:
                continue  # granted before to this very connector
            aftermath.status_changed(command, now)
            if not command.repeatable:
                entries.append(command_handed_over(command, now))
        if granted:
            await uow.commands.update(list(granted.values()))
            await uow.audit.append(entries)
            await uow.commit()
        return answers, aftermath


def _decide(context: ClaimContext, request: ClaimRequest, now: datetime) -> ClaimRefusal | None:
    if context.lease_until is None or now >= context.lease_until:
        return ClaimRefusal.LEASE_LAPSED
    if (context.vehicle_connector_id, context.vehicle_session_epoch) != (request.connector_id, request.session_epoch):
        return ClaimRefusal.SESSION_SUPERSEDED
    return context.command.claim(request.dispatch_number, request.connector_id, request.session_epoch, now)
