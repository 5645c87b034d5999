"""The vehicles that this connector dials: keeps a connection to each that the command service has assigned to it.

While a connection lives the vehicle has a session, as one that dialled in has. What is assigned comes whole and again
and again, so a message that was lost loses nothing.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from service_kit.backoff import Backoff
from service_kit.logging import get_logger
from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector.command_service_stream import NotAttached
from vehicle_connector.lease import Lease
from vehicle_connector.sessions import Sessions
from vehicle_connector.vehicle_response import clean_reason
from vehicle_links.dialled import Connection, DialledLink, DialledVehicle, Dialler, Unreachable
from vehicle_links.vehicle_link import LinkEvents

_log = get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_FENCE_SECONDS = 0.5


class Stream(Protocol):
    @property
    def attached(self) -> bool: ...

    async def open_session(self, opened: wire.SessionOpened) -> wire.SessionAnswer: ...

    def session_closed(self, vehicle_id: str, session_epoch: int, reason: str) -> None: ...

    def vehicle_not_reached(self, not_reached: wire.VehicleNotReached) -> None: ...


class DialledVehicles:
    """By vehicle, one task each. `redial_max_seconds`: the longest pause between two tries to reach a vehicle."""

    def __init__(
        self,
        diallers: Mapping[str, Dialler],
        sessions: Sessions,
        stream: Stream,
        events: LinkEvents,
        lease: Lease,
        *,
        redial_max_seconds: float,
    ) -> None:
        self._diallers = diallers
        self._sessions = sessions
        self._stream = stream
        self._events = events
        self._lease = lease
        self._redial_max_seconds = redial_max_seconds
        self._keepers: dict[str, _Keeper] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def assign(self, assignments: wire.Assignments) -> None:
        """These and no others. One whose address has changed is dialled anew."""
        if self._sessions.draining:
            return  # all are let go of, each when nothing runs
        wanted = {vehicle.vehicle_id: vehicle for vehicle in _vehicles_of(assignments)}
        for vehicle_id, keeper in list(self._keepers.items()):
            if wanted.get(vehicle_id) != keeper.vehicle:
                del self._keepers[vehicle_id]
                self._end(keeper)
        for vehicle_id, vehicle in wanted.items():
            if vehicle_id in self._keepers:
                self._keepers[vehicle_id].hurry()  # the command service is back
            else:
                self._keepers[vehicle_id] = self._keeper(vehicle)

    def not_reached(self) -> Iterator[wire.VehicleNotReached]:
        """Those that were tried in vain, and why."""
        return (keeper.not_reached() for keeper in self._keepers.values() if keeper.problem)

    def announced(self, vin: str) -> None:
        """The vehicle says that it is there: no need to wait before it is dialled again."""
        for keeper in self._keepers.values():
            if keeper.vehicle.vin == vin:
                keeper.hurry()

    async def fence(self) -> None:
        """While the lease has lapsed another connector may be given a vehicle: none is kept that is not needed."""
        while True:
            await asyncio.sleep(_FENCE_SECONDS)
            if not self._lease.may_hand_over():
                for keeper in self._keepers.values():
                    keeper.leave_if_idle()

    async def close(self) -> None:
        """Ends what is still open; a draining connector has moved its vehicles away before."""
        for keeper in self._keepers.values():
            self._end(keeper)
        self._keepers.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    def _keeper(self, vehicle: DialledVehicle) -> "_Keeper":
        return _Keeper(
            vehicle,
            self._diallers.get(vehicle.link_kind),
            self._sessions,
            self._stream,
            self._events,
            self._lease,
            Backoff(min(_FIRST_PAUSE_SECONDS, self._redial_max_seconds), self._redial_max_seconds),
        )

    def _end(self, keeper: "_Keeper") -> None:
        task = asyncio.create_task(keeper.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Keeper:
    """Dials one vehicle for as long as it is assigned."""

    def __init__(
        self,
        vehicle: DialledVehicle,
        dialler: Dialler | None,
        sessions: Sessions,
        stream: Stream,
        events: LinkEvents,
        lease: Lease,
        backoff: Backoff,
    ) -> None:
        self.vehicle = vehicle
        self._dialler = dialler
        self._sessions = sessions
        self._stream = stream
        self._events = events
        self._lease = lease
        self._backoff = backoff
        self._link: DialledLink | None = None
        self._hurry = asyncio.Event()
        # Why it is not reached, as was said last; empty: it is, or was not tried yet.
        self.problem = ""
        self._task = asyncio.create_task(self._keep())

    def not_reached(self) -> wire.VehicleNotReached:
        return wire.VehicleNotReached(vehicle_id=self.vehicle.vehicle_id, reason=self.problem)

    def hurry(self) -> None:
        self._hurry.set()

    def leave_if_idle(self) -> None:
        if self._link is not None and self._link.idle:
            self._sessions.end(self._link, "lease_lapsed")

    async def end(self) -> None:
        """What runs is cut off: the vehicle is dialled by another connector now, or elsewhere."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep(self) -> None:
        while self._dialler is not None:
            if self._stream.attached and self._lease.may_hand_over() and not self._sessions.draining:
                await self._try(self._dialler)
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._backoff.pause())
        self._report(f"this connector has no link of the kind {self.vehicle.link_kind!r}")

    async def _try(self, dialler: Dialler) -> None:
        try:
            connection = await dialler.dial(self.vehicle)
        except Unreachable as error:
            self._report(str(error))
            return
        except Exception as error:
            _log.error("dialling_failed", vin=self.vehicle.vin, exc_info=error)
            self._report("dialling it failed; the connector's log says why")
            return
        try:
            self._link = await self._open(connection)
            if self._link is not None:
                self._backoff.reset()
                self.problem = ""
                reason = await self._link.lasts()
                _log.info("vehicle_connection_ended", vin=self.vehicle.vin, reason=reason)
                self._sessions.end(self._link, "closed")
        finally:
            await self._hang_up(connection)

    async def _open(self, connection: Connection) -> DialledLink | None:
        opened = wire.SessionOpened(vin=self.vehicle.vin, link_kind=self.vehicle.link_kind)
        try:
            answer = await self._stream.open_session(opened)
        except NotAttached:
            return None
        if answer.error_code:
            self._report(f"{answer.error_code}: {answer.error_message}")
            return None
        kind = self.vehicle.link_kind
        link = DialledLink(kind, answer.vehicle_id, answer.session_epoch, connection, self._events)
        if self._sessions.open(link, (), answer.take_ups) is None:
            self._stream.session_closed(link.vehicle_id, link.session_epoch, "superseded")
            return None
        return link

    async def _hang_up(self, connection: Connection) -> None:
        """To its end, also when this vehicle is given up meanwhile: nothing is to be left open."""
        link, self._link = self._link, None
        if link is not None:
            self._sessions.end(link, "closed")
        closing = asyncio.ensure_future(connection.close() if link is None else link.closed())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    def _report(self, reason: str) -> None:
        """Once for each new reason, not for each try."""
        reason = clean_reason(reason)
        if reason != self.problem:
            _log.info("vehicle_not_reached", vin=self.vehicle.vin, link=self.vehicle.link_kind, reason=reason)
            self.problem = reason
            self._stream.vehicle_not_reached(self.not_reached())


def _vehicles_of(assignments: wire.Assignments) -> list[DialledVehicle]:
    return [
        DialledVehicle(vehicle.vehicle_id, vehicle.vin, vehicle.link_kind, vehicle.address)
        for vehicle in assignments.vehicles
    ]
