"""Sessions of vehicles with connectors: opened, closed, seen, presented again; and what becomes of what they carry."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from command_service.domain.command import Command, Status
from command_service.domain.identity import VehicleCertificate, certificate_refusal
from command_service.domain.vehicle import ConnectionStatus, Ecu, LinkKind, Vehicle
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.cancel_command import ConnectorControl
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Storage, UnitOfWork
from service_kit.errors import Conflict, NotFound, ServiceError


@dataclass(frozen=True, slots=True)
class HeldCommand:
    """What a vehicle or a connector says it still works on."""

    command_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TakeUp:
    """What becomes of a held command. Not `wanted`: drop it. `timeout_ms` is what is left of the attempt."""

    held: HeldCommand
    wanted: bool = False
    next_number: int = 1
    timeout_ms: int = 0
    cancel_requested: bool = False
    vehicle_id: str = ""
    command_name: str = ""
    traceparent: str = ""
    stream_duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """`link_kind`: how the vehicle and its connector came together; what was dialled says nothing of its ECUs.
    `fingerprint`: of the certificate that it presented, "" for one that was known otherwise."""

    connector_id: str
    vin: str
    ecus: list[Ecu]
    held: Sequence[HeldCommand] = ()
    link_kind: str = LinkKind.SESSION
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class SessionOpened:
    vehicle_id: str
    session_epoch: int
    take_ups: list[TakeUp] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SessionEnd:
    connector_id: str
    vehicle_id: str
    session_epoch: int


class VehicleSessions:
    def __init__(
        self, storage: Storage, limits: Limits, control: ConnectorControl, announcer: Announcer, waker: DispatchWaker
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._control = control
        self._announcer = announcer
        self._waker = waker

    async def open(self, hellos: Sequence[Hello]) -> list[SessionOpened | ServiceError]:
        """One answer each, in order; a vehicle that says hello twice has the later session."""
        aftermath = Aftermath(self._announcer, self._waker)
        superseded: list[tuple[str, str, int]] = []
        answers: list[SessionOpened | ServiceError] = []
        async with self._storage.transaction() as uow:
            by_vin = await uow.vehicles.by_vin({hello.vin for hello in hellos})
            vehicles = await uow.vehicles.lock({vehicle.vehicle_id for vehicle in by_vin.values()})
            now = await uow.clock()
            carried = await carried_by(uow, vehicles.keys())
            held = await uow.commands.get({held.command_id for hello in hellos for held in hello.held})
            grounds = await _grounds(uow, hellos, vehicles.keys(), now)
            for hello in hellos:
                vehicle = vehicles.get(by_vin[hello.vin].vehicle_id) if hello.vin in by_vin else None
                if vehicle is None:
                    answers.append(NotFound("UNKNOWN_VEHICLE", f"no vehicle with VIN {hello.vin} is registered"))
                    continue
                if (refusal := grounds.refusal(hello, vehicle)) is not None:
                    _tell_of_refusal(hello, vehicle, refusal, now, aftermath)
                    answers.append(refusal)
                    continue
                if vehicle.connector_id not in (None, hello.connector_id):
                    superseded.append((str(vehicle.connector_id), vehicle.vehicle_id, vehicle.session_epoch))
                vehicle.open_session(hello.connector_id, hello.ecus if _dials_in(hello) else vehicle.ecus, now)
                aftermath.vehicle_changed(vehicle, now)
                ours = carried[vehicle.vehicle_id]
                _move_to_session(ours, vehicle, hello, now, aftermath)
                known = held | {command.command_id: command for command in ours}
                take_ups = [_take_up(one, known.get(one.command_id), vehicle, now) for one in hello.held]
                answers.append(SessionOpened(vehicle.vehicle_id, vehicle.session_epoch, take_ups))
            await uow.vehicles.update(list(vehicles.values()))
            await uow.commands.update([command for commands in carried.values() for command in commands])
            await uow.commit()
        aftermath.tell()
        for connector_id, vehicle_id, epoch in superseded:
            await self._control.session_superseded(connector_id, vehicle_id, epoch)
        return answers

    async def close(self, ends: Sequence[SessionEnd]) -> None:
        """An end of a session that is not the newest any more changes nothing."""
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicles = await uow.vehicles.lock({end.vehicle_id for end in ends})
            sessions = {
                end.vehicle_id: end.session_epoch
                for end in ends
                if end.vehicle_id in vehicles and vehicles[end.vehicle_id].connector_id == end.connector_id
            }
            await lose_sessions(uow, vehicles, sessions, aftermath)
            await uow.commit()
        aftermath.tell()

    async def seen(self, sessions: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Heartbeats of (vehicle_id, session_epoch), collected. Returns those that are not the newest of their vehicle:
        word of that was lost on its way to the connector."""
        async with self._storage.transaction() as uow:
            await uow.vehicles.touch(sessions)
            newest = await uow.vehicles.session_epochs({vehicle_id for vehicle_id, _ in sessions})
            await uow.commit()
        return [(vehicle_id, epoch) for vehicle_id, epoch in sessions if newest.get(vehicle_id) != epoch]

    async def renew_leases(self, renewals: Sequence[tuple[str, bool]]) -> list[bool]:
        """For (connector_id, draining): whether the lease was extended; False for one that is not registered."""
        async with self._storage.transaction() as uow:
            known = await uow.connectors.renew(renewals, self._limits.lease_seconds)
            await uow.commit()
        return [connector_id in known for connector_id, _ in renewals]

    async def register_connector(
        self, connector_id: str, address: str, sessions: Sequence[tuple[str, int]], commands: Sequence[HeldCommand]
    ) -> tuple[list[TakeUp], list[tuple[str, int]]]:
        """A connector attaches (again) with the sessions (vehicle_id, epoch) and commands it holds.

        Returns what becomes of each command, and the sessions that are no longer the newest of their vehicle. A session
        that it does not present has ended: word of that, or of its opening, was lost with the stream before.
        """
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            await uow.connectors.register(connector_id, address, self._limits.lease_seconds)
            vehicles = await uow.vehicles.lock({vehicle_id for vehicle_id, _ in sessions})
            stored = await uow.commands.lock({held.command_id for held in commands})
            now = await uow.clock()
            superseded = []
            for vehicle_id, epoch in sessions:
                vehicle = vehicles.get(vehicle_id)
                if vehicle is None or vehicle.session_epoch != epoch:
                    superseded.append((vehicle_id, epoch))
                elif not vehicle.reachable:
                    _reopen(vehicle, connector_id, now)
                    aftermath.vehicle_changed(vehicle, now)
            current = {vehicle_id for vehicle_id, _ in sessions} - {vehicle_id for vehicle_id, _ in superseded}
            take_ups = []
            for held in commands:
                command = stored.get(held.command_id)
                if command and _is_carried(command, held) and command.vehicle_id in current:
                    command.take_up(connector_id, vehicles[command.vehicle_id].session_epoch, now)
                take_ups.append(_answer(held, command, now))
            await uow.vehicles.update(list(vehicles.values()))
            await uow.commands.update(list(stored.values()))
            there = set(await uow.vehicles.on_connector(connector_id))
            await uow.commit()
        aftermath.tell()
        await self._end_sessions(connector_id, there - current)
        return take_ups, superseded

    async def _end_sessions(self, connector_id: str, vehicle_ids: Collection[str]) -> None:
        """In a transaction of its own: locks are taken in order only within one."""
        if not vehicle_ids:
            return
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicles = await uow.vehicles.lock(vehicle_ids)
            sessions = {
                vehicle.vehicle_id: vehicle.session_epoch
                for vehicle in vehicles.values()
                if vehicle.connector_id == connector_id
            }
            await lose_sessions(uow, vehicles, sessions, aftermath)
            await uow.commit()
        aftermath.tell()


