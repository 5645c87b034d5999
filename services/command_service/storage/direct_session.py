"""PostgreSQL without SQLAlchemy's execution layers: its statements, each compiled once, are given to the driver itself.

The layers cost more than the driver and the server together for the short statements of this service; compiling,
parameter and result conversion and the schema stay SQLAlchemy's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import (
    Column,
    Executable,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert

from command_service.storage.command_memory import DatabaseClock
from command_service.storage.session import Session
from command_service.use_cases.ports import Overtaken
from service_kit.database import database_errors

Converter = Callable[[Any], Any]

_dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """SQL text, its parameters in order (name, value when none is given, conversion) and the columns to convert."""

    sql: str
    parameters: tuple[tuple[str, Any, Converter | None], ...]
    conversions: tuple[tuple[int, Converter], ...]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        return [
            value if convert is None else convert(value)
            for name, default, convert in self.parameters
            for value in (given.get(name, default),)
        ]

    def converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for place, convert in self.conversions:
            if values[place] is not None:
                values[place] = convert(values[place])
        return values


# Statements are constants of their modules, but for the few that a filter makes.
@lru_cache(maxsize=512)
def _prepare(statement: Executable) -> _Prepared:
    compiled = statement.compile(dialect=_dialect, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
    assert isinstance(compiled, SQLCompiler)
    names, converters = compiled.positiontup or [], compiled._bind_processors
    defaults = compiled.construct_params(_check=False)
    columns = enumerate(compiled._result_columns)
    conversions = ((place, column.type._cached_result_processor(_dialect, None)) for place, column in columns)
    return _Prepared(
        compiled.string,
        tuple((name, defaults.get(name), converters.get(name)) for name in names),  # type: ignore[misc]
        tuple((place, convert) for place, convert in conversions if convert is not None),
    )


_ONE = literal_column("1", Integer())
_NOTHING: Select[tuple[int]] = select(_ONE)


# Fails, and with it the whole statement, unless a change returned so many rows as it must.
_as_it_must = _ONE.op("/")(
    case((func.count() == bindparam("must_change", type_=Integer()), _ONE), else_=literal_column("0"))
)


@lru_cache
def _unless_overtaken(place: int) -> Select[tuple[str, int]]:
    """The version as which that change was stored."""
    version: Column[str] = column("version", Text())  # type: ignore[assignment]
    return select(func.min(version), _as_it_must).select_from(table(f"change_{place}", version))


@lru_cache
def _checked(insert: ReturningInsert[Any], place: int) -> ReturningInsert[Any]:
    """What the INSERT gives back, if that change is as it must be."""
    return insert.returning(select(_as_it_must).select_from(table(f"change_{place}")).scalar_subquery())


@lru_cache(maxsize=256)
def _together(statement: Any, *changes: Any) -> _Prepared:
    """One statement of several: the changes as its common table expressions (PostgreSQL 7.8.2, WITH that modifies)."""
    ctes = (change.cte(f"change_{place}") for place, change in enumerate(changes))
    return _prepare(statement.add_cte(*ctes) if changes else statement)


def _merged(changes: Iterable[tuple[Executable, Mapping[str, Any]]]) -> dict[str, Any]:
    return {name: value for _, parameters in changes for name, value in parameters.items()}


class Mode(Enum):
    """How a session's statements belong together."""

    # Each is for itself.
    READING = auto()
    # A transaction begins with the first one.
    TRANSACTION = auto()
    # Reads are for themselves; all changes are one statement, at the commit.
    OPTIMISTIC = auto()


