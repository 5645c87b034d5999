"""Column types and expressions that mean the same on PostgreSQL and SQLite."""

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Boolean, ColumnElement, DateTime, Dialect, String, Text, TypeDecorator, Uuid, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

Value = TypeVar("Value")


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes with microseconds: timestamptz on PostgreSQL, ISO 8601 text that sorts on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return String(32) if dialect.name == "sqlite" else DateTime(timezone=True)

    # On PostgreSQL the driver does it all; no Python call per value.
    def bind_processor(self, dialect: Dialect) -> Any:
        return super().bind_processor(dialect) if dialect.name == "sqlite" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone means no moment")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class UuidText(TypeDecorator[str]):
    """A UUID, in Python its canonical text: uuid on PostgreSQL, text on SQLite."""

    impl = Uuid(as_uuid=False)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return String(36) if dialect.name == "sqlite" else Uuid(as_uuid=False)


class ListOf(TypeDecorator[list[Any]]):
    """A parameter that is a whole list: an array on PostgreSQL, a JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item_type: TypeEngine[Any]) -> None:
        super().__init__()
        self.item_type = item_type

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text() if dialect.name == "sqlite" else ARRAY(self.item_type, dimensions=1)

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" and value is not None else value


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads like the SQL function it is
    """The database's clock at this moment, not at the start of the transaction; `db_now(seconds)` is so much later."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = [compiler.process(clause, **options) for clause in element.clauses]
    return " ".join(["clock_timestamp()", *(f"+ {clause} * interval '1 second'" for clause in seconds)])


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    shifts = [f", {compiler.process(clause, **options)} || ' seconds'" for clause in element.clauses]
    # Fixed width and always UTC, so that the text sorts as the time does.
    return f"strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'{''.join(shifts)})"


class _AnyOf(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


@compiles(_AnyOf, "postgresql")
def _postgresql_any_of(element: _AnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(_AnyOf, "sqlite")
def _sqlite_any_of(element: _AnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - both are compiled SQL


def any_of(column: ColumnElement[Value], parameter: str) -> ColumnElement[bool]:
    """`column` is one of the list bound to `parameter`: one statement text however long the list, prepared once."""
    return _AnyOf(column, bindparam(parameter, type_=ListOf(column.type)))
