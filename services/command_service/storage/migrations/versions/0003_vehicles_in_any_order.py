"""Indexes for the orders that the list of vehicles can have."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_EXISTS = sa.text("deleted_at IS NULL")
_SORTED_BY = {"make": "lower(make)", "model": "lower(model)", "year": "year"}


def upgrade() -> None:
    for name, value in _SORTED_BY.items():
        columns = [sa.text(value), sa.text("vehicle_id")]
        op.create_index(f"vehicles_{name}", "vehicles", columns, postgresql_where=_EXISTS, sqlite_where=_EXISTS)


def downgrade() -> None:
    for name in _SORTED_BY:
        op.drop_index(f"vehicles_{name}", "vehicles")
