"""What the use cases need of storage: one unit of work per transaction, with repositories that work in batches.

Rules that every adapter keeps:
- Nothing is visible to others before `commit`; leaving the block without it rolls back.
- A `lock…` method takes row locks held to the end of the transaction, in key order, so that two never deadlock: first
  vehicles (by vehicle_id), then commands (by command_id). An optimistic one only notes what it read, and the commit
  checks it.
- Identifiers that do not exist are simply missing from a result.
- A database that is away raises service_kit.errors.Unavailable.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from command_service.domain.audit import AuditEntry
from command_service.domain.command import Command
from command_service.domain.identity import EnrolmentCode, VehicleCertificate
from command_service.domain.lanes import QueueEntry
from command_service.domain.results import Evidence, RecordedResponse
from command_service.domain.vehicle import Ecu, Vehicle


@dataclass(frozen=True, slots=True)
class ClaimContext:
    """A locked command with what a claim is decided by, read in the same statement."""

    command: Command
    vehicle_session_epoch: int
    vehicle_connector_id: str | None
    # None: the connector that it was dispatched to is not registered (or the command is not dispatched).
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    user_id: str
    key: str
    request_hash: bytes
    command_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConnectorLease:
    connector_id: str
    address: str
    lease_until: datetime
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """A vehicle that a connector dials."""

    vehicle_id: str
    vin: str
    link_kind: str
    address: str


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """None or empty: any. `from_`/`to`: accepted at or after / before."""

    vehicle_id: str | None = None
    user_id: str | None = None
    statuses: Collection[str] = ()
    command_name: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    action: str | None = None
    actor_id: str | None = None
    subject_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


class VehicleSort(StrEnum):
    """By which of its facts; make and model in any case, who was never seen comes before all others."""

    VIN = "vin"
    MAKE = "make"
    MODEL = "model"
    YEAR = "year"
    LAST_SEEN_AT = "last_seen_at"


NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class CommandRepository(Protocol):
    async def insert(self, commands: Sequence[Command]) -> None:
        """Accept numbers are issued by the database in the order given. Raises AlreadyStored when a command_id is
        stored already (the transaction is then unusable: roll back). Of an optimistic unit of work it is the last
        change, and raises Overtaken when a vehicle or its queue is not as it was read."""

    async def get(self, command_ids: Collection[str]) -> dict[str, Command]: ...

    async def lock(self, command_ids: Collection[str]) -> dict[str, Command]: ...

    async def lock_for_claim(self, command_ids: Collection[str]) -> dict[str, ClaimContext]:
        """Locks the commands alone; vehicle and connector are read beside, in the same statement."""

    async def update(self, commands: Sequence[Command]) -> None:
        """Writes all fields that a transition can change. Callers hold the locks."""

    async def has_open(self, vehicle_id: str) -> bool: ...

    async def vehicles_with_runnable_work(self, limit: int, after: str = "") -> list[str]:
        """By vehicle_id, those above `after`: online, with pending commands that have not expired, in a lane that is
        free, and that no diagnostic lock holds back. It may name a vehicle whose commands have to wait all the same."""

    async def runnable_among(self, vehicle_ids: Collection[str]) -> list[str]:
        """Those of the vehicles that vehicles_with_runnable_work would name: a look without a lock."""

    async def in_progress_on(self, vehicle_ids: Collection[str]) -> list[str]:
        """command_ids dispatched or in progress on the vehicles."""

    async def expired(self, limit: int) -> list[str]:
        """command_ids that wait and whose expiry has passed, by the database's clock."""

    async def unclaimed(self, older_than_seconds: float, limit: int) -> list[str]:
        """command_ids dispatched longer ago than that."""

    async def overdue(self, deadline_grace_seconds: float, session_grace_seconds: float, limit: int) -> list[str]:
        """command_ids in progress whose session was lost longer ago than its grace, or which carry no lost session and
        passed their deadline by more than its grace."""

    async def cancels_unanswered(self, older_than_seconds: float, limit: int) -> list[Command]:
        """In progress with a cancel requested longer ago than that."""

    async def page(self, filter_: CommandFilter, limit: int, before: int | None) -> list[Command]:
        """Newest first: at most `limit` with accept_number < before."""


Queues = dict[str, list[QueueEntry]]  # by vehicle_id


class QueueRepository(Protocol):
    async def open_of_vehicles(self, vehicle_ids: Collection[str]) -> list[QueueEntry]:
        """All pending, dispatched and in-progress commands of the vehicles."""

    async def with_vehicles(self, vehicle_ids: Collection[str]) -> tuple[dict[str, Vehicle], Queues]:
        """The vehicles and their queues in one moment: what an optimistic unit of work inserts by."""