async def lose_sessions(
    uow: UnitOfWork, vehicles: Mapping[str, Vehicle], sessions: Mapping[str, int], aftermath: Aftermath
) -> int:
    """Ends the sessions (vehicle_id → epoch) of locked vehicles: what was on its way waits again, what was handed over
    waits for the vehicle. Returns how many commands that touched."""
    now = await uow.clock()
    gone = [vehicle for key, epoch in sessions.items() if (vehicle := vehicles[key]).close_session(epoch, now)]
    for vehicle in gone:
        aftermath.vehicle_changed(vehicle, now)
    carried = await carried_by(uow, {vehicle.vehicle_id for vehicle in gone})
    commands = [command for of_vehicle in carried.values() for command in of_vehicle]
    for command in commands:
        _lose(command, now, aftermath)
    await uow.vehicles.update(gone)
    await uow.commands.update(commands)
    return len(commands)


async def carried_by(uow: UnitOfWork, vehicle_ids: Collection[str]) -> defaultdict[str, list[Command]]:
    """Locked commands that are dispatched or in progress, by vehicle."""
    carried: defaultdict[str, list[Command]] = defaultdict(list)
    found = await uow.commands.in_progress_on(vehicle_ids) if vehicle_ids else []
    for command in (await uow.commands.lock(found) if found else {}).values():
        if command.status in (Status.DISPATCHED, Status.IN_PROGRESS):
            carried[command.vehicle_id].append(command)
    return carried


