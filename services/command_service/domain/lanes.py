"""Lanes: what may run beside what, and the one function that answers "may this run now?".

A lane is a vehicle and an ECU; in it commands run one at a time, higher priority first, then in the order accepted. A
functional or whole-vehicle command takes the vehicle exclusively: it waits for all that is ahead of it in any lane,
and all behind it waits for it. A data stream has a lane of its own beside its ECU's. What a diagnostic lock holds back
stands in nobody's way: else the lock's owner would wait for it, and it for the owner.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from command_service.domain.command import ACTIVE, Command, Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from service_kit.uds import is_functional


def lane_key(vehicle_id: str, ecu_address: int, *, stream: bool = False) -> str:
    """Unique per lane; the address is canonical, so "0x10" and "0x0010" share one."""
    if is_functional(ecu_address):
        return whole_vehicle(vehicle_id)
    return f"{vehicle_id}:{ecu_address:x}" + (":stream" if stream else "")


def whole_vehicle(vehicle_id: str) -> str:
    """The lane of what concerns all ECUs."""
    return f"{vehicle_id}:*"


class Verdict(StrEnum):
    RUN = "run"
    EXPIRED = "expired"
    # Somebody else has the vehicle's diagnostic lock.
    HELD_BACK = "held_back"
    VEHICLE_OFFLINE = "vehicle_offline"
    # Another command of the lane runs or is ahead.
    LANE_BUSY = "lane_busy"
    # A command that takes the vehicle exclusively runs or is ahead, or it is exclusive and others are.
    VEHICLE_BUSY = "vehicle_busy"


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What the lanes need to know of an open command."""

    command_id: str
    vehicle_id: str
    lane: str
    exclusive: bool
    priority: int
    accept_number: int
    status: Status
    expires_at: datetime
    user_id: str
    command_class: str


def queue_entry(command: Command, *, accept_number: int | None = None) -> QueueEntry:
    return QueueEntry(
        command.command_id,
        command.vehicle_id,
        command.lane,
        command.exclusive,
        command.priority,
        command.accept_number if accept_number is None else accept_number,
        command.status,
        command.expires_at,
        command.user_id,
        command.command_class,
    )


@dataclass(slots=True)
class VehicleSituation:
    """What a vehicle is doing, as far as it decides what else may run on it."""

    reachable: bool
    lock: DiagnosticLock | None = None
    busy_lanes: set[str] = field(default_factory=set)
    taken_exclusively: bool = False

    def occupy(self, entry: QueueEntry) -> None:
        self.busy_lanes.add(entry.lane)
        self.taken_exclusively = self.taken_exclusively or entry.exclusive


def may_run_now(entry: QueueEntry, situation: VehicleSituation, now: datetime) -> Verdict:
    """The answer for a waiting command, given all that runs and all that is ahead of it."""
    if now >= entry.expires_at:
        return Verdict.EXPIRED
    if situation.lock is not None and situation.lock.holds_back(entry.user_id, entry.command_class, now):
        return Verdict.HELD_BACK
    if situation.taken_exclusively or (entry.exclusive and situation.busy_lanes):
        return Verdict.VEHICLE_BUSY
    if entry.lane in situation.busy_lanes:
        return Verdict.LANE_BUSY
    if not situation.reachable:
        return Verdict.VEHICLE_OFFLINE
    return Verdict.RUN


def verdicts(
    entries: Iterable[QueueEntry], now: datetime, *, reachable: bool, lock: DiagnosticLock | None = None
) -> dict[str, Verdict]:
    """The verdict on each waiting command of one vehicle, by command_id, in the order they would run."""
    entries = list(entries)
    situation = VehicleSituation(reachable, lock)
    for entry in entries:
        if entry.status in ACTIVE:
            situation.occupy(entry)
    answers: dict[str, Verdict] = {}
    waiting = (entry for entry in entries if entry.status is Status.PENDING)
    for entry in sorted(waiting, key=lambda entry: (-entry.priority, entry.accept_number)):
        verdict = answers[entry.command_id] = may_run_now(entry, situation, now)
        if verdict not in (Verdict.EXPIRED, Verdict.HELD_BACK):
            # Whether it runs or waits, what comes behind it in its lane waits for it.
            situation.occupy(entry)
    return answers
