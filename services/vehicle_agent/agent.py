"""Keeps the vehicle online for as long as it answers: first its link, then the session.

"Online" means that the vehicle can take commands, so without a link there is no session: the agent says goodbye and
dials the vehicle again. What it still holds is delivered when the vehicle is back.
"""

import asyncio
import contextlib
import time
from typing import Any

import grpc

from service_kit.backoff import Backoff
from service_kit.logging import get_logger
from sovd_protos.session.v1.session_pb2 import Welcome
from vehicle_agent.executor import LinkExecutor
from vehicle_links.dialled import Connection, DialledVehicle, Dialler, Unreachable
from vehicle_session.session_client import Call, SessionClient

_log = get_logger(__name__)

# How long what runs may take to say what came of it once the vehicle is lost.
_SETTLE_SECONDS = 2.0


class AgentSession(SessionClient):
    """A session that says in the log when it begins and ends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connector = ""
        self._reason = ""

    def _opened(self, call: Call, welcome: Welcome) -> None:
        super()._opened(call, welcome)
        self._connector, self._reason = welcome.connector_id, ""
        held = len(self.executions.held)
        _log.info("online", vin=self.identity.vin, connector=self._connector, held=held)

    def _lost(self, error: Exception) -> None:
        super()._lost(error)
        self._reason = str(error.details() if isinstance(error, grpc.aio.AioRpcError) else error)

    def _closed(self) -> None:
        if self.connected.is_set():
            _log.info("offline", vin=self.identity.vin, connector=self._connector, reason=self._reason or "goodbye")
        super()._closed()


class Agent:
    def __init__(
        self,
        vehicle: DialledVehicle,
        dialler: Dialler,
        executor: LinkExecutor,
        session: SessionClient,
        *,
        redial_max_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._vehicle = vehicle
        self._dialler = dialler
        self._executor = executor
        self._session = session
        self._redial_max_seconds = redial_max_seconds
        self._backoff = Backoff(min(0.5, redial_max_seconds), redial_max_seconds)
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._reported = ""

    async def run(self) -> None:
        """Until `stop`; raises what makes going on impossible (a journal that cannot be written)."""
        while not self._stopping.is_set():
            connection = await self._dial()
            if connection is not None:
                begin = time.monotonic()
                try:
                    await self._while_it_lasts(connection)
                finally:
                    await connection.close()
                    await self._settle(_SETTLE_SECONDS)
                if time.monotonic() - begin > self._redial_max_seconds:
                    self._backoff.reset()  # but one that comes and goes is not dialled all the time
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._backoff.pause())

    def stop(self) -> None:
        """What runs may end; then it says goodbye."""
        self._stopping.set()

    async def _dial(self) -> Connection | None:
        try:
            return await self._dialler.dial(self._vehicle)
        except Unreachable as error:
            self._report(str(error))
        except Exception as error:
            _log.error("dialling_failed", vin=self._vehicle.vin, exc_info=error)
        return None

    async def _while_it_lasts(self, connection: Connection) -> None:
        _log.info("vehicle_reached", vin=self._vehicle.vin, link=self._vehicle.link_kind, address=self._vehicle.address)
        self._reported = ""
        self._executor.connection = connection
        session = self._session.start()
        lost = asyncio.ensure_future(connection.lost())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((session, lost, stopping), return_when=asyncio.FIRST_COMPLETED)
            if session.done():
                session.result()
            if lost.done():
                self._report(lost.result())
            # While there is a session to say it on.
            await self._settle(_SETTLE_SECONDS if lost.done() else self._drain_seconds)
            await self._executor.give_up()
        finally:
            lost.cancel()
            stopping.cancel()
            await self._session.leave()
            self._executor.connection = None

    async def _settle(self, seconds: float) -> None:
        """What runs says what came of it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._executor.idle(), seconds)

    def _report(self, reason: str) -> None:
        """Once for each new reason, not for each try."""
        if reason != self._reported:
            _log.warning("vehicle_not_reached", vin=self._vehicle.vin, link=self._vehicle.link_kind, reason=reason)
        self._reported = reason
