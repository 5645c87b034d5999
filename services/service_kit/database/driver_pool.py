"""The PostgreSQL driver's own pool beside an engine, for who gives the driver statements itself.

Taking a connection from the engine and giving it back costs as much as several short statements.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from service_kit.database.engine import POOL_SECONDS, driver_options

_MAX_CONNECTIONS = 20


class DriverPool:
    """Opened when it is first used; ends when the engine is disposed of."""

    def __init__(self, engine: AsyncEngine, application_name: str) -> None:
        self._dsn = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._options = driver_options(application_name)
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        listen(engine.sync_engine, "engine_disposed", self._end)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """An asyncpg connection without a transaction. Who leaves one open has it rolled back by losing the connection.

        Raises OSError and the driver's errors when the database is away, TimeoutError when none becomes free in time.
        """
        pool = self._pool or await self._open()
        connection = await pool.acquire(timeout=POOL_SECONDS)
        try:
            yield connection
        finally:
            with suppress(asyncpg.InterfaceError):  # the pool has it back already, because it was lost
                if connection.is_in_transaction():
                    connection.terminate()
            # Also when the caller is cancelled just now.
            await asyncio.shield(pool.release(connection))

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=_MAX_CONNECTIONS,
                    max_inactive_connection_lifetime=0,
                    statement_cache_size=500,
                    reset=_nothing_to_reset,
                    **self._options,
                )
            return self._pool

    def _end(self, _: Any) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Nobody sets anything for a session that the next one must not find."""
