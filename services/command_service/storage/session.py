"""One database transaction as the repositories see it, and statements that take many rows at once."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    CursorResult,
    Executable,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy import update as sql_update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from command_service.use_cases.ports import AlreadyStored
from service_kit.database import database_errors, to_its_end

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,64}")

Rows = Sequence[tuple[Any, ...]]

_version: Column[str] = Column("version", Text())


class Session:
    """A connection whose errors are translated."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.sqlite = connection.dialect.name == "sqlite"
        # The database's clock as the last statement that locked rows saw it, once it had them.
        self.clock: datetime | None = None
        # Nothing is locked; who changes what it read says so by UpdateUnchanged.
        self.optimistic = False
        # As what version the last UpdateUnchanged was stored.
        self.version = ""
        # Of vehicles and their queues, what new commands are decided by where nothing is locked.
        self.as_read: Mapping[str, Any] = {}

    def saw_clock(self, now: datetime) -> None:
        """The database's clock, just now."""
        self.clock = now

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        with database_errors():
            return await to_its_end(self._connection.execute(statement, parameters))

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        return (await self.execute(query, parameters)).all()

    async def write(
        self, statement: Executable, parameters: Mapping[str, Any], *, must_change: int | None = None
    ) -> None:
        """A change that nobody waits for: at the latest it is made with the commit, which raises Overtaken unless it
        concerns `must_change` rows."""
        await self.execute(statement, parameters)

    async def settle(self) -> None:
        """Makes the changes that wait, for who has to know at once whether they can be made."""

    async def returning(self, statement: ReturningInsert[Any], parameters: Mapping[str, Any]) -> Sequence[Any]:
        """What an INSERT gives back."""
        return await self.rows(statement, parameters)

    async def column(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in await self.rows(query, parameters)]

    async def commit(self) -> None:
        with database_errors():
            await to_its_end(self._connection.commit())


@contextmanager
def already_stored(key: str) -> Iterator[None]:
    """The unique index of the column `key` refuses a row: AlreadyStored."""
    try:
        yield
    except IntegrityError as error:
        if key in str(error.orig):
            raise AlreadyStored from error
        raise


def identifiers(values: Iterable[str]) -> list[str]:
    """Those that can be stored identifiers at all, in order: what else there is (a vehicle may claim to hold anything)
    exists nowhere, and would fail a whole batch."""
    return [value for value in sorted(set(values)) if _UUID.fullmatch(value)]


