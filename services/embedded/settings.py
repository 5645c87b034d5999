"""Settings of an embedded system. Secrets come from its data directory, the rest from whoever starts it."""

from pathlib import Path

from pydantic import Field, SecretStr

from command_service.settings import PreconditionsFile
from gateway.settings import WEB_DIRECTORY, WebDirectory
from service_kit.settings import CommaList, Port
from vehicle_links.settings import LinkSettings

PRECONDITIONS_OF_DEMO_VEHICLES = Path(__file__).with_name("preconditions.json")


class Settings(LinkSettings):
    """Those of links are the connector's. What is not here is fixed by what embedded is: SQLite, in-memory messaging,
    free ports on loopback."""

    host: str
    port: Port
    data_dir: Path
    # Else the one that is built in services/web, if it is.
    web_directory: WebDirectory | None = Field(default=None, description=WEB_DIRECTORY)
    # VINs of simulated vehicles that do not stand still.
    driving_vehicles: CommaList = ()
    # What must hold before a vehicle is changed, as the command service's setting of that name.
    preconditions_file: PreconditionsFile = PRECONDITIONS_OF_DEMO_VEHICLES
    jwt_secret: SecretStr
    vehicle_credential_secret: SecretStr
