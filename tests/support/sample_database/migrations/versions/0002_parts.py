"""Parts of things."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer

from service_kit.database import UuidText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "parts",
        Column("part_id", Integer, primary_key=True),
        Column("thing_id", UuidText, ForeignKey("things.thing_id", ondelete="CASCADE"), nullable=False),
        Column("colour", Integer),
    )


def downgrade() -> None:
    op.drop_table("parts")
