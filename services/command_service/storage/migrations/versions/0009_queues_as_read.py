"""PostgreSQL: what an acceptance without locks of its own is verified by.

Python decides by what it read; this only takes the vehicles' locks and looks whether that still holds. In a function
each statement sees all that was committed before it began (PostgreSQL 38.7), so the look at the commands sees what
whoever had the locks before did. A row that was waited for is read anew once it is locked (13.2.1).
"""

from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Two conditions, evaluated one after the other. A setting for the search path would cost as much as both.
_FUNCTION = """
CREATE FUNCTION require_queues_as_read(vehicle_ids uuid[], versions text[], waiting uuid[], active uuid[])
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(vehicle_ids) > (
        SELECT count(*) FROM (
            SELECT v.vehicle_id, v.xmin::text AS version FROM {schema}.vehicles v
            WHERE v.vehicle_id = ANY (vehicle_ids) ORDER BY v.vehicle_id FOR NO KEY UPDATE
        ) AS locked
        WHERE locked.version = versions[array_position(vehicle_ids, locked.vehicle_id)]
    ) THEN
        RAISE serialization_failure USING MESSAGE = 'a vehicle is not as it was read';
    END IF;
    IF EXISTS (
        SELECT FROM {schema}.commands c
        WHERE c.vehicle_id = ANY (vehicle_ids) AND c.completed_at IS NULL
        AND c.command_id <> ALL (CASE WHEN c.active_lane IS NULL THEN waiting ELSE active END)
    ) THEN
        RAISE serialization_failure USING MESSAGE = 'the queue of a vehicle is not as it was read';
    END IF;
    RETURN true;
END
$$
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
        op.execute(_FUNCTION.format(schema=schema))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION require_queues_as_read")
