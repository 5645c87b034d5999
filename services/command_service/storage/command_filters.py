"""Which commands: the conditions of lists, and the open ones among them."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, and_, false, func, literal, select

from command_service.domain.command import ACTIVE, Status
from command_service.storage.session import at_most, is_identifier, is_value
from command_service.storage.tables import commands
from command_service.use_cases.ports import CommandFilter

is_open = commands.c.completed_at.is_(None)
is_active = commands.c.active_lane.is_not(None)
is_pending = and_(is_open, commands.c.active_lane.is_(None))

_other = commands.alias("other")

# A command's time of acceptance is read and its number issued in one transaction, so that of two commands further apart
# than this the later one has the higher number: times bound the numbers to look at.
_NUMBERS_FOLLOW_TIME_WITHIN = timedelta(minutes=2)


def has_status(status: str) -> ColumnElement[bool]:
    if status in ACTIVE:
        return and_(is_value(commands.c.status, status), is_active)
    if status == Status.PENDING:
        return is_pending
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