class ResponseRepository(Protocol):
    async def append(self, responses: Sequence[RecordedResponse]) -> None: ...

    async def page(self, command_id: str, after: int, limit: int) -> list[RecordedResponse]: ...

    async def after_each(self, known: Sequence[tuple[str, int]], limit_each: int) -> dict[str, list[RecordedResponse]]:
        """For (command_id, after) pairs: the next responses of each, at most `limit_each`, in one statement."""

    async def delete_of_commands_completed_before(self, before: datetime, limit: int) -> int:
        """Retention: deletes responses of ended commands, at most of `limit` commands; returns rows deleted."""


class EvidenceRepository(Protocol):
    async def append(self, evidence: Sequence[Evidence]) -> None:
        """One row per (command_id, attempt, number, kind): a repeat changes nothing."""

    async def page(self, command_id: str, limit: int, after: int) -> list[Evidence]:
        """Oldest first: evidence_id > after."""


class VehicleRepository(Protocol):
    """Deleted vehicles are not returned, except where said."""

    async def get(self, vehicle_ids: Collection[str]) -> dict[str, Vehicle]: ...

    async def vins(self, vehicle_ids: Collection[str]) -> dict[str, str]:
        """VIN by vehicle_id, deleted vehicles included."""

    async def by_vin(self, vins: Collection[str]) -> dict[str, Vehicle]: ...

    async def lock(self, vehicle_ids: Collection[str]) -> dict[str, Vehicle]:
        """FOR NO KEY UPDATE: serialises what changes a vehicle's queue or session."""

    async def insert(self, vehicle: Vehicle) -> None:
        """Raises AlreadyStored when another vehicle that is not deleted has the VIN."""

    async def update(self, vehicles: Sequence[Vehicle]) -> None: ...

    async def touch(self, seen: Sequence[tuple[str, int]]) -> None:
        """last_seen_at = now for (vehicle_id, session_epoch) pairs that are still the newest session."""

    async def session_epochs(self, vehicle_ids: Collection[str]) -> dict[str, int]: ...

    async def on_connector(self, connector_id: str) -> list[str]:
        """vehicle_ids whose newest session the connector holds."""

    async def page(
        self,
        search: str,
        connection_status: str,
        limit: int,
        after: tuple[Any, str] | None,
        sort: VehicleSort = VehicleSort.VIN,
        descending: bool = False,
    ) -> list[Vehicle]:
        """By (sort, vehicle_id), after that pair; `search` matches part of VIN, make or model in any case."""


class ScannedEcuRepository(Protocol):
    """The ECUs that scans found, each as it was found last."""

    async def of_vehicles(self, vehicle_ids: Collection[str]) -> dict[str, list[Ecu]]:
        """By vehicle_id; a vehicle that was never scanned is missing."""

    async def keep(self, found: Mapping[str, Sequence[Ecu]]) -> None:
        """By vehicle_id, in the order found: the last of an address counts. To be called before other changes."""


class ConnectorRepository(Protocol):
    async def register(self, connector_id: str, address: str, lease_seconds: float) -> None:
        """Inserts it, or renews its lease."""

    async def renew(self, renewals: Sequence[tuple[str, bool]], lease_seconds: float) -> set[str]:
        """Extends the leases of (connector_id, draining) by the database's clock; returns the known ones."""

    async def lapsed(self, grace_seconds: float) -> list[str]:
        """connector_ids whose lease lapsed longer ago than that."""

    async def remove_lapsed(self, connector_id: str, grace_seconds: float) -> bool:
        """Locks and removes it if its lease lapsed longer ago than that. To be called before vehicles are locked."""

    async def get(self, connector_ids: Collection[str]) -> dict[str, ConnectorLease]: ...


class AssignmentRepository(Protocol):
    """Which connector dials which of the vehicles whose link must be dialled."""

    async def unassigned(self, limit: int) -> list[str]:
        """vehicle_ids that nobody dials: no connector, one that is gone, or one that drains and has let go of it."""

    async def unassigned_among(self, vehicle_ids: Collection[str]) -> list[str]: ...

    async def loads(self) -> dict[str, int]:
        """How many vehicles each connector dials that has a lease and is not draining."""

    async def assign(self, assigned: Mapping[str, str]) -> None:
        """vehicle_id → connector_id; the vehicles are locked."""

    async def of_connectors(self, connector_ids: Collection[str]) -> dict[str, list[Assignment]]:
        """In order of vehicle_id; a connector with none is missing."""

    async def dialled_by(self, vehicle_ids: Collection[str]) -> dict[str, str]:
        """connector_id by vehicle_id."""


