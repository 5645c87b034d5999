"""Accepting commands: validate, number, store with key and audit in one transaction.

What may run at once is accepted as dispatched, in the same transaction, which already holds its vehicle's lock; what
has to wait is left to the dispatcher.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from command_service.domain.audit import AuditEntry
from command_service.domain.catalogue import CommandType
from command_service.domain.command import Command, Status
from command_service.domain.lanes import QueueEntry, Verdict, queue_entry, verdicts
from command_service.domain.vehicle import Vehicle
from command_service.use_cases.actor import SUBMITTERS, Actor
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_vehicle, command_submitted
from command_service.use_cases.limits import Limits
from command_service.use_cases.lock_vehicles import vehicle_locked
from command_service.use_cases.parameter_validation import command_type_named, valid_parameters
from command_service.use_cases.ports import AlreadyStored, IdempotencyRecord, Storage, UnitOfWork
from service_kit.errors import Conflict, Forbidden, InvalidInput, LimitExceeded, NotFound, ServiceError

_COMMAND_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a user asks for. `command_params` is JSON text; None means the default; "" means no idempotency key."""

    command_id: str
    vehicle_id: str
    command_name: str
    command_params: str
    actor: Actor
    timeout_seconds: int | None = None
    expires_in_seconds: int | None = None
    priority: int = 0
    idempotency_key: str = ""
    request_hash: bytes = b""
    traceparent: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.actor.user_id, self.idempotency_key


@dataclass(frozen=True, slots=True)
class Checked:
    """A submission whose form is right; whether it is accepted depends on the vehicle and its queue."""

    submission: Submission
    command_type: CommandType
    parameters: Mapping[str, Any]
    timeout_seconds: int
    expires_in_seconds: int


Accepted = tuple[Command, str]
"""The command and the VIN of its vehicle."""

_Queues = dict[str, list[QueueEntry]]
_NOT_ISSUED_YET = 1 << 62


class DispatchPublisher(Protocol):
    """Publishes dispatched commands beside, and takes back those that the broker does not take."""

    @property
    def connected(self) -> bool:
        """Whether it makes sense to dispatch now."""

    def publish(self, commands: Sequence[Command]) -> None: ...


