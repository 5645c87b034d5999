"""Counts of ended commands by the hour they were sent in, and up to which end they have been counted."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
# What ended before that is never asked for.
COUNTED_BACK = timedelta(days=8)


def upgrade() -> None:
    op.create_table(
        "ended_commands",
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("status", KeyText, primary_key=True),
        sa.Column("duration", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
    )
    mark = op.create_table(
        "ended_commands_mark",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("folded_until", UtcDateTime, nullable=False),
    )
    op.bulk_insert(mark, [{"only": 1, "folded_until": datetime.now(UTC) - COUNTED_BACK}])


def downgrade() -> None:
    op.drop_table("ended_commands_mark")
    op.drop_table("ended_commands")
