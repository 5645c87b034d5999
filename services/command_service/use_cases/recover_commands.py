"""The watchdog: what no message will ever tell, the clock does. Each look is one bounded transaction."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta

from command_service.domain.command import WAITING, Command, Status, UnknownFate
from command_service.domain.lanes import QueueEntry
from command_service.domain.vehicle import Vehicle
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import command_ended
from command_service.use_cases.cancel_command import ConnectorControl
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Storage, UnitOfWork
from command_service.use_cases.unreached_vehicles import forget_link_problems
from command_service.use_cases.vehicle_sessions import lose_sessions

_PER_LOOK = 500

Change = Callable[[Command, datetime], None]


class RecoverCommands:
    """Every method returns how many commands it changed, at most _PER_LOOK: the others wait for the next look."""

    def __init__(
        self, storage: Storage, limits: Limits, control: ConnectorControl, announcer: Announcer, waker: DispatchWaker
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._control = control
        self._announcer = announcer
        self._waker = waker

    async def expire_waiting(self) -> int:
        """What waited until its expiry ends `expired`, and says whether it was the vehicle or the queue."""

        async def change(uow: UnitOfWork, commands: list[Command], now: datetime) -> list[Command]:
            waiting = [command for command in commands if command.status in WAITING and now >= command.expires_at]
            vehicle_ids = {command.vehicle_id for command in waiting}
            vehicles = await uow.vehicles.get(vehicle_ids)
            queue = await uow.queues.open_of_vehicles(vehicle_ids)
            for command in waiting:
                command.expire(now, *_why_expired(command, vehicles.get(command.vehicle_id), queue))
            return waiting

        return await self._look(lambda uow: uow.commands.expired(_PER_LOOK), change)

    async def requeue_unclaimed(self) -> int:
        """Dispatched but not claimed in time: back to the queue, which is no attempt."""

        latest = timedelta(seconds=self._limits.claim_seconds)

        async def change(_: UnitOfWork, commands: list[Command], now: datetime) -> list[Command]:
            unclaimed = [
                command
                for command in commands
                if command.status is Status.DISPATCHED and _is_before(command.dispatched_at, now - latest)
            ]
            for command in unclaimed:
                command.return_to_queue(now)
            return unclaimed

        return await self._look(lambda uow: uow.commands.unclaimed(self._limits.claim_seconds, _PER_LOOK), change)

    async def decide_overdue(self) -> int:
        """In progress, and its session stayed lost or its connector never reported: the fate is unknown."""
        limits = self._limits

        async def change(_: UnitOfWork, commands: list[Command], now: datetime) -> list[Command]:
            overdue = [command for command in commands if _is_overdue(command, limits, now)]
            for command in overdue:
                lost = command.session_lost_at is not None
                command.fate_unknown(UnknownFate.CONNECTION_LOST if lost else UnknownFate.SILENT, now)
            return overdue

        return await self._look(
            lambda uow: uow.commands.overdue(limits.deadline_grace_seconds, limits.session_grace_seconds, _PER_LOOK),
            change,
        )

    async def drop_lapsed_connectors(self) -> int:
        """A connector whose lease lapsed is gone: its vehicles are offline, and what it carried waits for them."""
        async with self._storage.reading() as uow:
            lapsed = await uow.connectors.lapsed(self._limits.lease_grace_seconds)
        # One transaction each: locks are taken in order only within one.
        return sum([await self._drop_connector(connector_id) for connector_id in lapsed])

    async def _drop_connector(self, connector_id: str) -> int:
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            # First of all, as when it registers: it cannot come back in the middle of this.
            if not await uow.connectors.remove_lapsed(connector_id, self._limits.lease_grace_seconds):
                return 0
            dialled = (await uow.assignments.of_connectors([connector_id])).get(connector_id, [])
            touched = {*await uow.vehicles.on_connector(connector_id), *(one.vehicle_id for one in dialled)}
            vehicles = await uow.vehicles.lock(touched)
            sessions = {
                vehicle.vehicle_id: vehicle.session_epoch
                for vehicle in vehicles.values()
                if vehicle.connector_id == connector_id
            }
            changed = await lose_sessions(uow, vehicles, sessions, aftermath)
            await forget_link_problems(uow, vehicles.values(), aftermath)
            await uow.commit()
        aftermath.tell()
        return changed

    async def repeat_cancels(self) -> int:
        """A cancel request whose message was lost is sent again."""
        async with self._storage.reading() as uow:
            commands = await uow.commands.cancels_unanswered(self._limits.cancel_repeat_seconds, _PER_LOOK)
        for command in commands:
            await self._control.request_cancel(command)
        return 0

    async def _look(
        self,
        find: Callable[[UnitOfWork], Awaitable[Collection[str]]],
        change: Callable[[UnitOfWork, list[Command], datetime], Awaitable[list[Command]]],
    ) -> int:
        async with self._storage.reading() as uow:
            found = await find(uow)
        if not found:
            return 0
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            # Looked for without a lock: locked now, and looked at again.
            commands = list((await uow.commands.lock(await find(uow))).values())
            now = await uow.clock()
            changed = await change(uow, commands, now)
            for command in changed:
                aftermath.status_changed(command, now)
            await uow.commands.update(changed)
            await uow.audit.append([command_ended(command, now) for command in changed if command.status.terminal])
            await uow.commit()
        aftermath.tell()
        return len(changed)


def _is_overdue(command: Command, limits: Limits, now: datetime) -> bool:
    """While its lock was waited for, its vehicle may have come back with it, or an answer moved its deadline."""
    if command.status is not Status.IN_PROGRESS:
        return False
    if command.session_lost_at is not None:
        return _is_before(command.session_lost_at, now - timedelta(seconds=limits.session_grace_seconds))
    return _is_before(command.deadline_at, now - timedelta(seconds=limits.deadline_grace_seconds))


def _is_before(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment < other


def _why_expired(command: Command, vehicle: Vehicle | None, queue: Collection[QueueEntry]) -> tuple[str, str]:
    if vehicle is None or not vehicle.reachable:
        return "EXPIRED_OFFLINE", "the vehicle did not come online before the command expired"
    lock, end = vehicle.lock, command.expires_at
    if lock is not None and lock.taken_at < end and lock.holds_back(command.user_id, command.command_class, end):
        return "EXPIRED_LOCKED", f"{lock.owner} had locked the vehicle until the command expired"
    others = [entry for entry in queue if entry.command_id != command.command_id and _is_in_the_way(entry, command)]
    if others:
        return (
            "EXPIRED_STARVED",
            f"other commands ran or stood before it in its lane until it expired ({len(others)} now)",
        )
    return "EXPIRED", "the command was not handed over before it expired"


def _is_in_the_way(entry: QueueEntry, command: Command) -> bool:
    if entry.vehicle_id != command.vehicle_id:
        return False
    if not (entry.lane == command.lane or entry.exclusive or command.exclusive):
        return False
    ahead = (-entry.priority, entry.accept_number) < (-command.priority, command.accept_number)
    return entry.status in (Status.DISPATCHED, Status.IN_PROGRESS) or ahead
