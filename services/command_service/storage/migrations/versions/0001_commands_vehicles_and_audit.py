"""Commands with responses and evidence, vehicles, connectors, idempotency keys and the audit trail."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime, UuidText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
IssuedNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_commands()
    _create_results()
    _create_fleet()
    _create_idempotency_keys()
    _create_audit()


def downgrade() -> None:
    for table in (
        "audit_chain",
        "audit_unsealed",
        "audit_seals",
        "audit_entries",
        "idempotency_keys",
        "connectors",
        "vehicles",
        "evidence",
        "responses",
        "commands",
    ):
        op.drop_table(table)


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    condition = {} if where is None else {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}
    options: dict[str, Any] = {"unique": unique, **condition}
    op.create_index(name, table, list(columns), **options)


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("accept_number", IssuedNumber, sa.Identity(), primary_key=True),
        sa.Column("command_id", UuidText, nullable=False),
        sa.Column("vehicle_id", UuidText, nullable=False),
        sa.Column("command_name", KeyText, nullable=False),
        sa.Column("command_params", sa.Text, nullable=False),
        sa.Column("command_class", sa.Text, nullable=False),
        sa.Column("repeatable", sa.Boolean, nullable=False),
        sa.Column("lane", KeyText, nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("user_id", KeyText, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("timeout_seconds", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("stream_duration_ms", sa.Integer, nullable=False),
        sa.Column("status", KeyText, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("responses", sa.Integer, nullable=False),
        sa.Column("results_recorded", sa.Integer, nullable=False),
        sa.Column("dispatch_number", sa.Integer, nullable=False),
        sa.Column("connector_id", sa.Text),
        sa.Column("session_epoch", sa.BigInteger, nullable=False),
        sa.Column("dispatched_at", UtcDateTime),
        sa.Column("started_at", UtcDateTime),
        sa.Column("deadline_at", UtcDateTime),
        sa.Column("session_lost_at", UtcDateTime),
        sa.Column("completed_at", UtcDateTime),
        sa.Column("cancel_requested_at", UtcDateTime),
        sa.Column("cancel_requested_by", sa.Text, nullable=False),
        sa.Column("cancel_outcome", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text, nullable=False),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("nrc", sa.SmallInteger, nullable=False),
        sa.Column("progress_nrc", sa.SmallInteger, nullable=False),
        sa.Column("responses_deleted_at", UtcDateTime),
        sa.Column(
            "active_lane",
            KeyText,
            sa.Computed("CASE WHEN status IN ('dispatched', 'in_progress') THEN lane END", persisted=True),
        ),
        sa.Column(
            "final_status", KeyText, sa.Computed("CASE WHEN completed_at IS NOT NULL THEN status END", persisted=True)
        ),
        sa.CheckConstraint(
            "(completed_at IS NOT NULL) = (status NOT IN ('pending', 'dispatched', 'in_progress'))",
            name="commands_completed_at_check",
        ),
        sqlite_autoincrement=True,
        postgresql_with={"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.05},
    )
    _index("commands_command_id", "commands", "command_id", unique=True)
    _index("commands_lane", "commands", "active_lane", unique=True, where="active_lane IS NOT NULL")
    _index("commands_open", "commands", "vehicle_id", where="completed_at IS NULL")
    _index("commands_expiry", "commands", "expires_at", where="completed_at IS NULL")
    _index("commands_created_at", "commands", "created_at")
    _index("commands_vehicle", "commands", "vehicle_id", "accept_number")
    _index("commands_user", "commands", "user_id", "accept_number")
    _index("commands_name", "commands", "command_name", "accept_number")
    _index("commands_pending", "commands", "accept_number", where="completed_at IS NULL AND active_lane IS NULL")
    _index("commands_final_status", "commands", "final_status", "accept_number", where="final_status IS NOT NULL")
    _index(
        "commands_retention",
        "commands",
        "completed_at",
        where="completed_at IS NOT NULL AND responses_deleted_at IS NULL",
    )


def _create_results() -> None:
    op.create_table(
        "responses",
        sa.Column("command_id", UuidText, primary_key=True),
        sa.Column("sequence_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "evidence",
        sa.Column("evidence_id", IssuedNumber, sa.Identity(), primary_key=True),
        sa.Column("command_id", UuidText, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    _index("evidence_once", "evidence", "command_id", "attempt", "number", "kind", unique=True)


def _create_fleet() -> None:
    op.create_table(
        "vehicles",
        sa.Column("vehicle_id", UuidText, primary_key=True),
        sa.Column("vin", KeyText, nullable=False),
        sa.Column("make", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("link_kind", sa.Text, nullable=False),
        sa.Column("link_address", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ecus", sa.Text, nullable=False),
        sa.Column("connection_status", sa.Text, nullable=False),
        sa.Column("connector_id", KeyText),
        sa.Column("session_epoch", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", UtcDateTime),
        sa.Column("deleted_at", UtcDateTime),
        sa.Column("search_text", sa.Text, nullable=False),
        postgresql_with={"fillfactor": 70},
    )
    _index("vehicles_vin", "vehicles", "vin", unique=True, where="deleted_at IS NULL")
    _index("vehicles_connector", "vehicles", "connector_id", where="connector_id IS NOT NULL")
    op.create_table(
        "connectors",
        sa.Column("connector_id", KeyText, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("lease_until", UtcDateTime, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
        postgresql_with={"fillfactor": 50},
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", KeyText, primary_key=True),
        sa.Column("key", KeyText, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("command_id", UuidText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    _index("idempotency_keys_created_at", "idempotency_keys", "created_at")


def _create_audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", UuidText, primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("action", KeyText, nullable=False),
        sa.Column("actor_id", KeyText, nullable=False),
        sa.Column("actor_name", sa.Text, nullable=False),
        sa.Column("subject_kind", sa.Text, nullable=False),
        sa.Column("subject_id", KeyText, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("remote_address", sa.Text, nullable=False),
    )
    _index("audit_entries_at", "audit_entries", "at", "entry_id")
    _index("audit_entries_action", "audit_entries", "action", "at", "entry_id")
    _index("audit_entries_actor", "audit_entries", "actor_id", "at", "entry_id")
    _index("audit_entries_subject", "audit_entries", "subject_id", "at", "entry_id")
    op.create_table(
        "audit_seals",
        sa.Column("chain_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("entry_id", UuidText, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    _index("audit_seals_entry_id", "audit_seals", "entry_id", unique=True)
    op.create_table(
        "audit_unsealed",
        sa.Column("at", UtcDateTime, primary_key=True),
        sa.Column("entry_id", UuidText, primary_key=True),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 10000},
    )
    chain = op.create_table(
        "audit_chain",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(chain, [{"only": 1, "last_number": 0, "last_hash": "0" * 64}])
