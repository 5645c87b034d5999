"""Storage on a SQL database: one unit of work per transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.storage.assignments import SqlAssignmentRepository
from command_service.storage.audit import SqlAuditRepository
from command_service.storage.command_memory import CommandMemory
from command_service.storage.commands import SqlCommandRepository
from command_service.storage.connectors import SqlConnectorRepository
from command_service.storage.direct_session import DirectSession, Mode, driver_errors
from command_service.storage.idempotency import SqlIdempotencyRepository
from command_service.storage.identities import SqlIdentityRepository
from command_service.storage.queues import SqlQueueRepository
from command_service.storage.reports import SqlReportRepository
from command_service.storage.responses import SqlEvidenceRepository, SqlResponseRepository
from command_service.storage.scanned_ecus import SqlScannedEcuRepository
from command_service.storage.session import Session
from command_service.storage.tables import SCHEMA
from command_service.storage.vehicles import SqlVehicleRepository
from command_service.use_cases.ports import (
    AssignmentRepository,
    AuditRepository,
    CommandRepository,
    ConnectorRepository,
    EvidenceRepository,
    IdempotencyRepository,
    IdentityRepository,
    QueueRepository,
    ReportRepository,
    ResponseRepository,
    ScannedEcuRepository,
    UnitOfWork,
    VehicleRepository,
)
from service_kit.database import DriverPool, database_errors, db_now, reading_engine, to_its_end
from service_kit.errors import Unavailable

_clock = select(db_now())


class SqlUnitOfWork:
    def __init__(self, session: Session, memory: CommandMemory | None = None, *, recalling: bool = False) -> None:
        self._session = session
        self._commands = SqlCommandRepository(session, memory, recalling=recalling)
        self.commands: CommandRepository = self._commands
        self.queues: QueueRepository = SqlQueueRepository(session)
        self.responses: ResponseRepository = SqlResponseRepository(session)
        self.evidence: EvidenceRepository = SqlEvidenceRepository(session)
        self.vehicles: VehicleRepository = SqlVehicleRepository(session)
        self.scanned_ecus: ScannedEcuRepository = SqlScannedEcuRepository(session)
        self.assignments: AssignmentRepository = SqlAssignmentRepository(session)
        self.connectors: ConnectorRepository = SqlConnectorRepository(session)
        self.identities: IdentityRepository = SqlIdentityRepository(session)
        self.idempotency: IdempotencyRepository = SqlIdempotencyRepository(session)
        self.audit: AuditRepository = SqlAuditRepository(session)
        self.reports: ReportRepository = SqlReportRepository(session)

    async def clock(self) -> datetime:
        if self._session.clock is None:
            (self._session.clock,) = await self._session.column(_clock)
        return self._session.clock

    async def commit(self) -> None:
        self.require_verified()
        await self._session.commit()
        self._commands.remember()

    def require_verified(self) -> None:
        """Raises Overtaken while something was decided by what this process only remembers."""
        self._commands.require_verified()


class SqlStorage:
    """Units of work on an engine of service_kit.database.open_engine, whose owner closes it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading_engine = reading_engine(engine)
        self._pool = None if engine.dialect.name == "sqlite" else DriverPool(engine, SCHEMA)
        self._memory = CommandMemory()
        self._connections_opened = 0

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _unit_of_work(self._engine) if self._pool is None else self._direct(self._pool, Mode.TRANSACTION)

    def recalling(self) -> AbstractAsyncContextManager[UnitOfWork]:
        if self._pool is None:
            return _unit_of_work(self._engine)
        return self._direct(self._pool, Mode.OPTIMISTIC, recalling=True)

    def optimistic(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _unit_of_work(self._engine) if self._pool is None else self._direct(self._pool, Mode.OPTIMISTIC)

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return _unit_of_work(self._reading_engine) if self._pool is None else self._direct(self._pool, Mode.READING)

    @asynccontextmanager
    async def _direct(self, pool: DriverPool, mode: Mode, *, recalling: bool = False) -> AsyncIterator[UnitOfWork]:
        with driver_errors():
            driver = await pool.take()
        if pool.opened != self._connections_opened:
            # A server that took over may never have seen what was written last, and use its versions again.
            self._connections_opened, self._memory = pool.opened, CommandMemory()
        usable = True
        try:
            session = DirectSession(driver, mode, self._memory.clock)
            try:
                uow = SqlUnitOfWork(session, self._memory, recalling=recalling)
                yield uow
                uow.require_verified()
            finally:
                await session.roll_back()
        except (asyncio.CancelledError, GeneratorExit, Unavailable):
            usable = False
            raise
        finally:
            pool.give_back(driver, usable=usable)


@asynccontextmanager
async def _unit_of_work(engine: AsyncEngine) -> AsyncIterator[UnitOfWork]:
    connection = engine.connect()
    try:
        with database_errors():
            await to_its_end(connection.start())
        yield SqlUnitOfWork(Session(connection))
    finally:
        with database_errors():
            # Rolls back what was not committed.
            await to_its_end(connection.close())
