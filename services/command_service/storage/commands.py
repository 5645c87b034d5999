"""Commands: one row each, from acceptance to the end and after."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Select,
    Subquery,
    and_,
    bindparam,
    exists,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.dml import ReturningInsert

from command_service.domain.command import ACTIVE, WAITING, Command, CommandClass, Status
from command_service.storage.command_filters import conditions_of, has_status, is_active, is_open, is_pending
from command_service.storage.command_memory import CommandMemory
from command_service.storage.queues import queues_as_read
from command_service.storage.session import (
    GivenRows,
    InsertRows,
    Session,
    UpdateRows,
    UpdateUnchanged,
    already_stored,
    at_most,
    columns_of,
    identifiers,
    is_identifier,
    storable,
    version_of,
)
from command_service.storage.tables import commands, connectors, vehicles
from command_service.use_cases.ports import ClaimContext, CommandFilter, Overtaken
from service_kit.database import UuidText, any_of, db_now

_FIELDS = [field.name for field in fields(Command)]
_STATUS = _FIELDS.index("status")
# From the status on it is what a transition can change.
_CHANGING = _FIELDS[_STATUS:]
# An acceptance that dispatches at once sets these; in all others new commands are alike.
_AT_DISPATCH = ["status", "revision", "dispatch_number", "connector_id", "session_epoch", "dispatched_at"]
_SETTLED = [*(name for name in _FIELDS[:_STATUS] if name != "accept_number"), *_AT_DISPATCH]
_AT_FIRST = {field.name: field.default for field in fields(Command)[_STATUS:] if field.name not in _AT_DISPATCH}
_STATUSES = {status.value: status for status in Status}
_NO_END = datetime.max.replace(tzinfo=UTC)

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

# Their order is the order in which numbers are issued. In most columns all commands begin alike, and only
# the others travel.
_settled_columns = columns_of(commands, _SETTLED)
_at_first = [literal(value, commands.c[name].type) for name, value in _AT_FIRST.items()]
_given_settled = GivenRows(_settled_columns)


def _insert_at_once(rows: Select[Any]) -> ReturningInsert[Any]:
    statement = postgresql.insert(commands).from_select([*_SETTLED, *_AT_FIRST], rows)
    return statement.returning(commands.c.command_id, commands.c.accept_number, version_of(commands))


_new = select(_given_settled.table, *_at_first)
_insert_with_locks = _insert_at_once(_new)
_insert_unless_overtaken = _insert_at_once(_new.select_from(queues_as_read))
_insert_rows = InsertRows(commands, _settled_columns, constants=_AT_FIRST)
_accept_numbers = select(commands.c.command_id, commands.c.accept_number).where(any_of(commands.c.command_id, "ids"))
_settled_values = attrgetter(*_SETTLED)

_all_values = attrgetter(*_FIELDS)
_changing_values = attrgetter(*_CHANGING)

# What a claim is decided by beside the command, for who has not read it.
_may_be_claimed = and_(
    commands.c.expires_at > db_now(),
    exists()
    .where(
        vehicles.c.vehicle_id == commands.c.vehicle_id,
        vehicles.c.connector_id == commands.c.connector_id,
        vehicles.c.session_epoch == commands.c.session_epoch,
        connectors.c.connector_id == commands.c.connector_id,
        connectors.c.lease_until > db_now(),
    )
    .correlate(commands),
)


@lru_cache
def _update_of(names: tuple[str, ...]) -> UpdateRows:
    return UpdateRows(commands, columns_of(commands, ["command_id", *names]))


@lru_cache
def _update_unchanged_of(names: tuple[str, ...], *conditions: ColumnElement[bool]) -> UpdateUnchanged:
    return UpdateUnchanged(commands, columns_of(commands, ["command_id", *names]), *conditions)


_has_open = (
    select(commands.c.command_id).where(commands.c.vehicle_id == bindparam("vehicle_id"), is_open).limit(at_most(1))
)
_in_progress_on = select(commands.c.command_id).where(any_of(commands.c.vehicle_id, "ids"), is_open, is_active)

_limit: ColumnElement[int] = bindparam("limit", type_=Integer())
_expired = (
    select(commands.c.command_id)
    .where(
        is_open, or_(*(commands.c.status == status for status in sorted(WAITING))), commands.c.expires_at <= db_now()
    )
    .order_by(commands.c.expires_at)
    .limit(_limit)
)


def _ago(parameter: str) -> ColumnElement[datetime]:
    return db_now(bindparam(parameter, type_=Float()))


# Few commands are active at a time, so the index of the lanes in use finds them all.
_unclaimed = (
    select(commands.c.command_id)
    .where(is_active, commands.c.status == Status.DISPATCHED, commands.c.dispatched_at < _ago("age"))
    .limit(_limit)
)
_overdue = (
    select(commands.c.command_id)
    .where(
        is_active,
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
    .where(is_active, commands.c.status == Status.IN_PROGRESS, commands.c.cancel_requested_at < _ago("age"))
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
_reachable = and_(
    vehicles.c.connector_id.is_not(None),
    vehicles.c.connection_status == "online",
    vehicles.c.deleted_at.is_(None),
)
_may_run = and_(
    is_pending,
    commands.c.expires_at > db_now(),
    ~_blocked,
    or_(
        commands.c.command_class == CommandClass.READ,
        vehicles.c.lock_expires_at.is_(None),
        vehicles.c.lock_expires_at <= db_now(),
        vehicles.c.lock_owner_id == commands.c.user_id,
    ),
)
_of_its_vehicle = commands.c.vehicle_id == vehicles.c.vehicle_id
_BEFORE_ALL = str(UUID(int=0))
# From what is open: in a large fleet that is little, and this is asked every second.
_with_runnable_work = (
    select(commands.c.vehicle_id)
    .distinct()
    .join(vehicles, _of_its_vehicle)
    .where(commands.c.vehicle_id > bindparam("after", type_=UuidText()), _reachable, _may_run)
    .order_by(commands.c.vehicle_id)
    .limit(_limit)
)
_runnable_among = select(vehicles.c.vehicle_id).where(
    any_of(vehicles.c.vehicle_id, "ids"), _reachable, exists().where(_of_its_vehicle, _may_run)
)


class SqlCommandRepository:
    def __init__(self, session: Session, memory: CommandMemory | None = None, *, recalling: bool = False) -> None:
        self._session = session
        self._memory = memory
        self._recalling = recalling
        # What is decided by memory alone until its change is stored, and whether that is a claim.
        self._unverified: set[str] = set()
        self._claiming_unread = False
        self._written: list[Command] = []
        # What can change, of each command that this transaction holds the lock of, as the database has it.
        self._locked_as: dict[str, tuple[Any, ...]] = {}
        # Which version of the row that was, or became.
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
                issued = await self._insert_at_once(_given_settled.parameters(rows))
                self._session.version = issued[0][2]
        numbers: dict[str, int] = {row[0]: row[1] for row in issued}
        for command in new:
            command.accept_number = numbers[command.command_id]
        self._written += new

    async def _insert_at_once(self, rows: Mapping[str, str]) -> Sequence[Any]:
        if not self._session.optimistic:
            return await self._session.returning(_insert_with_locks, rows)
        assert self._session.as_read, "what is inserted without locks is decided by queues that were read"
        return await self._session.returning(_insert_unless_overtaken, {**rows, **self._session.as_read})

    async def get(self, command_ids: Collection[str]) -> dict[str, Command]:
        ids = identifiers(command_ids)
        if not ids:
            return {}
        return {command.command_id: command for command in await self._commands(_get, {"ids": ids})}

    async def lock(self, command_ids: Collection[str]) -> dict[str, Command]:
        locked = {command.command_id: command for command in self._recalled(command_ids)}
        query = _lock_optimistically if self._session.optimistic else _lock
        for *values, now in await self._locked(query, locked, command_ids):
            command = self._take(values)
            locked[command.command_id] = command
            self._session.saw_clock(now)
        return locked

    async def lock_for_claim(self, command_ids: Collection[str]) -> dict[str, ClaimContext]:
        # Of what is recalled, vehicle and connector are taken to be as they were at the dispatch.
        locked = {
            command.command_id: ClaimContext(command, command.session_epoch, command.connector_id, _NO_END)
            for command in self._recalled(command_ids)
        }
        self._claiming_unread = bool(locked)
        query = _lock_for_claim_optimistically if self._session.optimistic else _lock_for_claim
        for *values, now, epoch, connector_id, lease_until in await self._locked(query, locked, command_ids):
            command = self._take(values)
            self._session.saw_clock(now)
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
            conditions = (_may_be_claimed,) if self._claiming_unread else ()
            versions = [self._versions[command_id] for command_id in ids]
            rows = list(zip(ids, *differing.values(), versions, strict=True))
            await _update_unchanged_of(tuple(differing), *conditions)(self._session, rows)
            self._unverified.difference_update(ids)
            self._written += changed
        else:
            await _update_of(tuple(differing))(self._session, list(zip(ids, *differing.values(), strict=True)))
        self._locked_as.update(zip(ids, after, strict=True))

    def require_verified(self) -> None:
        """Raises Overtaken: of what was recalled, something was decided that stores no change."""
        if self._unverified:
            raise Overtaken

    def remember(self) -> None:
        """What was written is committed."""
        if self._memory is not None and self._session.version:
            in_flight = (command for command in self._written if command.status in ACTIVE)
            self._memory.keep({one.command_id: _all_values(one) for one in in_flight}, self._session.version)

    async def has_open(self, vehicle_id: str) -> bool:
        if not is_identifier(vehicle_id):
            return False
        return bool(await self._session.rows(_has_open, {"vehicle_id": vehicle_id}))

    async def vehicles_with_runnable_work(self, limit: int, after: str = "") -> list[str]:
        return await self._ids(_with_runnable_work, limit=limit, after=after or _BEFORE_ALL)

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

    def _recalled(self, command_ids: Collection[str]) -> Iterator[Command]:
        """Those that this process wrote last, as it wrote them."""
        if self._memory is None or not self._recalling or (now := self._memory.clock.now()) is None:
            return
        for command_id in command_ids:
            if (remembered := self._memory.take(command_id)) is not None:
                self._session.clock = now
                self._versions[command_id] = remembered.version
                self._locked_as[command_id] = remembered.values[_STATUS:]
                self._unverified.add(command_id)
                yield Command(*remembered.values)

    def _take(self, values: list[Any]) -> Command:
        if self._session.optimistic:
            version = values.pop()
            self._versions[values[0]] = version
        command = command_of(values)
        self._locked_as[command.command_id] = tuple(values[_STATUS:])
        return command

    async def _locked(
        self, query: Select[Any], recalled: Collection[str], command_ids: Collection[str]
    ) -> Sequence[Any]:
        ids = identifiers(set(command_ids).difference(recalled))
        return await self._session.rows(query, {"ids": ids}) if ids else []


def command_of(values: Sequence[Any]) -> Command:
    command = Command(*values)
    command.status = _STATUSES[command.status]
    return command


def _newest(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    return select(*command_columns).where(*conditions).order_by(commands.c.accept_number.desc()).limit(at_most(limit))
