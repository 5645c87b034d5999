"""Cancelling, truthfully: prevented, cancelled, too late, or requested; what came of a request is told by an event."""

from typing import Protocol

from command_service.domain.command import CancelOutcome, Command
from command_service.use_cases.actor import Actor
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_command, command_ended
from command_service.use_cases.ports import Storage
from service_kit.errors import Forbidden, NotFound


class ConnectorControl(Protocol):
    """Tells connectors what cannot wait. A hint: it is repeated until it shows an effect."""

    async def request_cancel(self, command: Command) -> None: ...

    async def session_superseded(self, connector_id: str, vehicle_id: str, session_epoch: int) -> None: ...


class CancelCommand:
    def __init__(self, storage: Storage, control: ConnectorControl, announcer: Announcer, waker: DispatchWaker) -> None:
        self._storage = storage
        self._control = control
        self._announcer = announcer
        self._waker = waker

    async def __call__(self, command_id: str, actor: Actor) -> tuple[CancelOutcome, Command, str]:
        """Outcome, command and VIN. Only its submitter and an admin may. Raises NotFound, Forbidden."""
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            command = (await uow.commands.lock([command_id])).get(command_id)
            if command is None:
                raise NotFound("UNKNOWN_COMMAND", f"there is no command {command_id}")
            if actor.role != "admin" and actor.user_id != command.user_id:
                raise Forbidden("FORBIDDEN", "only the user who sent a command or an admin may cancel it")
            now = await uow.clock()
            revision = command.revision
            outcome = command.cancel(actor.username, now)
            entries = [about_command("command.cancel_requested", command, now, actor, cancel_outcome=outcome.value)]
            if command.revision != revision:
                aftermath.status_changed(command, now)
                await uow.commands.update([command])
                if command.status.terminal:
                    entries.append(command_ended(command, now))
            await uow.audit.append(entries)
            vins = await uow.vehicles.vins([command.vehicle_id])
            await uow.commit()
        aftermath.tell()
        if outcome is CancelOutcome.REQUESTED:
            await self._control.request_cancel(command)
        return outcome, command, vins[command.vehicle_id]
