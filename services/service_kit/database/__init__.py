"""The relational database of a service: PostgreSQL, or SQLite where everything runs in one process."""

from service_kit.database.driver_pool import DriverPool
from service_kit.database.engine import (
    cause_of,
    database_errors,
    database_url,
    is_sqlite,
    open_engine,
    reading_engine,
    to_its_end,
)
from service_kit.database.migrations import downgrade, is_migrated, run_migrations, upgrade
from service_kit.database.types import ListOf, UtcDateTime, UuidText, any_of, db_now

__all__ = [
    "DriverPool",
    "ListOf",
    "UtcDateTime",
    "UuidText",
    "any_of",
    "cause_of",
    "database_errors",
    "database_url",
    "db_now",
    "downgrade",
    "is_migrated",
    "is_sqlite",
    "open_engine",
    "reading_engine",
    "run_migrations",
    "to_its_end",
    "upgrade",
]