def is_identifier(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


def storable(text: str) -> str:
    """PostgreSQL's text has no NUL, which may come in what people and vehicles send."""
    return text.replace("\x00", "\ufffd")


def given(one: Column[Any]) -> BindParameter[Any]:
    """SQLite: the value of a column in one row of parameters."""
    return bindparam(_parameter(one), type_=one.type)


def as_row(columns: Sequence[Column[Any]], row: tuple[Any, ...]) -> dict[str, Any]:
    """The parameters of `given` for one row."""
    return dict(zip(map(_parameter, columns), row, strict=True))


def _parameter(one: Column[Any]) -> str:
    # A column's own name is taken in INSERT and UPDATE; several tables may be written in one statement.
    table = "" if one.table is None else f"{one.table.name}_"
    return f"given_{table}{one.name}"


class GivenRows:
    """PostgreSQL: rows from one parameter, so that one prepared statement takes any number of them.

    They travel as a JSON document: an array of each column takes the driver more than reading JSON costs the server.
    """

    def __init__(self, columns: Sequence[Column[Any]]) -> None:
        self._names = [str(one.name) for one in columns]
        # Several such parameters may be in one statement.
        self._parameter = "_".join(map(_parameter, columns))
        document = cast(bindparam(self._parameter, type_=Text()), postgresql.JSON())
        rows = func.json_to_recordset(document).table_valued(*[column(one.name, one.type) for one in columns])
        self.table = rows.render_derived(name="given", with_types=True)

    def parameters(self, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
        """Values are what JSON has, datetimes and bytes."""
        names = self._names
        document = orjson.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_as_bytea)
        return {self._parameter: document.decode()}


def _as_bytea(value: bytes) -> str:
    return f"\\x{value.hex()}"


def at_most(count: int) -> ColumnElement[int]:
    """A LIMIT that the planner knows: of a parameter it would assume a tenth of the table."""
    return literal_column(str(int(count)), Integer())


def is_value(one: Column[Any], value: str) -> ColumnElement[bool]:
    """`one` equals a value that the planner knows: a rare one needs another plan than a frequent one. What is not
    plain, and so no key of ours, is a parameter."""
    if _PLAIN.fullmatch(value):
        return one == literal_column(f"'{value}'", one.type)
    return one == literal(storable(value), one.type)


class ManyRows:
    """A change of many rows: at once on PostgreSQL, row by row in the driver on SQLite."""

    _columns: Sequence[Column[Any]]
    _given: GivenRows
    _at_once: Executable
    _row_by_row: Executable

    async def __call__(self, session: Session, rows: Rows) -> None:
        if not rows:
            return
        if session.sqlite:
            await session.execute(self._row_by_row, [as_row(self._columns, row) for row in rows])
        else:
            await session.write(self._at_once, self._given.parameters(rows))


class InsertRows(ManyRows):
    """INSERT of many rows."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[Column[Any]],
        *,
        constants: Mapping[str, Any] | None = None,
        ignore_stored: bool = False,
        replace_stored: bool = False,
    ) -> None:
        """Of rows whose key is stored already, the stored ones stay or give way to the new ones."""
        self._columns = columns
        same = {name: literal(value, table.c[name].type) for name, value in (constants or {}).items()}
        names = [*(one.name for one in columns), *same]
        self._given = GivenRows(columns)
        at_once = postgresql.insert(table).from_select(names, select(self._given.table, *same.values()))
        row_by_row = sqlite.insert(table).values({one.name: given(one) for one in columns} | same)
        if ignore_stored:
            at_once, row_by_row = at_once.on_conflict_do_nothing(), row_by_row.on_conflict_do_nothing()
        if replace_stored:
            keys, others = list(table.primary_key), [one.name for one in columns if not one.primary_key]
            new = {name: at_once.excluded[name] for name in others}
            at_once = at_once.on_conflict_do_update(index_elements=keys, set_=new)
            new = {name: row_by_row.excluded[name] for name in others}
            row_by_row = row_by_row.on_conflict_do_update(index_elements=keys, set_=new)
        self._at_once, self._row_by_row = at_once, row_by_row


class UpdateRows(ManyRows):
    """UPDATE of many rows: the first `keys` columns say which, the others are set."""

    def __init__(self, table: Table, columns: Sequence[Column[Any]], *, keys: int = 1) -> None:
        self._columns = columns
        self._given = GivenRows(columns)
        rows = self._given.table
        self._at_once = (
            sql_update(table)
            .where(*[one == rows.c[one.name] for one in columns[:keys]])
            .values({one.name: rows.c[one.name] for one in columns[keys:]})
        )
        self._row_by_row = (
            sql_update(table)
            .where(*[one == given(one) for one in columns[:keys]])
            .values({one.name: given(one) for one in columns[keys:]})
        )


class UpdateUnchanged(UpdateRows):
    """UPDATE of many rows, the first column their key and the last the version they were read with; of one that was
    changed since, or does not meet the conditions, the commit raises Overtaken. Of PostgreSQL."""

    def __init__(self, table: Table, columns: Sequence[Column[Any]], *conditions: ColumnElement[bool]) -> None:
        super().__init__(table, columns)
        self._columns = [*columns, _version]
        self._given = GivenRows(self._columns)
        rows = self._given.table
        key, *changing = columns
        self._at_once = (
            sql_update(table)
            .where(key == rows.c[key.name], version_of(table) == rows.c[_version.name], *conditions)
            .values({one.name: rows.c[one.name] for one in changing})
            .returning(version_of(table).label(_version.name))
        )

    async def __call__(self, session: Session, rows: Rows) -> None:
        # In key order, so that two never wait for each other.
        await session.write(self._at_once, self._given.parameters(sorted(rows)), must_change=len(rows))


class DeleteRows(ManyRows):
    """DELETE of many rows by the columns that say which."""

    def __init__(self, table: Table, keys: Sequence[Column[Any]]) -> None:
        self._columns = keys
        self._given = GivenRows(keys)
        rows = self._given.table
        self._at_once = delete(table).where(*[one == rows.c[one.name] for one in keys])
        self._row_by_row = delete(table).where(*[one == given(one) for one in keys])


def version_of(table: Table) -> ColumnElement[str]:
    """PostgreSQL: the transaction that wrote the row as it is (5.5, System Columns)."""
    return literal_column(f"{table.name}.xmin::text", Text())


def columns_of(table: Table, names: Iterable[str]) -> list[Column[Any]]:
    return [table.c[name] for name in names]
