"""Dispatching: for vehicles where something changed, commit what may run now to the connector of their session."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from command_service.domain.command import Command, Status
from command_service.domain.lanes import QueueEntry, Verdict, verdicts
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.ports import Storage


class DispatchCommands:
    def __init__(self, storage: Storage, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._announcer = announcer
        self._waker = waker

    async def __call__(self, vehicle_ids: Collection[str]) -> list[Command]:
        """Commits `dispatched` for every command of the vehicles that may run now, and returns them to be published."""
        async with self._storage.reading() as uow:
            # Most vehicles are woken by the end of their last command, and have nothing to do: lock only the others.
            vehicle_ids = await uow.commands.runnable_among(vehicle_ids)
        if not vehicle_ids:
            return []
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicles = await uow.vehicles.lock(vehicle_ids)
            reachable = {key: vehicle for key, vehicle in vehicles.items() if vehicle.reachable}
            if not reachable:
                return []
            queues: dict[str, list[QueueEntry]] = defaultdict(list)
            for entry in await uow.queues.open_of_vehicles(reachable.keys()):
                queues[entry.vehicle_id].append(entry)
            now = await uow.clock()
            chosen = [
                command_id
                for vehicle_id, queue in queues.items()
                for command_id, verdict in verdicts(queue, now, reachable=True, lock=reachable[vehicle_id].lock).items()
                if verdict is Verdict.RUN
            ]
            if not chosen:
                return []
            locked = await uow.commands.lock(chosen)
            commands = [command for command in locked.values() if command.status is Status.PENDING]
            for command in commands:
                vehicle = reachable[command.vehicle_id]
                assert vehicle.connector_id is not None, "a reachable vehicle has a connector"
                command.dispatch(vehicle.connector_id, vehicle.session_epoch, now)
                aftermath.status_changed(command, now)
            await uow.commands.update(commands)
            await uow.commit()
        aftermath.tell()
        return commands

    async def take_back(self, unpublished: Sequence[tuple[str, int]]) -> int:
        """(command_id, dispatch_number) pairs that the broker did not take: back to the queue, which is no attempt.

        An unconfirmed message may arrive all the same; the next dispatch number fences it. Nobody is woken: trying
        again at once would spin, the dispatcher's next sweep finds them. Returns how many went back.
        """
        aftermath = Aftermath(self._announcer, _Nobody())
        numbers = dict(unpublished)
        async with self._storage.transaction() as uow:
            locked = await uow.commands.lock(numbers.keys())
            now = await uow.clock()
            commands = [
                command
                for command in locked.values()
                if command.status is Status.DISPATCHED and command.dispatch_number == numbers[command.command_id]
            ]
            for command in commands:
                command.return_to_queue(now)
                aftermath.status_changed(command, now)
            await uow.commands.update(commands)
            await uow.commit()
        aftermath.tell()
        return len(commands)


class _Nobody:
    def wake(self, vehicle_ids: Iterable[str]) -> None:
        pass
