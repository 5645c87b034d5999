"""The last log-in of everybody who has logged in before it was recorded, as far as the sessions tell."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        sa.text(
            "UPDATE users SET last_login_at ="
            " (SELECT max(created_at) FROM login_sessions WHERE login_sessions.user_id = users.user_id)"
            " WHERE last_login_at IS NULL"
        )
    )


def downgrade() -> None:
    """What is known stays."""
