"""When a user last logged in, and with what: columns that nothing reads or writes yet."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("last_login_at", UtcDateTime()))
    op.add_column("login_sessions", sa.Column("user_agent", sa.String(256)))


def downgrade() -> None:
    op.drop_column("login_sessions", "user_agent")
    op.drop_column("users", "last_login_at")
