"""Things stay as they are; their parts lose their colour. On SQLite both tables are rebuilt."""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("parts") as parts:
        parts.drop_column("colour")
    with op.batch_alter_table("things", recreate="auto") as things:
        things.alter_column("place", existing_type=Integer(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("parts") as parts:
        parts.add_column(Column("colour", Integer))
