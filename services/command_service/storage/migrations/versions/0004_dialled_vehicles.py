"""Which connector dials a vehicle that has to be dialled."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UuidText

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dialled_vehicles",
        sa.Column("vehicle_id", UuidText, primary_key=True),
        sa.Column("connector_id", KeyText, nullable=False),
    )
    op.create_index("dialled_vehicles_connector", "dialled_vehicles", ["connector_id"])
    where = sa.text("link_kind <> 'session' AND deleted_at IS NULL")
    op.create_index("vehicles_dialled", "vehicles", ["vehicle_id"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_index("vehicles_dialled", table_name="vehicles")
    op.drop_table("dialled_vehicles")