class IdentityRepository(Protocol):
    """Enrolment codes and certificates; whoever changes a vehicle's has locked the vehicle."""

    async def code(self, vehicle_id: str) -> EnrolmentCode | None: ...

    async def put_code(self, code: EnrolmentCode) -> None:
        """In the place of the one that the vehicle had."""

    async def delete_code(self, vehicle_id: str) -> None: ...

    async def add(self, certificate: VehicleCertificate) -> None: ...

    async def by_fingerprint(self, fingerprints: Collection[str]) -> dict[str, VehicleCertificate]: ...

    async def by_serial(self, serial: str) -> VehicleCertificate | None: ...

    async def page(self, vehicle_id: str, limit: int, before: tuple[datetime, str] | None) -> list[VehicleCertificate]:
        """Newest first by (issued_at, serial)."""

    async def revoke(self, vehicle_id: str, serial: str, now: datetime) -> list[str]:
        """That one, or all ("") of the vehicle; returns the serials that were not revoked before."""


class IdempotencyRepository(Protocol):
    async def find(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], IdempotencyRecord]:
        """By (user_id, key); older ones than 24 h do not count."""

    async def put(self, records: Sequence[IdempotencyRecord]) -> set[tuple[str, str]]:
        """Stores those whose key is free (or older than 24 h), awaiting a transaction that is just storing the same;
        returns the (user_id, key) pairs that were stored."""

    async def delete_old(self, limit: int) -> int: ...


class AuditRepository(Protocol):
    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """An entry_id that is stored already is left as it is."""

    async def page(self, filter_: AuditFilter, limit: int, before: tuple[datetime, str] | None) -> list[AuditEntry]:
        """Newest first by (at, entry_id)."""

    async def lock_chain(self) -> tuple[int, str]:
        """Number and hash of the last sealed entry (0 and GENESIS when none), locked so that one sealer runs."""

    async def unsealed(self, limit: int) -> list[AuditEntry]:
        """Committed entries that are not sealed, oldest first."""

    async def store_seals(self, sealed: Sequence[AuditEntry]) -> None:
        """Writes chain_number and hash of the entries and moves the end of the chain."""

    async def count_unsealed(self) -> int: ...

    async def chain_end(self) -> tuple[int, str]:
        """Number and hash of the end of the chain as recorded beside it: a cut tail shows by it."""

    def sealed(self) -> AsyncIterator[Sequence[AuditEntry]]:
        """All sealed entries in chain order, in pages."""


@dataclass(frozen=True, slots=True)
class EndedCount:
    """How many commands that were sent within an hour ended so, and took so long (a class of domain/durations.py)."""

    hour: datetime
    status: str
    duration: int
    count: int


class ReportRepository(Protocol):
    async def fault_readings(self, vehicle_id: str, among_newest: int) -> list[Command]:
        """The completed ReadDTC commands among the vehicle's newest, newest first, whose responses are still there."""

    async def count_commands(self, filter_: CommandFilter, at_most: int) -> int: ...

    async def ended_since(self, since: datetime) -> list[EndedCount]:
        """Of commands sent at or after the hour that begins there."""

    async def open_since(self, since: datetime) -> dict[str, int]:
        """By status."""

    async def count_vehicles(self) -> tuple[int, int]:
        """Online and offline."""

    async def count_waiting_for_offline_vehicles(self) -> int: ...

    async def first_unfolded_end(self, before: datetime) -> datetime | None:
        """When the first command ended that is not in the counts yet."""

    async def lock_folded_until(self) -> datetime:
        """The end up to which commands are in the counts, locked so that one process counts."""

    async def fold(self, until: datetime) -> None:
        """Counts what ended before that and is not in the counts yet."""

    async def forget_hours_before(self, before: datetime) -> None: ...


class AlreadyStored(Exception):
    """A row with that identity exists."""


class Overtaken(Exception):
    """Of an optimistic unit of work: what it was decided by was changed by somebody else since it was read. Nothing was
    stored."""


class UnitOfWork(Protocol):
    commands: CommandRepository
    queues: QueueRepository
    responses: ResponseRepository
    evidence: EvidenceRepository
    vehicles: VehicleRepository
    scanned_ecus: ScannedEcuRepository
    assignments: AssignmentRepository
    connectors: ConnectorRepository
    identities: IdentityRepository
    idempotency: IdempotencyRepository
    audit: AuditRepository
    reports: ReportRepository

    async def clock(self) -> datetime:
        """The database's clock, aware UTC. Costs no round trip after a `lock…` of this unit of work that found rows."""

    async def commit(self) -> None: ...


class Storage(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Read and write."""

    def optimistic(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Reads, decides, changes commands or inserts new ones and commits: in as few round trips as can be. What it
        was decided by is as it was read, or `commit` raises Overtaken (`insert`, where commands are new)."""

    def recalling(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """As `optimistic`, and commands that this process wrote last are not read. What is decided of such a one has to
        change it, or `commit` and leaving raise Overtaken: unread it may be another by now."""

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Read only; sees committed data."""
