"""A service's database with three revisions, for the tests of what all services share."""

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

from service_kit.database import UtcDateTime, UuidText

SCHEMA = "sample"
MIGRATIONS = "tests.support.sample_database.migrations"

metadata = MetaData(schema=SCHEMA)

things = Table(
    "things",
    metadata,
    Column("thing_id", UuidText, primary_key=True),
    Column("place", Integer, nullable=False, unique=True),
    Column("made_at", UtcDateTime),
)

parts = Table(
    "parts",
    metadata,
    Column("part_id", Integer, primary_key=True),
    Column("thing_id", UuidText, ForeignKey(things.c.thing_id, ondelete="CASCADE"), nullable=False),
)
