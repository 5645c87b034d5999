"""Reading commands, their responses and evidence, and what a viewer does not have yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from command_service.domain.command import Command, CommandClass, Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.events import ViewerEvent, response_event, status_event
from command_service.domain.results import Evidence, RecordedResponse
from command_service.use_cases.cursors import decode_int, encode_cursor
from command_service.use_cases.ports import NEVER, CommandFilter, Storage, UnitOfWork
from service_kit.errors import NotFound

# One answer stays well under gRPC's message limit, however long the responses are.
_MAX_ANSWER_CHARACTERS = 4_000_000
# Many viewers that are behind share one read: each gets its part, and asks again.
_UPDATES_EACH = 200
_UPDATES_AT_ONCE = 2000

Sized = TypeVar("Sized", RecordedResponse, Evidence)


@dataclass(frozen=True, slots=True)
class KnownState:
    """What a viewer has: the number of its last response and the revision of its last status."""

    command_id: str
    after: int
    revision: int


@dataclass(frozen=True, slots=True)
class Updates:
    """`command` is None when there is no such command. `has_more`: ask again from where the events end."""

    command_id: str
    command: Command | None
    events: list[ViewerEvent]
    has_more: bool = False


Found = tuple[Command, str, DiagnosticLock | None]
"""A command, the VIN of its vehicle, and the lock that holds it back."""


class ReadCommands:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def get(self, command_id: str) -> Found:
        """Raises NotFound."""
        async with self._storage.reading() as uow:
            command = (await uow.commands.get([command_id])).get(command_id)
            if command is None:
                raise _unknown(command_id)
            return (await _with_vehicles(uow, [command]))[0]

    async def page(self, filter_: CommandFilter, limit: int, cursor: str) -> tuple[list[Found], str]:
        """Newest first, and the next cursor ("" at the end)."""
        before = decode_int(cursor)
        async with self._storage.reading() as uow:
            commands = await uow.commands.page(filter_, limit + 1, before)
            page = await _with_vehicles(uow, commands[:limit])
        return page, encode_cursor(page[-1][0].accept_number) if len(commands) > limit else ""

    async def responses(self, command_id: str, after: int, limit: int) -> tuple[list[RecordedResponse], bool]:
        """Responses in order, and whether there are more. Raises NotFound."""
        async with self._storage.reading() as uow:
            if not await uow.commands.get([command_id]):
                raise _unknown(command_id)
            found = await uow.responses.page(command_id, after, limit + 1)
        fitting = _fitting(found[:limit])
        return fitting, len(found) > len(fitting)

    async def evidence(self, command_id: str, limit: int, cursor: str) -> tuple[list[Evidence], str]:
        """Late results, oldest first, and the next cursor. Raises NotFound."""
        after = decode_int(cursor) or 0
        async with self._storage.reading() as uow:
            if not await uow.commands.get([command_id]):
                raise _unknown(command_id)
            found = await uow.evidence.page(command_id, limit + 1, after)
        page = _fitting(found[:limit])
        return page, encode_cursor(page[-1].evidence_id) if len(found) > len(page) else ""

    async def updates(self, known: Sequence[KnownState]) -> list[Updates]:
        """For each viewer what it does not have, in order: responses, then the status that counts them."""
        async with self._storage.reading() as uow:
            commands = await uow.commands.get({state.command_id for state in known})
            behind = {
                (state.command_id, state.after)
                for state in known
                if state.command_id in commands and commands[state.command_id].responses > state.after
            }
            responses = await _responses_after(uow, behind)
        room = _MAX_ANSWER_CHARACTERS
        answers = []
        for state in known:
            update = _updates_for(
                state, commands.get(state.command_id), responses.get((state.command_id, state.after), []), room
            )
            room -= sum(len(event.json) for event in update.events)
            answers.append(update)
        return answers


async def _with_vehicles(uow: UnitOfWork, commands: Sequence[Command]) -> list[Found]:
    vins = await uow.vehicles.vins({command.vehicle_id for command in commands})
    waiting = {command.vehicle_id for command in commands if _may_be_held_back(command)}
    vehicles = await uow.vehicles.get(waiting) if waiting else {}
    locks = {vehicle_id: vehicle.lock for vehicle_id, vehicle in vehicles.items() if vehicle.lock is not None}
    now = await uow.clock() if locks else NEVER
    return [(command, vins[command.vehicle_id], _held_back_by(command, locks, now)) for command in commands]


def _may_be_held_back(command: Command) -> bool:
    return command.status is Status.PENDING and command.command_class != CommandClass.READ


def _held_back_by(command: Command, locks: Mapping[str, DiagnosticLock], now: datetime) -> DiagnosticLock | None:
    lock = locks.get(command.vehicle_id) if _may_be_held_back(command) else None
    return lock if lock is not None and lock.holds_back(command.user_id, command.command_class, now) else None


async def _responses_after(
    uow: UnitOfWork, behind: set[tuple[str, int]]
) -> dict[tuple[str, int], list[RecordedResponse]]:
    """By (command_id, after). One read serves all, unless viewers of one command are at different places."""
    found = {}
    each = max(1, min(_UPDATES_EACH, _UPDATES_AT_ONCE // max(1, len(behind))))
    while behind:
        after_of = dict(behind)
        for command_id, responses in (await uow.responses.after_each(list(after_of.items()), each)).items():
            found[command_id, after_of[command_id]] = responses
        behind = behind - set(after_of.items())
    return found


def _updates_for(
    state: KnownState, command: Command | None, responses: Sequence[RecordedResponse], room: int
) -> Updates:
    if command is None:
        return Updates(state.command_id, None, [])
    # Committed after the command was read: counted by a status to come.
    counted = [one for one in responses if state.after < one.sequence_number <= command.responses]
    fitting = _fitting(counted, room, at_least_one=room == _MAX_ANSWER_CHARACTERS)
    events = [response_event(response) for response in fitting]
    forgotten = not counted and command.responses > state.after  # by retention: there is nothing more to wait for
    complete = forgotten or state.after + len(fitting) >= command.responses
    if complete and command.revision > state.revision:
        at = command.completed_at or command.started_at or command.dispatched_at or command.created_at
        status = status_event(command, at)
        events.append(replace(status, responses=state.after) if forgotten else status)
    return Updates(state.command_id, command, events, has_more=not complete)


def _fitting(found: Sequence[Sized], room: int = _MAX_ANSWER_CHARACTERS, *, at_least_one: bool = True) -> list[Sized]:
    """The first of them that fit into an answer; where one has to come, it comes however long it is."""
    fitting: list[Sized] = []
    for one in found:
        room -= len(one.body)
        if room < 0 and not (at_least_one and not fitting):
            break
        fitting.append(one)
    return fitting


def _unknown(command_id: str) -> NotFound:
    return NotFound("UNKNOWN_COMMAND", f"there is no command {command_id}")
