"""Run by alembic; see service_kit.database."""

from gateway.storage.tables import metadata
from service_kit.database import run_migrations

run_migrations(metadata)
