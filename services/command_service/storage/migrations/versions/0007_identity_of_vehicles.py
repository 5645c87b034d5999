"""One-time codes that enrol vehicles, and the certificates that vehicles have."""

import sqlalchemy as sa
from alembic import op

from service_kit.database import UtcDateTime, UuidText

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KeyText = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "enrolment_codes",
        sa.Column("vehicle_id", UuidText, primary_key=True),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("wrong_tries", sa.SmallInteger, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
    )
    op.create_table(
        "vehicle_certificates",
        sa.Column("serial", KeyText, primary_key=True),
        sa.Column("vehicle_id", UuidText, nullable=False),
        sa.Column("fingerprint", KeyText, nullable=False),
        sa.Column("issued_at", UtcDateTime, nullable=False),
        sa.Column("not_after", UtcDateTime, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("revoked_at", UtcDateTime),
    )
    op.create_index("vehicle_certificates_fingerprint", "vehicle_certificates", ["fingerprint"], unique=True)
    op.create_index("vehicle_certificates_vehicle", "vehicle_certificates", ["vehicle_id", "issued_at", "serial"])


def downgrade() -> None:
    op.drop_table("vehicle_certificates")
    op.drop_table("enrolment_codes")