class SubmitCommands:
    def __init__(
        self, storage: Storage, limits: Limits, announcer: Announcer, waker: DispatchWaker, publisher: DispatchPublisher
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._announcer = announcer
        self._waker = waker
        self._publisher = publisher

    async def __call__(self, submissions: Sequence[Submission]) -> list[Accepted | ServiceError]:
        """One answer each, in order. Sending a submission again gives the command that it made the first time."""
        batch = _Batch(len(submissions))
        command_ids: set[str] = set()
        for index, submission in enumerate(submissions):
            try:
                _require_form(submission, command_ids)
                batch.open[index] = self._check(submission)
            except ServiceError as error:
                batch.answers[index] = error
        while batch.open:
            aftermath = Aftermath(self._announcer, self._waker)
            try:
                await self._accept(batch, aftermath)
            except AlreadyStored:
                await self._answer_from_storage(batch)
                continue
            aftermath.tell()
            break
        return batch.finished()

    def _check(self, submission: Submission) -> Checked:
        if submission.actor.role not in SUBMITTERS:
            raise Forbidden("FORBIDDEN", "only an engineer or an admin may send commands")
        command_type = command_type_named(submission.command_name)
        parameters = valid_parameters(command_type, submission.command_params)
        limits = self._limits
        _within("priority", submission.priority, 0, -limits.max_priority, limits.max_priority)
        return Checked(
            submission,
            command_type,
            parameters,
            _within(
                "timeout_seconds",
                submission.timeout_seconds,
                command_type.default_timeout_seconds,
                1,
                limits.max_timeout_seconds,
            ),
            _within(
                "expires_in_seconds",
                submission.expires_in_seconds,
                limits.default_expiry_seconds,
                1,
                limits.max_expiry_seconds,
            ),
        )

    async def _accept(self, batch: "_Batch", aftermath: Aftermath) -> None:
        async with self._storage.transaction() as uow:
            vehicles = await uow.vehicles.lock({checked.submission.vehicle_id for checked in batch.open.values()})
            now = await uow.clock()
            await _answer_repeated_keys(uow, batch, batch.keyed())
            queues = await _queues(uow, vehicles.keys())
            self._admit(batch, vehicles, queues, now)
            if batch.refusals:
                # What was accepted before the vehicle was locked, and is sent again, is not refused.
                await _answer_stored(uow, batch, list(batch.refusals))
            await _reserve_keys(uow, batch, now)
            accepted = [command for command, _ in batch.admitted.values()]
            dispatched = _dispatch(accepted, vehicles, queues, now) if self._publisher.connected else []
            if accepted or batch.refusals:
                # In this order they can travel as one statement.
                await uow.audit.append(
                    [*batch.refusals.values(), *(command_submitted(command, now) for command in accepted)]
                )
                await uow.commands.insert(accepted)
                await uow.commit()
        self._publisher.publish(dispatched)
        for command in accepted:
            if command.status is Status.PENDING:
                aftermath.accepted(command)

    def _admit(self, batch: "_Batch", vehicles: dict[str, Vehicle], queues: "_Queues", now: datetime) -> None:
        pending = {key: sum(entry.status is Status.PENDING for entry in queue) for key, queue in queues.items()}
        for index, checked in batch.unanswered():
            submission = checked.submission
            vehicle = vehicles.get(submission.vehicle_id)
            if vehicle is None:
                batch.answers[index] = NotFound("UNKNOWN_VEHICLE", f"there is no vehicle {submission.vehicle_id}")
            elif submission.idempotency_key and batch.twin_of(index) is not None:
                continue
            elif pending.get(vehicle.vehicle_id, 0) >= self._limits.max_pending_per_vehicle:
                batch.answers[index] = _queue_full(vehicle, self._limits.max_pending_per_vehicle)
            elif _is_locked_out(checked, vehicle, now):
                batch.answers[index] = refusal = vehicle_locked(vehicle)
                batch.refusals[index] = _refused(checked, vehicle, refusal, now)
            else:
                pending[vehicle.vehicle_id] = pending.get(vehicle.vehicle_id, 0) + 1
                batch.admitted[index] = (_new_command(checked, now), vehicle.vin)

    async def _answer_from_storage(self, batch: "_Batch") -> None:
        """A command_id is stored already: the gateway sent it again because an answer was lost."""
        batch.admitted.clear()
        async with self._storage.reading() as uow:
            await _answer_stored(uow, batch, list(batch.open))


class _Batch:
    """The submissions of one call: what is still open, what is admitted, and the answers."""

    def __init__(self, size: int) -> None:
        self.answers: list[Accepted | ServiceError | None] = [None] * size
        self.open: dict[int, Checked] = {}
        self.admitted: dict[int, Accepted] = {}
        # What of the answers goes into the audit trail.
        self.refusals: dict[int, AuditEntry] = {}

    def unanswered(self) -> list[tuple[int, Checked]]:
        return [(index, checked) for index, checked in self.open.items() if self.answers[index] is None]

    def twin_of(self, index: int) -> int | None:
        """An admitted submission of the same batch with the same key."""
        key = self.open[index].submission.key
        return next((other for other in self.admitted if self.open[other].submission.key == key), None)

    def keyed(self) -> list[tuple[int, Checked]]:
        return [(index, checked) for index, checked in self.unanswered() if checked.submission.idempotency_key]

    def finished(self) -> list[Accepted | ServiceError]:
        for index in self.open:
            if self.answers[index] is None and index not in self.admitted:
                twin = self.twin_of(index)
                assert twin is not None, "every open submission is admitted, answered or a twin"
                first, second = self.open[twin].submission, self.open[index].submission
                same = first.request_hash == second.request_hash
                self.answers[index] = self.admitted[twin] if same else _key_conflict(second)
        return [answer or self.admitted[index] for index, answer in enumerate(self.answers)]


async def _answer_stored(uow: UnitOfWork, batch: _Batch, indexes: Sequence[int]) -> None:
    """Those of these submissions whose command is stored already."""
    known = await uow.commands.get([batch.open[index].submission.command_id for index in indexes])
    vins = await uow.vehicles.vins({command.vehicle_id for command in known.values()})
    for index in indexes:
        submission = batch.open[index].submission
        command = known.get(submission.command_id)
        if command is None:
            continue
        if command.user_id != submission.actor.user_id:
            batch.answers[index] = Conflict("COMMAND_ID_TAKEN", "another command has this command_id")
        else:
            batch.answers[index] = (command, vins[command.vehicle_id])
        batch.refusals.pop(index, None)
        del batch.open[index]


async def _queues(uow: UnitOfWork, vehicle_ids: Collection[str]) -> "_Queues":
    """The open commands of each vehicle."""
    queues: _Queues = {vehicle_id: [] for vehicle_id in vehicle_ids}
    for entry in await uow.commands.open_of_vehicles(vehicle_ids):
        queues[entry.vehicle_id].append(entry)
    return queues


def _dispatch(
    accepted: Sequence[Command], vehicles: dict[str, Vehicle], queues: "_Queues", now: datetime
) -> list[Command]:
    """Commits to their connectors those of the new commands that may run now; returns them."""
    new = {command.command_id: command for command in accepted}
    for place, command in enumerate(accepted):
        # Their numbers are issued at the insert, in this order and above all that are stored.
        queues[command.vehicle_id].append(queue_entry(command, accept_number=_NOT_ISSUED_YET + place))
    dispatched = []
    for vehicle_id in dict.fromkeys(command.vehicle_id for command in accepted):
        vehicle = vehicles[vehicle_id]
        for command_id, verdict in verdicts(
            queues[vehicle_id], now, reachable=vehicle.reachable, lock=vehicle.lock
        ).items():
            if verdict is Verdict.RUN and command_id in new:
                new[command_id].dispatch(vehicle.connector_id or "", vehicle.session_epoch, now)
                dispatched.append(new[command_id])
    return dispatched


async def _answer_repeated_keys(uow: UnitOfWork, batch: _Batch, keyed: list[tuple[int, Checked]]) -> None:
    if not keyed:
        return
    known = await uow.idempotency.find({checked.submission.key for _, checked in keyed})
    commands = await uow.commands.get({record.command_id for record in known.values()})
    vins = await uow.vehicles.vins({command.vehicle_id for command in commands.values()})
    for index, checked in keyed:
        record = known.get(checked.submission.key)
        if record is None:
            continue
        if record.request_hash != checked.submission.request_hash:
            batch.answers[index] = _key_conflict(checked.submission)
        else:
            command = commands[record.command_id]
            batch.answers[index] = (command, vins[command.vehicle_id])


async def _reserve_keys(uow: UnitOfWork, batch: _Batch, now: datetime) -> None:
    keyed = {checked.submission.key: (index, checked) for index, checked in batch.keyed() if index in batch.admitted}
    if not keyed:
        return
    stored = await uow.idempotency.put(
        [
            IdempotencyRecord(
                *key,
                request_hash=checked.submission.request_hash,
                command_id=checked.submission.command_id,
                created_at=now,
            )
            for key, (_, checked) in keyed.items()
        ]
    )
    if len(stored) < len(keyed):
        # Another replica took a key in this very moment: what it stored is visible now.
        lost = [(index, checked) for index, checked in batch.keyed() if checked.submission.key not in stored]
        for index, _ in lost:
            batch.admitted.pop(index, None)
        await _answer_repeated_keys(uow, batch, lost)


def _new_command(checked: Checked, now: datetime) -> Command:
    submission, command_type = checked.submission, checked.command_type
    lane, exclusive = command_type.lane(submission.vehicle_id, checked.parameters)
    return Command(
        command_id=submission.command_id,
        vehicle_id=submission.vehicle_id,
        command_name=command_type.name,
        command_params=submission.command_params or "{}",
        command_class=command_type.command_class,
        repeatable=command_type.repeatable,
        lane=lane,
        exclusive=exclusive,
        priority=submission.priority,
        user_id=submission.actor.user_id,
        username=submission.actor.username,
        timeout_seconds=checked.timeout_seconds,
        created_at=now,
        expires_at=now + timedelta(seconds=checked.expires_in_seconds),
        traceparent=submission.traceparent,
        stream_duration_ms=command_type.stream_duration_ms(checked.parameters),
    )


def _require_form(submission: Submission, command_ids: set[str]) -> None:
    """Raises InvalidInput for what the storage would refuse, and with it the whole batch."""
    command_id, actor = submission.command_id, submission.actor
    if _COMMAND_ID.fullmatch(command_id) is None:
        raise InvalidInput("VALIDATION_FAILED", f"command_id must be a UUID in lower case, not {command_id[:50]!r}")
    if command_id in command_ids:
        raise InvalidInput("VALIDATION_FAILED", f"command_id {command_id} occurs twice in one call")
    command_ids.add(command_id)
    if "\0" in "".join((actor.user_id, actor.username, submission.idempotency_key, submission.traceparent)):
        raise InvalidInput("VALIDATION_FAILED", "a submission must not contain NUL characters")


def _within(name: str, value: int | None, default: int, least: int, most: int) -> int:
    if value is None:
        return min(default, most)
    if not least <= value <= most:
        raise InvalidInput("VALIDATION_FAILED", f"{name} must be from {least} to {most}, not {value}")
    return value


def _queue_full(vehicle: Vehicle, limit: int) -> ServiceError:
    return LimitExceeded(
        "VEHICLE_QUEUE_FULL", f"vehicle {vehicle.vin} has {limit} waiting commands, the most allowed", {"limit": limit}
    )


def _is_locked_out(checked: Checked, vehicle: Vehicle, now: datetime) -> bool:
    user_id, command_class = checked.submission.actor.user_id, checked.command_type.command_class
    return vehicle.lock is not None and vehicle.lock.holds_back(user_id, command_class, now)


def _refused(checked: Checked, vehicle: Vehicle, refusal: ServiceError, now: datetime) -> AuditEntry:
    return about_vehicle(
        "command.refused",
        vehicle.vehicle_id,
        now,
        checked.submission.actor,
        outcome="refused",
        code=refusal.code,
        **refusal.details,
        command_name=checked.command_type.name,
        command_params=checked.submission.command_params,
    )


def _key_conflict(submission: Submission) -> ServiceError:
    return Conflict(
        "IDEMPOTENCY_CONFLICT",
        f"Idempotency-Key {submission.idempotency_key!r} was used within 24 h for a different request",
    )