class DirectSession(Session):
    """A connection of the driver's pool."""

    sqlite = False

    def __init__(self, driver: asyncpg.Connection, mode: Mode, database_clock: DatabaseClock) -> None:
        self.clock = None
        self.optimistic = mode is Mode.OPTIMISTIC
        self.version = ""
        self.as_read = {}
        self._driver = driver
        self._database_clock = database_clock
        self._mode = mode
        self._begun = False
        self._changes: list[tuple[Executable, Mapping[str, Any]]] = []
        # Of the change that says how many rows it must concern: its place among the changes, and that number.
        self._must_change: tuple[int, int] | None = None

    def saw_clock(self, now: datetime) -> None:
        super().saw_clock(now)
        self._database_clock.read(now)

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """What RETURNING or SELECT gives is in `rows`; of other statements the count is in `rowcount`."""
        assert not isinstance(parameters, Sequence), "many rows travel as arrays"
        await self.settle()
        prepared = _prepare(statement)
        with driver_errors():
            await self._begin()
            status: str = await self._driver.execute(prepared.sql, *prepared.arguments(parameters or {}))
        return _Done(int(status.rpartition(" ")[2]) if status[-1:].isdigit() else 0)

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        assert not (self.optimistic and self._changes), "what is read after a change needs a transaction"
        await self.settle()
        return await self._fetch(_prepare(query), parameters or {})

    async def write(
        self, statement: Executable, parameters: Mapping[str, Any], *, must_change: int | None = None
    ) -> None:
        """Waits for the next read or the commit: all changes since the last one go to the server as one statement."""
        if any(one is statement for one, _ in self._changes):
            assert not self.optimistic, "one statement cannot hold a change twice"
            await self.settle()  # the names of its parameters are taken
        if must_change is not None:
            self._must_change = (len(self._changes), must_change)
        self._changes.append((statement, parameters))
        if self._mode is Mode.READING:
            await self.settle()

    async def returning(self, statement: ReturningInsert[Any], parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Takes the changes that wait along; it does not see them. Of an optimistic session it is the last change."""
        changes, parameters = self._changes, {**_merged(self._changes), **parameters}
        self._changes = []
        if self._must_change is not None:
            (place, parameters["must_change"]), self._must_change = self._must_change, None
            statement = _checked(statement, place)
        return await self._fetch(_together(statement, *(one for one, _ in changes)), parameters)

    async def commit(self) -> None:
        await self.settle()
        if self._begun:
            self._begun = False
            with driver_errors():
                await self._driver.execute("COMMIT")

    async def settle(self) -> None:
        if not self._changes:
            return
        changes, self._changes = self._changes, []
        parameters = _merged(changes)
        statement: Select[Any] = _NOTHING
        if self._must_change is not None:
            (place, parameters["must_change"]), self._must_change = self._must_change, None
            statement = _unless_overtaken(place)
        found = await self._fetch(_together(statement, *(one for one, _ in changes)), parameters)
        if self.optimistic and found:
            self.version = found[0][0]

    async def _fetch(self, prepared: _Prepared, parameters: Mapping[str, Any]) -> Sequence[Any]:
        with driver_errors():
            await self._begin()
            found: list[Any] = await self._driver.fetch(prepared.sql, *prepared.arguments(parameters))
        return list(map(prepared.converted, found)) if prepared.conversions else found

    async def roll_back(self) -> None:
        """What was not committed. Of a connection that was lost, the server has done so."""
        self._changes = []
        if self._begun:
            self._begun = False
            with driver_errors(), suppress(asyncpg.InterfaceError):
                await self._driver.execute("ROLLBACK")

    async def _begin(self) -> None:
        if self._mode is Mode.TRANSACTION and not self._begun:
            await self._driver.execute("BEGIN")
            self._begun = True


@dataclass(frozen=True, slots=True)
class _Done:
    rowcount: int


@contextmanager
def driver_errors() -> Iterator[None]:
    """The driver's errors as SQLAlchemy's layers would wrap them, and so translated with all others.

    Nothing divides but _as_it_must; only require_queues_as_read (migration 0009) says that it cannot be serialised.
    """
    with database_errors():
        try:
            yield
        except (asyncpg.DivisionByZeroError, asyncpg.SerializationError) as error:
            raise Overtaken from error
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityError(None, None, error) from error
        except asyncpg.PostgresError as error:
            raise DBAPIError(None, None, error) from error
        except asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):  # a parameter that the driver cannot encode
                raise OverflowError(str(error)) from error
            raise DBAPIError(None, None, error, connection_invalidated=True) from error
        except asyncpg.InternalClientError as error:  # the server has just said that it ends the connection
            raise DBAPIError(None, None, error, connection_invalidated=True) from error
