"""Settings of an embedded system. Secrets come from its data directory, the rest from whoever starts it."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from gateway.settings import WEB_DIRECTORY, WebDirectory
from service_kit.settings import CommaList, Port, ServiceSettings
from vehicle_links.odx import check_odx_folder


class Settings(ServiceSettings):
    """What is not here is fixed by what embedded is: SQLite, in-memory messaging, free ports on loopback."""

    host: str
    port: Port
    data_dir: Path
    # Else the one that is built in services/web, if it is.
    web_directory: WebDirectory | None = Field(default=None, description=WEB_DIRECTORY)
    # VINs of simulated vehicles that do not stand still.
    driving_vehicles: CommaList = ()
    # PDX files for vehicles on DoIP, as the connector's setting of that name.
    odx_path: Annotated[Path | None, AfterValidator(check_odx_folder)] = None
    jwt_secret: SecretStr
    vehicle_credential_secret: SecretStr
