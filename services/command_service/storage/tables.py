"""The tables of the command service.

What keeps them fast however long the history grows:
- Keys grow with time (UUIDv7 and issued numbers), so that new rows go to the end of their indexes.
- No index mentions a column that changes with every transition. A claim and a recorded response touch no index at all
  (PostgreSQL: heap-only updates, for which the pages keep room); a dispatch and an end do.
- What looks for open commands has partial indexes that know only those.
There are no foreign keys on what is written with every command: the locks of the use cases see to it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    text,
)

from service_kit.database import UtcDateTime, UuidText

SCHEMA = "command_service"

metadata = MetaData(schema=SCHEMA)

# Compared byte by byte: faster, and the same order on every machine.
KeyText = Text(collation="C").with_variant(Text(), "sqlite")
# SQLite counts only INTEGER PRIMARY KEY up.
IssuedNumber = BigInteger().with_variant(Integer(), "sqlite")

commands = Table(
    "commands",
    metadata,
    # The order of acceptance.
    Column("accept_number", IssuedNumber, Identity(), primary_key=True),
    Column("command_id", UuidText, nullable=False),
    Column("vehicle_id", UuidText, nullable=False),
    Column("command_name", KeyText, nullable=False),
    Column("command_params", Text, nullable=False),
    Column("command_class", Text, nullable=False),
    Column("repeatable", Boolean, nullable=False),
    Column("lane", KeyText, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("user_id", KeyText, nullable=False),
    Column("username", Text, nullable=False),
    Column("timeout_seconds", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("stream_duration_ms", Integer, nullable=False),
    Column("status", KeyText, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("responses", Integer, nullable=False),
    Column("results_recorded", Integer, nullable=False),
    Column("dispatch_number", Integer, nullable=False),
    Column("connector_id", Text),
    Column("session_epoch", BigInteger, nullable=False),
    Column("dispatched_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("deadline_at", UtcDateTime),
    Column("session_lost_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    Column("cancel_requested_by", Text, nullable=False),
    Column("cancel_outcome", Text, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("nrc", SmallInteger, nullable=False),
    Column("progress_nrc", SmallInteger, nullable=False),
    # Set by retention; the count in `responses` stays.
    Column("responses_deleted_at", UtcDateTime),
    # The lane while the command holds it. A condition on status would say the same, but then every change of status
    # would be a change of the index and so of all of them.
    Column(
        "active_lane",
        KeyText,
        Computed("CASE WHEN status IN ('dispatched', 'in_progress') THEN lane END", persisted=True),
    ),
    # The status once it is final, for the same reason.
    Column("final_status", KeyText, Computed("CASE WHEN completed_at IS NOT NULL THEN status END", persisted=True)),
    CheckConstraint(
        "(completed_at IS NOT NULL) = (status NOT IN ('pending', 'dispatched', 'in_progress'))",
        name="commands_completed_at_check",
    ),
    sqlite_autoincrement=True,
    postgresql_with={"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.05},
)

_is_open = text("completed_at IS NULL")
_is_final = text("final_status IS NOT NULL")
_is_active = text("active_lane IS NOT NULL")
_is_pending = text("completed_at IS NULL AND active_lane IS NULL")

Index("commands_command_id", commands.c.command_id, unique=True)
# One command at a time per lane.
Index("commands_lane", commands.c.active_lane, unique=True, postgresql_where=_is_active, sqlite_where=_is_active)
Index("commands_open", commands.c.vehicle_id, postgresql_where=_is_open, sqlite_where=_is_open)
Index("commands_expiry", commands.c.expires_at, postgresql_where=_is_open, sqlite_where=_is_open)
# Listing, newest first, by each of the filters.
Index("commands_created_at", commands.c.created_at)
Index("commands_vehicle", commands.c.vehicle_id, commands.c.accept_number)
Index("commands_user", commands.c.user_id, commands.c.accept_number)
Index("commands_name", commands.c.command_name, commands.c.accept_number)
Index("commands_pending", commands.c.accept_number, postgresql_where=_is_pending, sqlite_where=_is_pending)
Index(
    "commands_final_status",
    commands.c.final_status,
    commands.c.accept_number,
    postgresql_where=_is_final,
    sqlite_where=_is_final,
)
_is_kept = text("completed_at IS NOT NULL AND responses_deleted_at IS NULL")
Index("commands_retention", commands.c.completed_at, postgresql_where=_is_kept, sqlite_where=_is_kept)

responses = Table(
    "responses",
    metadata,
    Column("command_id", UuidText, primary_key=True),
    Column("sequence_number", Integer, primary_key=True, autoincrement=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
)

evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", IssuedNumber, Identity(), primary_key=True),
    Column("command_id", UuidText, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
Index("evidence_once", evidence.c.command_id, evidence.c.attempt, evidence.c.number, evidence.c.kind, unique=True)

# Of commands that have ended, how many were sent within an hour, by how they ended and how long they took (a class of
# domain/durations.py): what a summary is made of.
ended_commands = Table(
    "ended_commands",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("status", KeyText, primary_key=True),
    Column("duration", SmallInteger, primary_key=True, autoincrement=False),
    Column("ended", BigInteger, nullable=False),
)

# One row: all commands that ended before this are counted, each once; its lock lets one process count.
ended_commands_mark = Table(
    "ended_commands_mark",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("folded_until", UtcDateTime, nullable=False),
)

vehicles = Table(
    "vehicles",
    metadata,
    Column("vehicle_id", UuidText, primary_key=True),
    Column("vin", KeyText, nullable=False),
    Column("make", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("year", Integer, nullable=False),
    Column("link_kind", Text, nullable=False),
    Column("link_address", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # JSON: [[address, name], …]
    Column("ecus", Text, nullable=False),
    Column("connection_status", Text, nullable=False),
    Column("connector_id", KeyText),
    Column("session_epoch", BigInteger, nullable=False),
    # Changes with every heartbeat.
    Column("last_seen_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    # VIN, make and model in folded case: what a search looks in.
    Column("search_text", Text, nullable=False),
    # The diagnostic lock, in the row that every submit locks: it cannot be taken in the middle of one.
    Column("lock_owner_id", KeyText),
    Column("lock_owner", Text),
    Column("lock_taken_at", UtcDateTime),
    Column("lock_expires_at", UtcDateTime),
    # Why it is not reached, where it must be dialled.
    Column("link_problem_reason", Text),
    Column("link_problem_since", UtcDateTime),
    postgresql_with={"fillfactor": 70},
)
_exists = text("deleted_at IS NULL")
_is_connected = text("connector_id IS NOT NULL")
Index("vehicles_vin", vehicles.c.vin, unique=True, postgresql_where=_exists, sqlite_where=_exists)
# Listing by each of what it can be sorted by that does not change all the time.
for _sorted_by, _value in (
    ("make", func.lower(vehicles.c.make)),
    ("model", func.lower(vehicles.c.model)),
    ("year", vehicles.c.year),
):
    Index(f"vehicles_{_sorted_by}", _value, vehicles.c.vehicle_id, postgresql_where=_exists, sqlite_where=_exists)
Index("vehicles_connector", vehicles.c.connector_id, postgresql_where=_is_connected, sqlite_where=_is_connected)

Index(
    "vehicles_dialled",
    vehicles.c.vehicle_id,
    postgresql_where=text("link_kind <> 'session' AND deleted_at IS NULL"),
    sqlite_where=text("link_kind <> 'session' AND deleted_at IS NULL"),
)

# Apart from the vehicles: every session's work would carry the column along.
dialled_vehicles = Table(
    "dialled_vehicles",
    metadata,
    Column("vehicle_id", UuidText, primary_key=True),
    Column("connector_id", KeyText, nullable=False),
)
Index("dialled_vehicles_connector", dialled_vehicles.c.connector_id)

# What scans found: apart from the vehicles, whose rows change with every session.
scanned_ecus = Table(
    "scanned_ecus",
    metadata,
    Column("vehicle_id", UuidText, primary_key=True),
    Column("address", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    # JSON: {fact: text, …}
    Column("facts", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

# A vehicle has one at most; used, it names the certificate it was used for.
enrolment_codes = Table(
    "enrolment_codes",
    metadata,
    Column("vehicle_id", UuidText, primary_key=True),
    Column("code_hash", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("wrong_tries", SmallInteger, nullable=False),
    Column("serial", Text, nullable=False),
)

vehicle_certificates = Table(
    "vehicle_certificates",
    metadata,
    Column("serial", KeyText, primary_key=True),
    Column("vehicle_id", UuidText, nullable=False),
    # What a session is opened with.
    Column("fingerprint", KeyText, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("not_after", UtcDateTime, nullable=False),
    # PEM, for a vehicle whose answer was lost.
    Column("chain", Text, nullable=False),
    Column("revoked_at", UtcDateTime),
)
Index("vehicle_certificates_fingerprint", vehicle_certificates.c.fingerprint, unique=True)
Index(
    "vehicle_certificates_vehicle",
    vehicle_certificates.c.vehicle_id,
    vehicle_certificates.c.issued_at,
    vehicle_certificates.c.serial,
)

connectors = Table(
    "connectors",
    metadata,
    Column("connector_id", KeyText, primary_key=True),
    Column("address", Text, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("draining", Boolean, nullable=False),
    postgresql_with={"fillfactor": 50},
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", KeyText, primary_key=True),
    Column("key", KeyText, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("command_id", UuidText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
Index("idempotency_keys_created_at", idempotency_keys.c.created_at)

# Never changed after they are stored: what makes the chain lies beside them.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("entry_id", UuidText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("action", KeyText, nullable=False),
    Column("actor_id", KeyText, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", KeyText, nullable=False),
    Column("outcome", Text, nullable=False),
    # JSON object.
    Column("details", Text, nullable=False),
    Column("remote_address", Text, nullable=False),
)
Index("audit_entries_at", audit_entries.c.at, audit_entries.c.entry_id)
Index("audit_entries_action", audit_entries.c.action, audit_entries.c.at, audit_entries.c.entry_id)
Index("audit_entries_actor", audit_entries.c.actor_id, audit_entries.c.at, audit_entries.c.entry_id)
Index("audit_entries_subject", audit_entries.c.subject_id, audit_entries.c.at, audit_entries.c.entry_id)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("chain_number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", UuidText, nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("audit_seals_entry_id", audit_seals.c.entry_id, unique=True)

# The sealer's queue.
audit_unsealed = Table(
    "audit_unsealed",
    metadata,
    Column("at", UtcDateTime, primary_key=True),
    Column("entry_id", UuidText, primary_key=True),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 10000},
)

# One row: the end of the chain, kept beside it so that a cut tail shows; its lock lets one sealer run.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("last_number", BigInteger, nullable=False),
    Column("last_hash", String(64), nullable=False),
)
