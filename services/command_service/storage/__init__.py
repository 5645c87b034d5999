"""The command service's database: it owns vehicles, commands, responses and the audit trail."""

from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.storage.tables import SCHEMA
from command_service.storage.unit_of_work import SqlStorage
from service_kit.database import is_migrated as _is_migrated
from service_kit.database import upgrade

__all__ = ["MIGRATIONS", "OLDEST", "SCHEMA", "SqlStorage", "is_migrated", "migrate"]

MIGRATIONS = "command_service.storage.migrations"
# The oldest revision that this code can work on; on an older database a service waits until it is migrated.
OLDEST = "0009"


async def migrate(database_url: str) -> None:
    """Brings the command service's schema to the newest revision."""
    await upgrade(database_url, MIGRATIONS, SCHEMA)


async def is_migrated(engine: AsyncEngine) -> bool:
    return await _is_migrated(engine, MIGRATIONS, SCHEMA, OLDEST)
