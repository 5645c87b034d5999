"""Commands: one row each, from acceptance to the end and after."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Select,
    Subquery,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql

from command_service.domain.command import ACTIVE, WAITING, Command, Status
from command_service.domain.lanes import QueueEntry
from command_service.storage.session import (
    InsertRows,
    Session,
    UpdateRows,
    UpdateUnchanged,
    already_stored,
    as_arrays,
    at_most,
    columns_of,
    given_rows,
    identifiers,
    is_identifier,
    is_value,
    storable,
    version_of,
)
from command_service.storage.tables import commands, connectors, vehicles
from command_service.use_cases.ports import ClaimContext, CommandFilter
from service_kit.database import any_of, db_now

_FIELDS = [field.name for field in fields(Command)]
_STATUS = _FIELDS.index("status")
# From the status on it is what a transition can change.
_CHANGING = _FIELDS[_STATUS:]
# An acceptance that dispatches at once sets these; in all others new commands are alike.
_AT_DISPATCH = ["status", "revision", "dispatch_number", "connector_id", "session_epoch", "dispatched_at"]
_SETTLED = [*(name for name in _FIELDS[:_STATUS] if name != "accept_number"), *_AT_DISPATCH]
_AT_FIRST = {field.name: field.default for field in fields(Command)[_STATUS:] if field.name not in _AT_DISPATCH}
_STATUSES = {status.value: status for status in Status}

_is_open = commands.c.completed_at.is_(None)
_is_active = commands.c.active_lane.is_not(None)
_is_pending = and_(_is_open, commands.c.active_lane.is_(None))

command_columns = columns_of(commands, _FIELDS)
_get = select(*command_columns).where(any_of(commands.c.command_id, "ids"))
# The clock is read outside, so after the locks were waited for. In key order, so that two never wait for each other.
_locked = _get.order_by(commands.c.command_id).with_for_update(key_share=True).subquery("locked")
_lock = select(*_locked.c, db_now().label("now"))
_as_read = _get.add_columns(version_of(commands).label("version")).subquery("as_read")
_lock_optimistically = select(*_as_read.c, db_now().label("now"))


def _for_claim(found: Subquery) -> Select[Any]:
    together = found.join(vehicles, vehicles.c.vehicle_id == found.c.vehicle_id).outerjoin(
        connectors, connectors.c.connector_id == found.c.connector_id
    )
    beside = (vehicles.c.session_epoch, vehicles.c.connector_id, connectors.c.lease_until)
    return select(*found.c, db_now().label("now"), *beside).select_from(together)


_lock_for_claim = _for_claim(_locked)
_lock_for_claim_optimistically = _for_claim(_as_read)

# The order of the arrays is the order in which numbers are issued. In most columns all commands begin alike, and only
# the others travel.
_settled_columns = columns_of(commands, _SETTLED)
_at_first = [literal(value, commands.c[name].type) for name, value in _AT_FIRST.items()]
_insert_arrays = (
    postgresql.insert(commands)
    .from_select([*_SETTLED, *_AT_FIRST], select(given_rows(_settled_columns), *_at_first))
    .returning(commands.c.command_id, commands.c.accept_number)
)
_insert_rows = InsertRows(commands, _settled_columns, constants=_AT_FIRST)
_accept_numbers = select(commands.c.command_id, commands.c.accept_number).where(any_of(commands.c.command_id, "ids"))
_settled_values = attrgetter(*_SETTLED)

_changing_values = attrgetter(*_CHANGING)


@lru_cache
def _update_of(names: tuple[str, ...], kind: type[UpdateRows]) -> UpdateRows:
    return kind(commands, columns_of(commands, ["command_id", *names]))


_queue_fields = [field.name for field in fields(QueueEntry)]
_open_of_vehicles = select(*columns_of(commands, _queue_fields)).where(any_of(commands.c.vehicle_id, "ids"), _is_open)
_QUEUE_STATUS = _queue_fields.index("status")
_has_open = (
    select(commands.c.command_id).where(commands.c.vehicle_id == bindparam("vehicle_id"), _is_open).limit(at_most(1))
)
_in_progress_on = select(commands.c.command_id).where(any_of(commands.c.vehicle_id, "ids"), _is_open, _is_active)

_limit: ColumnElement[int] = bindparam("limit", type_=Integer())
_expired = (
    select(commands.c.command_id)
    .where(
        _is_open, or_(*(commands.c.status == status for status in sorted(WAITING))), commands.c.expires_at <= db_now()
    )
    .order_by(commands.c.expires_at)
    .limit(_limit)
)


def _ago(parameter: str) -> ColumnElement[datetime]:
    return db_now(bindparam(parameter, type_=Float()))


# Few commands are active at a time, so the index of the lanes in use finds them all.
_unclaimed = (
    select(commands.c.command_id)
    .where(_is_active, commands.c.status == Status.DISPATCHED, commands.c.dispatched_at < _ago("age"))
    .limit(_limit)
)
_overdue = (
    select(commands.c.command_id)
    .where(
        _is_active,
        commands.c.status == Status.IN_PROGRESS,
        or_(
            commands.c.session_lost_at < _ago("session_age"),
            and_(commands.c.session_lost_at.is_(None), commands.c.deadline_at < _ago("deadline_age")),
        ),
    )
    .limit(_limit)
)
_cancels_unanswered = (
    select(*command_columns)
    .where(_is_active, commands.c.status == Status.IN_PROGRESS, commands.c.cancel_requested_at < _ago("age"))
    .order_by(commands.c.cancel_requested_at)
    .limit(_limit)
)

_other = commands.alias("other")
_blocked = or_(
    exists().where(_other.c.active_lane == commands.c.lane),
    exists().where(
        _other.c.vehicle_id == commands.c.vehicle_id,
        _other.c.completed_at.is_(None),
        _other.c.active_lane.is_not(None),
        _other.c.exclusive,
    ),
)
_runnable = select(vehicles.c.vehicle_id).where(
    vehicles.c.connector_id.is_not(None),
    vehicles.c.connection_status == "online",
    vehicles.c.deleted_at.is_(None),
    exists().where(
        commands.c.vehicle_id == vehicles.c.vehicle_id,
        _is_pending,
        commands.c.expires_at > db_now(),
        ~_blocked,
    ),
)
_with_runnable_work = _runnable.limit(_limit)
_runnable_among = _runnable.where(any_of(vehicles.c.vehicle_id, "ids"))

# A command's time of acceptance is read and its number issued in one transaction, so that of two commands further apart
# than this the later one has the higher number: times bound the numbers to look at.
_NUMBERS_FOLLOW_TIME_WITHIN = timedelta(minutes=2)


class SqlCommandRepository:
    def __init__(self, session: Session) -> None:
        self._session = session
        # What can change, of each command that this transaction holds the lock of, as the database has it.
        self._locked_as: dict[str, tuple[Any, ...]] = {}
        # Of an optimistic unit of work: which version of the row that was.
        self._versions: dict[str, str] = {}

    async def insert(self, new: Sequence[Command]) -> None:
        if not new:
            return
        rows = [_settled_values(command) for command in new]
        with already_stored("command_id"):
            if self._session.sqlite:
                await _insert_rows(self._session, rows)
                issued = await self._session.rows(_accept_numbers, {"ids": [command.command_id for command in new]})
            else:
                issued = await self._session.returning(_insert_arrays, as_arrays(_settled_columns, rows))
        numbers: dict[str, int] = dict(issued)
        for command in new:
            command.accept_number = numbers[command.command_id]

    async def get(self, command_ids: Collection[str]) -> dict[str, Command]:
        ids = identifiers(command_ids)
        if not ids:
            return {}
        return {command.command_id: command for command in await self._commands(_get, {"ids": ids})}

    async def lock(self, command_ids: Collection[str]) -> dict[str, Command]:
        locked = {}
        query = _lock_optimistically if self._session.optimistic else _lock
        for *values, now in await self._locked(query, command_ids):
            command = self._take(values, now)
            locked[command.command_id] = command
        return locked

    async def lock_for_claim(self, command_ids: Collection[str]) -> dict[str, ClaimContext]:
        locked = {}
        query = _lock_for_claim_optimistically if self._session.optimistic else _lock_for_claim
        for *values, now, epoch, connector_id, lease_until in await self._locked(query, command_ids):
            command = self._take(values, now)
            locked[command.command_id] = ClaimContext(command, epoch, connector_id, lease_until)
        return locked

    async def update(self, changed: Sequence[Command]) -> None:
        if not changed:
            return
        for command in changed:
            command.error_code, command.error_message = storable(command.error_code), storable(command.error_message)
        after = [_changing_values(command) for command in changed]
        before = [self._locked_as.get(command.command_id) for command in changed]
        # A transition changes a few of the columns: only what differs from what was locked travels.
        old: Iterable[Any] = [None] * len(_CHANGING) if None in before else zip(*before, strict=True)
        columns = zip(_CHANGING, zip(*after, strict=True), old, strict=True)
        differing = {name: new for name, new, was in columns if new != was}
        if not differing:
            return
        ids = [command.command_id for command in changed]
        if self._session.optimistic:
            update = _update_of(tuple(differing), UpdateUnchanged)
            versions = [self._versions[command_id] for command_id in ids]
            await update(self._session, list(zip(ids, *differing.values(), versions, strict=True)))
        else:
            update = _update_of(tuple(differing), UpdateRows)
            await update(self._session, list(zip(ids, *differing.values(), strict=True)))
        self._locked_as.update(zip(ids, after, strict=True))

    async def open_of_vehicles(self, vehicle_ids: Collection[str]) -> list[QueueEntry]:
        ids = identifiers(vehicle_ids)
        if not ids:
            return []
        return [_queue_entry(row) for row in await self._session.rows(_open_of_vehicles, {"ids": ids})]

    async def has_open(self, vehicle_id: str) -> bool:
        if not is_identifier(vehicle_id):
            return False
        return bool(await self._session.rows(_has_open, {"vehicle_id": vehicle_id}))

    async def vehicles_with_runnable_work(self, limit: int) -> list[str]:
        return await self._ids(_with_runnable_work, limit=limit)

    async def runnable_among(self, vehicle_ids: Collection[str]) -> list[str]:
        ids = identifiers(vehicle_ids)
        return await self._ids(_runnable_among, ids=ids) if ids else []

    async def in_progress_on(self, vehicle_ids: Collection[str]) -> list[str]:
        ids = identifiers(vehicle_ids)
        return await self._ids(_in_progress_on, ids=ids) if ids else []

    async def expired(self, limit: int) -> list[str]:
        return await self._ids(_expired, limit=limit)

    async def unclaimed(self, older_than_seconds: float, limit: int) -> list[str]:
        return await self._ids(_unclaimed, age=-older_than_seconds, limit=limit)

    async def overdue(self, deadline_grace_seconds: float, session_grace_seconds: float, limit: int) -> list[str]:
        ages = {"deadline_age": -deadline_grace_seconds, "session_age": -session_grace_seconds}
        return await self._ids(_overdue, **ages, limit=limit)

    async def cancels_unanswered(self, older_than_seconds: float, limit: int) -> list[Command]:
        return list(await self._commands(_cancels_unanswered, {"age": -older_than_seconds, "limit": limit}))

    async def page(self, filter_: CommandFilter, limit: int, before: int | None) -> list[Command]:
        conditions = list(conditions_of(filter_, before))
        if not filter_.statuses:
            return list(await self._commands(_newest(conditions, limit), {}))
        # One look per status: each has an index that gives it newest first.
        statuses = sorted(filter_.statuses)
        looks = [_newest([*conditions, has_status(status)], limit).subquery() for status in statuses]
        together = union_all(*(select(look) for look in looks)).subquery()
        newest = select(together).order_by(together.c.accept_number.desc()).limit(at_most(limit))
        return list(await self._commands(newest, {}))

    async def _ids(self, query: Select[tuple[str]], **parameters: Any) -> list[str]:
        return await self._session.column(query, parameters)

    async def _commands(self, query: Select[Any], parameters: dict[str, Any]) -> Iterator[Command]:
        return map(command_of, await self._session.rows(query, parameters))

    def _take(self, values: list[Any], now: datetime) -> Command:
        self._session.clock = now
        if self._session.optimistic:
            version = values.pop()
            self._versions[values[0]] = version
        command = command_of(values)
        self._locked_as[command.command_id] = tuple(values[_STATUS:])
        return command

    async def _locked(self, query: Select[Any], command_ids: Collection[str]) -> Sequence[Any]:
        ids = identifiers(command_ids)
        return await self._session.rows(query, {"ids": ids}) if ids else []


def command_of(values: Sequence[Any]) -> Command:
    command = Command(*values)
    command.status = _STATUSES[command.status]
    return command


def _queue_entry(row: Sequence[Any]) -> QueueEntry:
    values = list(row)
    values[_QUEUE_STATUS] = _STATUSES[values[_QUEUE_STATUS]]
    return QueueEntry(*values)


def _newest(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    return select(*command_columns).where(*conditions).order_by(commands.c.accept_number.desc()).limit(at_most(limit))


def has_status(status: str) -> ColumnElement[bool]:
    if status in ACTIVE:
        return and_(is_value(commands.c.status, status), _is_active)
    if status == Status.PENDING:
        return _is_pending
    return and_(is_value(commands.c.final_status, status), commands.c.final_status.is_not(None))


def conditions_of(filter_: CommandFilter, before: int | None) -> Iterator[ColumnElement[bool]]:
    if before is not None:
        yield commands.c.accept_number < literal(before, BigInteger())
    if filter_.vehicle_id:
        yield is_value(commands.c.vehicle_id, filter_.vehicle_id) if is_identifier(filter_.vehicle_id) else false()
    if filter_.user_id:
        yield is_value(commands.c.user_id, filter_.user_id)
    if filter_.command_name:
        yield is_value(commands.c.command_name, filter_.command_name)
    if filter_.from_:
        yield commands.c.created_at >= filter_.from_
        yield _numbers_from(filter_.from_)
    if filter_.to:
        yield commands.c.created_at < filter_.to
        yield _numbers_before(filter_.to)


def _numbers_from(moment: datetime) -> ColumnElement[bool]:
    earlier = _other.c.created_at < moment - _NUMBERS_FOLLOW_TIME_WITHIN
    last = select(_other.c.accept_number).where(earlier).order_by(_other.c.created_at.desc()).limit(at_most(1))
    return commands.c.accept_number > func.coalesce(last.scalar_subquery(), 0)


def _numbers_before(moment: datetime) -> ColumnElement[bool]:
    later = _other.c.created_at > moment + _NUMBERS_FOLLOW_TIME_WITHIN
    first = select(_other.c.accept_number).where(later).order_by(_other.c.created_at).limit(at_most(1))
    return commands.c.accept_number < func.coalesce(first.scalar_subquery(), literal(2**62, BigInteger()))
