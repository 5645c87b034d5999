"""The gateway's tables: users, login sessions and what belongs to them."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, LargeBinary, MetaData, String, Table

from service_kit.database import UtcDateTime, UuidText

SCHEMA = "gateway"

metadata = MetaData(schema=SCHEMA)

users = Table(
    "users",
    metadata,
    Column("user_id", UuidText(), primary_key=True),
    # Lower case: "Admin" and "admin" are the same person.
    Column("username", String(64), nullable=False, unique=True),
    Column("email", String(254), nullable=False),
    Column("full_name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("is_active", Boolean(), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("last_login_at", UtcDateTime()),
    CheckConstraint("role IN ('viewer', 'engineer', 'admin')", name="users_role_check"),
)

# Tokens are never stored, only their SHA-256.
login_sessions = Table(
    "login_sessions",
    metadata,
    Column("sid", UuidText(), primary_key=True),
    Column("user_id", UuidText(), ForeignKey(users.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("ended_at", UtcDateTime()),
    Column("end_reason", String(32)),
    Column("remote_address", String(64), nullable=False),
    # As the client named itself at the log-in; of older sessions it is not known.
    Column("user_agent", String(256)),
    Index("login_sessions_user_id", "user_id"),
    Index("login_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("sid", UuidText(), ForeignKey(login_sessions.c.sid, ondelete="CASCADE"), nullable=False),
    Column("issued_at", UtcDateTime(), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    # A used token stays until its session is gone: showing it again gives its thief away.
    Column("used_at", UtcDateTime()),
    Index("refresh_tokens_sid", "sid"),
)

ws_tickets = Table(
    "ws_tickets",
    metadata,
    Column("ticket_hash", String(64), primary_key=True),
    Column("sid", UuidText(), ForeignKey(login_sessions.c.sid, ondelete="CASCADE"), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Index("ws_tickets_sid", "sid"),
    Index("ws_tickets_expires_at", "expires_at"),
)

# Audit entries on their way to the command service, each an encoded audit.v1.AuditEntry; UUIDv7 sorts by time.
audit_outbox = Table(
    "audit_outbox",
    metadata,
    Column("entry_id", UuidText(), primary_key=True),
    Column("entry", LargeBinary(), nullable=False),
)
