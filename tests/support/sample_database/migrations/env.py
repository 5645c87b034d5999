from service_kit.database import run_migrations
from tests.support.sample_database import metadata

run_migrations(metadata)
