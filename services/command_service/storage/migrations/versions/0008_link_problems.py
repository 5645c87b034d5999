"""Why a vehicle that must be dialled is not reached, and since when."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vehicles", sa.Column("link_problem_reason", sa.Text))
    op.add_column("vehicles", sa.Column("link_problem_since", UtcDateTime))


def downgrade() -> None:
    op.drop_column("vehicles", "link_problem_since")
    op.drop_column("vehicles", "link_problem_reason")
