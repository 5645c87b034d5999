"""The PostgreSQL driver's connections beside an engine, for who gives the driver statements itself.

A connection is taken and given back without waiting for the event loop: the pools of the engine and of the driver cost
as much as several short statements each time.
"""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from service_kit.database.engine import POOL_SECONDS, driver_options

_MAX_CONNECTIONS = 20


class DriverPool:
    """Opens connections as they are needed; they end when the engine is disposed of."""

    def __init__(self, engine: AsyncEngine, application_name: str) -> None:
        self._dsn = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._options = driver_options(application_name)
        self._room = asyncio.Semaphore(_MAX_CONNECTIONS)
        # The last one given back is the next one taken: its statements are prepared.
        self._idle: list[asyncpg.Connection] = []
        self._open: set[asyncpg.Connection] = set()
        # How often a connection was opened so far.
        self.opened = 0
        self._ends = 0
        listen(engine.sync_engine, "engine_disposed", self._end)

    async def take(self) -> asyncpg.Connection:
        """A connection without a transaction, to be given back.

        Raises OSError and the driver's errors when the database is away, TimeoutError when none becomes free in time.
        """
        if self._room.locked():
            async with asyncio.timeout(POOL_SECONDS):
                await self._room.acquire()
        else:
            await self._room.acquire()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._open.discard(connection)
        try:
            return await self._connect()
        except BaseException:
            self._room.release()
            raise

    def give_back(self, connection: asyncpg.Connection, *, usable: bool = True) -> None:
        """Who leaves a transaction open, or may have left a statement running (not `usable`), loses the connection."""
        if usable and not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.terminate()
        self._room.release()

    async def _connect(self) -> asyncpg.Connection:
        ends = self._ends
        connection = await asyncpg.connect(self._dsn, statement_cache_size=500, **self._options)
        if self._ends != ends:  # meanwhile: nobody would ever close it
            connection.terminate()
            raise OSError("the engine was disposed of")
        self._open.add(connection)
        self.opened += 1
        return connection

    def _end(self, _: Any) -> None:
        self._ends += 1
        for connection in self._open:
            connection.terminate()
        self._open.clear()
        self._idle.clear()
