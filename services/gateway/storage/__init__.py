"""The gateway's database: what it owns is users and login sessions."""

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.storage.tables import SCHEMA
from service_kit.database import is_migrated as _is_migrated
from service_kit.database import upgrade

MIGRATIONS = "gateway.storage.migrations"
# The oldest revision that this code can work on; on an older database a service waits until it is migrated.
OLDEST = "0002"


async def migrate(database_url: str) -> None:
    """Brings the gateway's schema to the newest revision."""
    await upgrade(database_url, MIGRATIONS, SCHEMA)


async def is_migrated(engine: AsyncEngine) -> bool:
    return await _is_migrated(engine, MIGRATIONS, SCHEMA, OLDEST)
