"""Vehicles, their ECUs and the session that reaches them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from command_service.domain.diagnostic_lock import DiagnosticLock


class LinkKind(StrEnum):
    SESSION = "session"
    SOVD = "sovd"
    DOIP = "doip"


class ConnectionStatus(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Ecu:
    """`address` is canonical: an integer, as on the bus. `facts`: what it said of itself when a scan found it last, at
    `seen_at`, by the names of the catalogue; one that only was announced has neither."""

    address: int
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    seen_at: datetime | None = None


def known_ecus(announced: Iterable[Ecu], scanned: Iterable[Ecu]) -> list[Ecu]:
    """By address. The name that the vehicle announces is what people there call it."""
    known = {ecu.address: ecu for ecu in scanned}
    for ecu in announced:
        known[ecu.address] = replace(known.get(ecu.address, ecu), name=ecu.name or known.get(ecu.address, ecu).name)
    return [known[address] for address in sorted(known)]


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """Why a vehicle is not reached, or was turned away as it dialled in, for people, and since when that is so."""

    reason: str
    since: datetime


@dataclass(slots=True)
class Vehicle:
    """A vehicle of the fleet. `connector_id` names the connector that holds its session, None while offline."""

    vehicle_id: str
    vin: str
    make: str
    model: str
    year: int
    link_kind: LinkKind
    link_address: str
    created_at: datetime
    ecus: list[Ecu] = field(default_factory=list)
    connection_status: ConnectionStatus = ConnectionStatus.OFFLINE
    connector_id: str | None = None
    # Counts the sessions: only the newest may hand commands over.
    session_epoch: int = 0
    last_seen_at: datetime | None = None
    deleted_at: datetime | None = None
    # The last one that was taken; its time may be up.
    lock: DiagnosticLock | None = None
    link_problem: LinkProblem | None = None

    @property
    def reachable(self) -> bool:
        return self.connection_status is ConnectionStatus.ONLINE and self.connector_id is not None

    def lock_at(self, now: datetime) -> DiagnosticLock | None:
        return self.lock if self.lock is not None and self.lock.lasts(now) else None

    def open_session(self, connector_id: str, ecus: list[Ecu], now: datetime) -> None:
        """The newest session wins: what an older one still says is refused by its epoch."""
        self.connection_status = ConnectionStatus.ONLINE
        self.connector_id = connector_id
        self.session_epoch += 1
        self.last_seen_at = now
        self.ecus = ecus
        self.link_problem = None

    def not_reached(self, reason: str, now: datetime) -> bool:
        """False when that is known, or cannot be: it has a session."""
        known = self.link_problem is not None and self.link_problem.reason == reason
        if known or self.reachable:
            return False
        self.link_problem = LinkProblem(reason, since=now)
        return True

    def forget_link_problem(self) -> bool:
        """Whether there was one: nobody tries to reach it that way any more."""
        had_one = self.link_problem is not None
        self.link_problem = None
        return had_one

    def close_session(self, session_epoch: int, now: datetime) -> bool:
        """False when that session was not the newest, and nothing changed."""
        if session_epoch != self.session_epoch or self.connection_status is ConnectionStatus.OFFLINE:
            return False
        self.connection_status = ConnectionStatus.OFFLINE
        self.connector_id = None
        return True
