"""The use cases of the command service on real storage, with small fakes for what they tell the outside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from command_service.domain.command import Command, Status
from command_service.domain.events import ViewerEvent
from command_service.domain.results import Evidence, Outcome, OutcomeKind, Progress, Result
from command_service.domain.vehicle import Vehicle
from command_service.storage import SqlStorage
from command_service.use_cases.actor import Actor
from command_service.use_cases.assign_vehicles import AssignVehicles
from command_service.use_cases.cancel_command import CancelCommand
from command_service.use_cases.claim_commands import ClaimAnswer, ClaimCommands, ClaimRequest
from command_service.use_cases.dispatch_commands import DispatchCommands
from command_service.use_cases.limits import Limits
from command_service.use_cases.lock_vehicles import LockVehicles
from command_service.use_cases.manage_vehicles import ManageVehicles
from command_service.use_cases.read_commands import ReadCommands
from command_service.use_cases.record_results import Acknowledgement, RecordResults
from command_service.use_cases.recover_commands import RecoverCommands
from command_service.use_cases.submission_batch import Submission
from command_service.use_cases.submit_commands import SubmitCommands
from command_service.use_cases.unreached_vehicles import UnreachedVehicles
from command_service.use_cases.vehicle_sessions import HeldCommand, Hello, SessionOpened, VehicleSessions
from service_kit.errors import ServiceError

ADMIN = Actor(str(uuid4()), "admin", "admin")
ENGINEER = Actor(str(uuid4()), "engineer", "engineer")
VINS = ("WDD1234567890ABCD", "WDD0987654321ZYXW")


@dataclass
class Heard:
    """Announcer, waker and connector control in one: what was told."""

    events: list[ViewerEvent] = field(default_factory=list)
    vehicles: list[tuple[str, str]] = field(default_factory=list)
    late: list[Evidence] = field(default_factory=list)
    woken: set[str] = field(default_factory=set)
    cancels: list[str] = field(default_factory=list)
    superseded: list[tuple[str, str, int]] = field(default_factory=list)
    published: list[Command] = field(default_factory=list)
    # False: acceptances leave all dispatching to the dispatcher.
    connected: bool = False

    def command_changed(self, command: Command, events: list[ViewerEvent], traceparent: str) -> None:
        self.events += events

    def results_came_late(self, command: Command, evidence: list[Evidence]) -> None:
        self.late += evidence

    def vehicle_changed(self, vehicle: Vehicle, now: datetime) -> None:
        self.vehicles.append((vehicle.vehicle_id, vehicle.connection_status.value))

    def publish(self, commands: Sequence[Command]) -> None:
        self.published += commands

    def wake(self, vehicle_ids: Iterable[str]) -> None:
        self.woken |= set(vehicle_ids)

    async def request_cancel(self, command: Command) -> None:
        self.cancels.append(command.command_id)

    async def session_superseded(self, connector_id: str, vehicle_id: str, session_epoch: int) -> None:
        self.superseded.append((connector_id, vehicle_id, session_epoch))


class World:
    """Shortcuts that read like the story of a test. Graces of zero make the watchdog decide at once."""

    def __init__(self, storage: SqlStorage, limits: Limits | None = None) -> None:
        self.storage = storage
        self.limits = limits or Limits()
        self.heard = heard = Heard()
        self.submit_all = SubmitCommands(storage, self.limits, heard, heard, heard)
        self.dispatch = DispatchCommands(storage, heard, heard)
        self.claim_all = ClaimCommands(storage, heard, heard)
        self.record_all = RecordResults(storage, self.limits, heard, heard)
        self.cancel = CancelCommand(storage, heard, heard, heard)
        self.sessions = VehicleSessions(storage, self.limits, heard, heard, heard)
        self.assign = AssignVehicles(storage)
        self.unreached = UnreachedVehicles(storage, heard, heard)
        self.recover = RecoverCommands(storage, self.limits, heard, heard, heard)
        self.read = ReadCommands(storage)
        self.vehicles = ManageVehicles(storage, heard, heard, heard)
        self.locks = LockVehicles(storage, self.limits, heard, heard)

    def with_limits(self, **changes: Any) -> "World":
        return World(self.storage, replace(self.limits, **changes))

    async def vehicle(self, vin: str = VINS[0]) -> str:
        return (await self.vehicles.create(ADMIN, vin, "Mercedes", "E-Class", 2024, "session", "")).vehicle_id

    async def online(
        self, vin: str = VINS[0], connector: str = "c1", held: Iterable[HeldCommand] = ()
    ) -> SessionOpened:
        if await self.sessions.renew_leases([(connector, False)]) == [False]:
            await self.sessions.register_connector(connector, "here:50052", [], [])
        (answer,) = await self.sessions.open([Hello(connector, vin, [], tuple(held))])
        assert isinstance(answer, SessionOpened), answer
        return answer

    async def submit(self, vehicle_id: str, name: str = "ReadDTC", **facts: Any) -> Command:
        (answer,) = await self.submit_all([a_submission(vehicle_id, name, **facts)])
        assert not isinstance(answer, ServiceError), answer
        return answer[0]

    async def command(self, command_id: str) -> Command:
        return (await self.read.get(command_id))[0]

    async def claim(self, command: Command, connector: str = "c1") -> ClaimAnswer:
        request = ClaimRequest(command.command_id, command.dispatch_number, command.session_epoch, connector)
        (answer,) = await self.claim_all([request])
        return answer

    async def handed_over(self, vehicle_id: str, name: str = "ReadDTC", **facts: Any) -> Command:
        """Submitted, dispatched and claimed by connector c1."""
        submitted = await self.submit(vehicle_id, name, **facts)
        await self.dispatch([vehicle_id])
        command = await self.command(submitted.command_id)
        answer = await self.claim(command)
        assert answer.refusal is None, answer
        return await self.command(command.command_id)

    async def results(
        self, command: Command, *contents: str | Progress | Outcome, first: int = 1, attempt: int = 1, by: str = "c1"
    ) -> list[Acknowledgement]:
        now = command.created_at
        return await self.record_all(
            [
                Result(command.command_id, attempt, number, content, by, now)
                for number, content in enumerate(contents, first)
            ]
        )

    async def statuses(self, *commands: Command) -> list[Status]:
        return [(await self.command(command.command_id)).status for command in commands]


DONE = Outcome(OutcomeKind.COMPLETED)

PARAMETERS = {
    "ReadDTC": '{"ecuAddress":"0x10"}',
    "ClearDTC": '{"ecuAddress":"0x10"}',
    "ReadDataByID": '{"ecuAddress":"0x18","dataId":"0xF190"}',
}


def a_submission(vehicle_id: str, name: str = "ReadDTC", **facts: Any) -> Submission:
    defaults: dict[str, Any] = {
        "command_id": str(uuid4()),
        "vehicle_id": vehicle_id,
        "command_name": name,
        "command_params": PARAMETERS.get(name, "{}"),
        "actor": ENGINEER,
    }
    return Submission(**(defaults | facts))
