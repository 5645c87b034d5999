from command_service.storage.tables import metadata
from service_kit.database import run_migrations

run_migrations(metadata)
