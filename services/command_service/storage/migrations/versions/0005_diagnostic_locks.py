"""Who holds the diagnostic lock of a vehicle, and until when."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.add_column("vehicles", sa.Column("lock_owner_id", KeyText))
    op.add_column("vehicles", sa.Column("lock_owner", sa.Text))
    op.add_column("vehicles", sa.Column("lock_taken_at", UtcDateTime))
    op.add_column("vehicles", sa.Column("lock_expires_at", UtcDateTime))


def downgrade() -> None:
    for name in ("lock_expires_at", "lock_taken_at", "lock_owner", "lock_owner_id"):
        op.drop_column("vehicles", name)
