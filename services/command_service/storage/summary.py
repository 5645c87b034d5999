"""What the summary asks of the database. No statement reads more than a few thousand rows, however many there are."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from command_service.domain.command import Status
from command_service.domain.durations import NO_CLASS, UPPER_BOUNDS
from command_service.storage.tables import commands, ended_commands, ended_commands_mark, vehicles
from service_kit.database import UtcDateTime


class hour_of(FunctionElement[datetime]):  # noqa: N801 - reads like the SQL function it is
    """The beginning of the hour (UTC) of a moment. No index knows it: a condition on it only filters."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(hour_of, "postgresql")
def _postgresql_hour(element: hour_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"date_trunc('hour', {compiler.process(element.clauses, **options)}, 'UTC')"


@compiles(hour_of, "sqlite")
def _sqlite_hour(element: hour_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 13) || ':00:00.000000+00:00'"


class class_of_duration(FunctionElement[int]):  # noqa: N801
    """Of the time between two moments, a class of domain/durations.py."""

    type = SmallInteger()
    inherit_cache = True


@compiles(class_of_duration, "postgresql")
def _postgresql_class(element: class_of_duration, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(clause, **options) for clause in element.clauses)
    bounds = ", ".join(map(str, UPPER_BOUNDS))
    return f"width_bucket(extract(epoch FROM {later} - {earlier})::float8, ARRAY[{bounds}]::float8[])::smallint"


@compiles(class_of_duration, "sqlite")
def _sqlite_class(element: class_of_duration, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = (compiler.process(clause, **options) for clause in element.clauses)
    seconds = f"(julianday({later}) - julianday({earlier})) * 86400.0"
    cases = " ".join(f"WHEN {seconds} < {bound} THEN {place}" for place, bound in enumerate(UPPER_BOUNDS))
    return f"CASE {cases} ELSE {len(UPPER_BOUNDS)} END"


def _moment(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=UtcDateTime())


_class = case(
    (
        and_(commands.c.final_status == literal_column(f"'{Status.COMPLETED}'"), commands.c.started_at.is_not(None)),
        class_of_duration(commands.c.started_at, commands.c.completed_at),
    ),
    else_=literal_column(str(NO_CLASS), SmallInteger()),
)
# The index of retention is the one by the time of the end; it has all whose responses are kept, for a day at least.
_has_ended = and_(commands.c.completed_at.is_not(None), commands.c.responses_deleted_at.is_(None))
_mark = ended_commands_mark.c.only == literal_column("1")
_folded_until = select(ended_commands_mark.c.folded_until).where(_mark)
_unfolded = and_(_has_ended, commands.c.completed_at >= _folded_until.scalar_subquery())


def _counted(*conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            hour_of(commands.c.created_at).label("hour"),
            commands.c.final_status.label("status"),
            _class.label("duration"),
            func.count().label("ended"),
        )
        .where(*conditions)
        .group_by(text("1"), text("2"), text("3"))
    )


lock_folded_until = _folded_until.with_for_update()
first_unfolded_end = (
    select(commands.c.completed_at)
    .where(_unfolded, commands.c.completed_at < _moment("before"))
    .order_by(commands.c.completed_at)
    .limit(literal_column("1"))
)
move_mark = update(ended_commands_mark).where(_mark).values(folded_until=_moment("until"))
forget_hours = delete(ended_commands).where(ended_commands.c.hour < _moment("before"))


def _fold(insert: Any) -> Any:
    names = ["hour", "status", "duration", "ended"]
    new = insert(ended_commands).from_select(names, _counted(_unfolded, commands.c.completed_at < _moment("until")))
    together = ended_commands.c.ended + new.excluded.ended
    return new.on_conflict_do_update(index_elements=names[:3], set_={"ended": together})


fold_on_postgresql, fold_on_sqlite = _fold(postgresql.insert), _fold(sqlite.insert)

# One statement, so that what is just being folded is in one of its parts and not in both.
_parts = union_all(
    select(*ended_commands.c).where(ended_commands.c.hour >= _moment("since")),
    _counted(_unfolded, hour_of(commands.c.created_at) >= _moment("since")),
).subquery("parts")
ended_since = select(
    _parts.c.hour, _parts.c.status, _parts.c.duration, cast(func.sum(_parts.c.ended), BigInteger())
).group_by(_parts.c.hour, _parts.c.status, _parts.c.duration)

_is_open = commands.c.completed_at.is_(None)
open_since = (
    select(commands.c.status, func.count())
    .where(_is_open, hour_of(commands.c.created_at) >= _moment("since"))
    .group_by(commands.c.status)
)
waiting_for_offline = (
    select(func.count())
    .select_from(commands.join(vehicles, vehicles.c.vehicle_id == commands.c.vehicle_id))
    .where(_is_open, commands.c.active_lane.is_(None), vehicles.c.connection_status == literal_column("'offline'"))
)
vehicles_by_status = (
    select(vehicles.c.connection_status, func.count())
    .where(vehicles.c.deleted_at.is_(None))
    .group_by(vehicles.c.connection_status)
)
