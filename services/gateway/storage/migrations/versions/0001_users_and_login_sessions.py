"""Users, login sessions, refresh tokens, WebSocket tickets and the outbox of audit entries."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime, UuidText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", UuidText(), primary_key=True),
        sa.Column("username", sa.String(64), nullable=False, unique=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("full_name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'engineer', 'admin')", name="users_role_check"),
    )
    op.create_table(
        "login_sessions",
        sa.Column("sid", UuidText(), primary_key=True),
        sa.Column("user_id", UuidText(), sa.ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("end_reason", sa.String(32)),
        sa.Column("remote_address", sa.String(64), nullable=False),
    )
    op.create_index("login_sessions_user_id", "login_sessions", ["user_id"])
    op.create_index("login_sessions_expires_at", "login_sessions", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("sid", UuidText(), sa.ForeignKey("login_sessions.sid", ondelete="CASCADE"), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime()),
    )
    op.create_index("refresh_tokens_sid", "refresh_tokens", ["sid"])
    op.create_table(
        "ws_tickets",
        sa.Column("ticket_hash", sa.String(64), primary_key=True),
        sa.Column("sid", UuidText(), sa.ForeignKey("login_sessions.sid", ondelete="CASCADE"), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ws_tickets_sid", "ws_tickets", ["sid"])
    op.create_index("ws_tickets_expires_at", "ws_tickets", ["expires_at"])
    op.create_table(
        "audit_outbox",
        sa.Column("entry_id", UuidText(), primary_key=True),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    for table in ("audit_outbox", "ws_tickets", "refresh_tokens", "login_sessions", "users"):
        op.drop_table(table)
