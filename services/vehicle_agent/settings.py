"""Settings of the vehicle agent."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from service_kit.settings import NO_PLAIN_TEXT, HostPort
from vehicle_links.doip.link import parse_address
from vehicle_links.settings import LinkSettings
from vehicle_links.sovd.http import split_address

Seconds = Annotated[float, Field(gt=0, description="seconds, more than 0")]


class Settings(LinkSettings):
    """Read from the environment; what has a default may be left out."""

    # A vehicle has no part in the services' secret.
    service_token: SecretStr = SecretStr("")
    connector_address: HostPort
    vehicle_vin: str = Field(pattern=r"^[A-Z0-9]{17}$", description="17 capital letters and digits")
    # Its key and certificate; empty: `identity` in the state directory.
    identity_dir: Path | None = None
    # As long as there is no certificate, or for another one; and where one is asked for: port 50053 of the connector
    # unless given.
    enrolment_code: SecretStr = SecretStr("")
    enrolment_address: HostPort | Literal[""] = ""
    # Shown instead of a certificate, in plain text: for a connector on this machine, in development.
    vehicle_credential: SecretStr | None = Field(
        default=None, min_length=16, description="what the platform issued for this VIN"
    )
    # Where the vehicle is, seen from here: one of the two, as docs/vehicles.md has them.
    doip_address: str = ""
    sovd_address: str = ""
    state_dir: Path = Field(description="a directory that outlives restarts, of this vehicle only")

    # The longest pauses between two tries to reach the vehicle, and the connector.
    redial_max_seconds: Seconds = 30
    reconnect_max_seconds: Seconds = 30
    # How long a command that must not be repeated is remembered: not shorter than commands may live.
    remember_days: float = Field(default=30, ge=1, le=3650, description="days, 1 to 3650")
    # How long a stopping agent lets the vehicle finish what it is at.
    drain_seconds: float = Field(default=5, ge=0, description="seconds, 0 or more")

    @property
    def link(self) -> tuple[str, str]:
        """Its kind and the vehicle's address."""
        return ("doip", self.doip_address) if self.doip_address else ("sovd", self.sovd_address)

    @model_validator(mode="after")
    def _one_vehicle(self) -> "Settings":
        if bool(self.doip_address) == bool(self.sovd_address):
            raise ValueError("DOIP_ADDRESS, SOVD_ADDRESS: give one of them")
        try:
            if self.doip_address:
                parse_address(self.doip_address, self.doip_source_address)
            else:
                split_address(self.sovd_address)
        except ValueError as error:
            raise ValueError(f"{self.link[0].upper()}_ADDRESS: {error}") from None
        return self

    @model_validator(mode="after")
    def _plain_text_stays_on_this_machine(self) -> "Settings":
        host = self.connector_address.rpartition(":")[0]
        if self.vehicle_credential is not None and not self.plain_text_is_for(host):
            raise ValueError(NO_PLAIN_TEXT)
        return self
