"""Accepting commands: validate, number, store with key and audit in one transaction.

What may run at once is accepted as dispatched, in the same transaction; what has to wait is left to the dispatcher. It
is decided without locks first, by what was read, which the transaction verifies under its vehicles' locks as it stores.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Command, Status
from command_service.domain.lanes import Verdict, queue_entry, verdicts
from command_service.domain.vehicle import Vehicle
from command_service.use_cases.actor import SUBMITTERS
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_vehicle, command_submitted
from command_service.use_cases.limits import Limits
from command_service.use_cases.lock_vehicles import vehicle_locked
from command_service.use_cases.parameter_validation import check_pace, command_type_named, valid_parameters
from command_service.use_cases.ports import AlreadyStored, IdempotencyRecord, Overtaken, Queues, Storage, UnitOfWork
from command_service.use_cases.submission_batch import Accepted, Checked, Submission, SubmissionBatch, key_conflict
from service_kit.errors import Conflict, Forbidden, InvalidInput, LimitExceeded, NotFound, ServiceError

_COMMAND_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

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
        batch = SubmissionBatch(len(submissions))
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
        timeout_seconds = _within(
            "timeout_seconds",
            submission.timeout_seconds,
            command_type.default_timeout_seconds,
            1,
            limits.max_timeout_seconds,
        )
        check_pace(command_type, parameters, timeout_seconds)
        return Checked(
            submission,
            command_type,
            parameters,
            timeout_seconds,
            _within(
                "expires_in_seconds",
                submission.expires_in_seconds,
                limits.default_expiry_seconds,
                1,
                limits.max_expiry_seconds,
            ),
        )

    async def _accept(self, batch: SubmissionBatch, aftermath: Aftermath) -> None:
        try:
            async with self._storage.optimistic() as uow:
                dispatched = await self._accept_what_is_plain(uow, batch)
        except Overtaken:
            batch.begin_again()
            async with self._storage.transaction() as uow:
                dispatched = await self._accept_with_locks(uow, batch)
        self._publisher.publish(dispatched)
        for command in batch.accepted():
            if command.status is Status.PENDING:
                aftermath.accepted(command)

    async def _accept_what_is_plain(self, uow: UnitOfWork, batch: SubmissionBatch) -> list[Command]:
        """In two round trips: all are admitted and all keys are new, else it raises Overtaken."""
        vehicles, queues = await uow.queues.with_vehicles(batch.vehicle_ids())
        now = await uow.clock()
        self._admit(batch, vehicles, queues, now)
        if len(batch.admitted) < len(batch.open):
            raise Overtaken
        keys = _keys(batch, now)
        if len(await uow.idempotency.put(keys)) < len(keys):
            raise Overtaken
        return await self._store(uow, batch, vehicles, queues, now)

    async def _accept_with_locks(self, uow: UnitOfWork, batch: SubmissionBatch) -> list[Command]:
        vehicles = await uow.vehicles.lock(batch.vehicle_ids())
        now = await uow.clock()
        await _answer_repeated_keys(uow, batch, batch.keyed())
        queues = await _queues(uow, vehicles.keys())
        self._admit(batch, vehicles, queues, now)
        if refused := batch.refused():
            # What was accepted before, and is sent again, is not refused: it may itself have filled the queue.
            await _answer_stored(uow, batch, refused)
        await _reserve_keys(uow, batch, now)
        return await self._store(uow, batch, vehicles, queues, now)

    async def _store(
        self, uow: UnitOfWork, batch: SubmissionBatch, vehicles: dict[str, Vehicle], queues: Queues, now: datetime
    ) -> list[Command]:
        """Of what is admitted, those that are dispatched at once."""
        accepted = batch.accepted()
        dispatched = _dispatch(accepted, vehicles, queues, now) if self._publisher.connected else []
        if accepted or batch.refusals:
            # In this order they can travel as one statement.
            await uow.audit.append(
                [*batch.refusals.values(), *(command_submitted(command, now) for command in accepted)]
            )
            await uow.commands.insert(accepted)
            await uow.commit()
        return dispatched

    def _admit(self, batch: SubmissionBatch, vehicles: dict[str, Vehicle], queues: Queues, now: datetime) -> None:
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

    async def _answer_from_storage(self, batch: SubmissionBatch) -> None:
        """A command_id is stored already: the gateway sent it again because an answer was lost."""
        batch.admitted.clear()
        async with self._storage.reading() as uow:
            await _answer_stored(uow, batch, list(batch.open))


async def _answer_stored(uow: UnitOfWork, batch: SubmissionBatch, indexes: Sequence[int]) -> None:
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


async def _queues(uow: UnitOfWork, vehicle_ids: Collection[str]) -> Queues:
    """The open commands of each vehicle."""
    queues: Queues = {vehicle_id: [] for vehicle_id in vehicle_ids}
    for entry in await uow.queues.open_of_vehicles(vehicle_ids):
        queues[entry.vehicle_id].append(entry)
    return queues


def _dispatch(
    accepted: Sequence[Command], vehicles: dict[str, Vehicle], queues: Queues, now: datetime
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


async def _answer_repeated_keys(uow: UnitOfWork, batch: SubmissionBatch, keyed: list[tuple[int, Checked]]) -> None:
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
            batch.answers[index] = key_conflict(checked.submission)
        else:
            command = commands[record.command_id]
            batch.answers[index] = (command, vins[command.vehicle_id])


async def _reserve_keys(uow: UnitOfWork, batch: SubmissionBatch, now: datetime) -> None:
    keys = _keys(batch, now)
    stored = await uow.idempotency.put(keys)
    if len(stored) < len(keys):
        # Another replica took a key in this very moment: what it stored is visible now.
        lost = [(index, checked) for index, checked in batch.keyed() if checked.submission.key not in stored]
        for index, _ in lost:
            batch.admitted.pop(index, None)
        await _answer_repeated_keys(uow, batch, lost)


def _keys(batch: SubmissionBatch, now: datetime) -> list[IdempotencyRecord]:
    """The keys of what is admitted."""
    admitted = (checked.submission for index, checked in batch.keyed() if index in batch.admitted)
    return [
        IdempotencyRecord(*one.key, request_hash=one.request_hash, command_id=one.command_id, created_at=now)
        for one in admitted
    ]


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