@dataclass(frozen=True, slots=True)
class _Grounds:
    """What a hello may be refused on."""

    dialled_by: Mapping[str, str]
    certificates: Mapping[str, VehicleCertificate]
    now: datetime

    def refusal(self, hello: Hello, vehicle: Vehicle) -> ServiceError | None:
        if hello.link_kind != vehicle.link_kind:
            return Conflict("LINK_MISMATCH", f"the vehicle is registered with a {vehicle.link_kind} link")
        if not _dials_in(hello) and self.dialled_by.get(vehicle.vehicle_id) != hello.connector_id:
            return Conflict("NOT_ASSIGNED", "another connector dials this vehicle")
        if hello.fingerprint:
            return certificate_refusal(self.certificates.get(hello.fingerprint), vehicle.vehicle_id, self.now)
        return None


async def _grounds(uow: UnitOfWork, hellos: Sequence[Hello], vehicle_ids: Collection[str], now: datetime) -> _Grounds:
    """Looked up only where somebody was dialled, or presented a certificate."""
    dialled_by = {} if all(map(_dials_in, hellos)) else await uow.assignments.dialled_by(vehicle_ids)
    presented = {hello.fingerprint for hello in hellos if hello.fingerprint}
    return _Grounds(dialled_by, await uow.identities.by_fingerprint(presented) if presented else {}, now)


def _tell_of_refusal(
    hello: Hello, vehicle: Vehicle, refusal: ServiceError, now: datetime, aftermath: Aftermath
) -> None:
    """A vehicle that dials in is refused for its certificate only: whoever is told of here has one with that VIN."""
    is_its_own = _dials_in(hello) and vehicle.link_kind is LinkKind.SESSION
    if is_its_own and vehicle.not_reached(f"turned away: {refusal.message}", now):
        aftermath.vehicle_changed(vehicle, now)


def _dials_in(hello: Hello) -> bool:
    return hello.link_kind == LinkKind.SESSION


def _lose(command: Command, now: datetime, aftermath: Aftermath) -> None:
    if command.status is Status.DISPATCHED:
        command.return_to_queue(now)
        aftermath.status_changed(command, now)
    elif command.status is Status.IN_PROGRESS:
        command.lose_session(now)


def _move_to_session(
    carried: list[Command], vehicle: Vehicle, hello: Hello, now: datetime, aftermath: Aftermath
) -> None:
    """What the vehicle holds goes on in its new session; what it does not hold is as good as lost with the old one."""
    for command in carried:
        if any(_is_carried(command, held) for held in hello.held):
            command.take_up(hello.connector_id, vehicle.session_epoch, now)
        else:
            _lose(command, now, aftermath)


def _is_carried(command: Command, held: HeldCommand) -> bool:
    return (
        command.command_id == held.command_id
        and command.attempt == held.attempt
        and command.status is Status.IN_PROGRESS
    )


def _take_up(held: HeldCommand, command: Command | None, vehicle: Vehicle, now: datetime) -> TakeUp:
    """A vehicle gets no say in a command that was never its own."""
    if command is not None and command.vehicle_id != vehicle.vehicle_id:
        return TakeUp(held)
    return _answer(held, command, now)


def _answer(held: HeldCommand, command: Command | None, now: datetime) -> TakeUp:
    if command is None:
        return TakeUp(held)
    current = _is_carried(command, held)
    left = (command.deadline_at - now).total_seconds() if current and command.deadline_at else command.timeout_seconds
    return TakeUp(
        held,
        wanted=current or command.wants_evidence(held.attempt),
        next_number=command.results_recorded + 1 if current else 1,
        timeout_ms=max(1, int(left * 1000)),
        cancel_requested=command.cancel_pending,
        vehicle_id=command.vehicle_id,
        command_name=command.command_name,
        traceparent=command.traceparent,
        stream_duration_ms=command.stream_duration_ms,
    )


def _reopen(vehicle: Vehicle, connector_id: str, now: datetime) -> None:
    """The session outlived its connector's lease: nobody else took the vehicle meanwhile, so it goes on."""
    vehicle.connection_status = ConnectionStatus.ONLINE
    vehicle.connector_id = connector_id
    vehicle.last_seen_at = now
    vehicle.link_problem = None
