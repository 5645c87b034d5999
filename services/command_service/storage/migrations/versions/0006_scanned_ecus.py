"""What scans found out about vehicles' ECUs."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime, UuidText

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scanned_ecus",
        sa.Column("vehicle_id", UuidText, primary_key=True),
        sa.Column("address", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("scanned_ecus")
