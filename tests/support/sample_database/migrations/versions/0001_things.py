"""Things."""

from alembic import op
from sqlalchemy import Column, Integer

from service_kit.database import UtcDateTime, UuidText

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "things",
        Column("thing_id", UuidText, primary_key=True),
        Column("place", Integer, nullable=False, unique=True),
        Column("made_at", UtcDateTime),
    )


def downgrade() -> None:
    op.drop_table("things")
