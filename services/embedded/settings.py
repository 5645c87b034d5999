"""Settings of an embedded system. Secrets come from its data directory, the rest from whoever starts it."""

from pathlib import Path

from pydantic import SecretStr

from service_kit.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """What is not here is fixed by what embedded is: SQLite, in-memory messaging, free ports on loopback."""

    host: str
    port: Port
    data_dir: Path
    jwt_secret: SecretStr
    vehicle_credential_secret: SecretStr
