"""Storage on a SQL database: one unit of work per transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from command_service.storage.audit import SqlAuditRepository
from command_service.storage.commands import SqlCommandRepository
from command_service.storage.connectors import SqlConnectorRepository
from command_service.storage.direct_session import DirectSession
from command_service.storage.idempotency import SqlIdempotencyRepository
from command_service.storage.responses import SqlEvidenceRepository, SqlResponseRepository
from command_service.storage.session import Session
from command_service.storage.vehicles import SqlVehicleRepository
from command_service.use_cases.ports import (
    AuditRepository,
    CommandRepository,
    ConnectorRepository,
    EvidenceRepository,
    IdempotencyRepository,
    ResponseRepository,
    UnitOfWork,
    VehicleRepository,
)
from service_kit.database import database_errors, db_now, reading_engine

_clock = select(db_now())


class SqlUnitOfWork:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.commands: CommandRepository = SqlCommandRepository(session)
        self.responses: ResponseRepository = SqlResponseRepository(session)
        self.evidence: EvidenceRepository = SqlEvidenceRepository(session)
        self.vehicles: VehicleRepository = SqlVehicleRepository(session)
        self.connectors: ConnectorRepository = SqlConnectorRepository(session)
        self.idempotency: IdempotencyRepository = SqlIdempotencyRepository(session)
        self.audit: AuditRepository = SqlAuditRepository(session)

    async def clock(self) -> datetime:
        if self._session.clock is None:
            (self._session.clock,) = await self._session.column(_clock)
        return self._session.clock

    async def commit(self) -> None:
        await self._session.commit()


class SqlStorage:
    """Units of work on an engine of service_kit.database.open_engine, whose owner closes it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading_engine = reading_engine(engine)

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _unit_of_work(self._engine, transactional=True)

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _unit_of_work(self._reading_engine, transactional=False)


@asynccontextmanager
async def _unit_of_work(engine: AsyncEngine, *, transactional: bool) -> AsyncIterator[UnitOfWork]:
    with database_errors():
        connection = await engine.connect()
    session = Session(connection)
    try:
        if not session.sqlite:
            driver = (await connection.get_raw_connection()).driver_connection
            session = DirectSession(connection, driver, transactional=transactional)
        yield SqlUnitOfWork(session)
    finally:
        # Rolls back what was not committed, and gives the connection back even if the caller is cancelled now.
        await asyncio.shield(_give_back(session, connection))


async def _give_back(session: Session, connection: AsyncConnection) -> None:
    with database_errors():
        try:
            await session.end()
        except BaseException:
            await connection.invalidate()
            raise
        finally:
            await connection.close()
