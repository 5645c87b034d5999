"""Recording results: all that is ready in one transaction, each command's in order, and as its row is at the commit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from command_service.domain import ecu_scan
from command_service.domain.command import Command
from command_service.domain.results import (
    Evidence,
    Outcome,
    OutcomeKind,
    Receipt,
    RecordedResponse,
    Recording,
    Result,
    record,
)
from command_service.domain.vehicle import Ecu
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import command_ended
from command_service.use_cases.decided import decided
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Storage, UnitOfWork


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Results up to `number` of the attempt are safe. `closed`: nobody wants more of it."""

    command_id: str
    attempt: int
    number: int
    closed: bool


class RecordResults:
    def __init__(self, storage: Storage, limits: Limits, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._limits = limits
        self._announcer = announcer
        self._waker = waker

    async def __call__(self, results: Sequence[Result]) -> list[Acknowledgement]:
        """One answer each, in order."""
        acknowledgements, aftermath = await decided(self._storage, partial(self._record, results))
        aftermath.tell()
        return acknowledgements

    async def _record(self, results: Sequence[Result], uow: UnitOfWork) -> tuple[list[Acknowledgement], Aftermath]:
        aftermath = Aftermath(self._announcer, self._waker)
        responses: list[RecordedResponse] = []
        evidence: list[Evidence] = []
        changed: dict[str, Command] = {}
        ended = []
        acknowledgements = []
        commands = await uow.commands.lock({result.command_id for result in results})
        now = await uow.clock()
        for result in results:
            command = commands.get(result.command_id)
            if command is None:
                acknowledgements.append(Acknowledgement(result.command_id, result.attempt, result.number, closed=True))
                continue
            if result.traceparent:
                aftermath.made_by(command, result.traceparent)
            revision = command.revision
            recording = record(command, result, now, self._limits.max_responses_per_command)
            acknowledgements.append(_acknowledge(command, result, recording))
            if recording.evidence:
                evidence.append(recording.evidence)
                if recording.receipt is Receipt.EVIDENCE:
                    aftermath.came_late(command, recording.evidence)
            if recording.response:
                responses.append(recording.response)
                aftermath.response_recorded(command, recording.response)
            if recording.receipt is Receipt.RECORDED or command.revision != revision:
                changed[command.command_id] = command
            if command.revision != revision:
                aftermath.status_changed(command, now)
                if command.status.terminal:
                    ended.append(command_ended(command, now))
        if changed or evidence:
            await uow.scanned_ecus.keep(_scanned(commands, responses))
            await uow.responses.append(responses)
            await uow.evidence.append(evidence)
            await uow.commands.update(list(changed.values()))
            await uow.audit.append(ended)
            await uow.commit()
        return acknowledgements, aftermath


def _scanned(commands: Mapping[str, Command], responses: Iterable[RecordedResponse]) -> dict[str, list[Ecu]]:
    """By vehicle, what scans have just found: it is kept with what tells of it, or neither is."""
    found: dict[str, list[Ecu]] = {}
    for response in responses:
        command = commands[response.command_id]
        if command.command_name == ecu_scan.COMMAND_NAME and response.sequence_number <= ecu_scan.MAX_ECUS:
            ecu = ecu_scan.ecu_found(response.body, response.received_at)
            if ecu is not None:
                found.setdefault(command.vehicle_id, []).append(ecu)
    return found


def _acknowledge(command: Command, result: Result, recording: Recording) -> Acknowledgement:
    number = result.number
    if recording.receipt is Receipt.TOO_EARLY:
        number = command.results_recorded
    return Acknowledgement(
        result.command_id, result.attempt, number, closed=_closes(command, result, recording.receipt)
    )


def _closes(command: Command, result: Result, receipt: Receipt) -> bool:
    """After a timeout that the connector saw, what the vehicle still sends is wanted as evidence."""
    if receipt is Receipt.NOT_THE_CARRIER or (command.status.terminal and not command.wants_evidence(result.attempt)):
        return True
    if receipt is Receipt.TOO_EARLY or not isinstance(result.content, Outcome):
        return False
    return result.content.kind is not OutcomeKind.TIMED_OUT
