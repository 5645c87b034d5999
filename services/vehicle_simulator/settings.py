"""Settings of the vehicle simulator, from the environment."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from service_kit.settings import NO_PLAIN_TEXT, CommaList, HostPort, Port, ServiceSettings
from vehicle_simulator.faults import Fault, make_fault, parse_faults
from vehicle_simulator.fleet import demo_fleet

LAST_PORT = 65_535


def _faults(value: Any) -> Any:
    """Text as `slow:seconds=2;silent:vin=…`, or a JSON list of objects."""
    if isinstance(value, str):
        return _faults_from_json(value) if value.lstrip().startswith("[") else parse_faults(value)
    return value


def _faults_from_json(text: str) -> tuple[Fault, ...]:
    try:
        return tuple(make_fault(**{"kind": "", **options}) for options in json.loads(text))
    except (json.JSONDecodeError, TypeError):
        raise ValueError("must be a JSON list of objects") from None


def _first_ports(count: int) -> str:
    highest = LAST_PORT - count + 1
    return f"1 to {highest}, or 0 for free ones" if highest > 0 else "fewer vehicles"


class Settings(ServiceSettings):
    """Which vehicles there are, where they dial in, and what goes wrong with them."""

    # Vehicles have no part in the services' secret.
    service_token: SecretStr = SecretStr("")
    connector_address: HostPort = "localhost:50052"
    # Vehicles have certificates, each a folder below this one: see vehicle_session/identity_folder.py.
    identity_dir: Path | None = None
    # For the one that has no certificate yet, and where it asks for one: port 50053 of the connector unless given.
    enrolment_code: SecretStr = SecretStr("")
    enrolment_address: HostPort | Literal[""] = ""
    # Without certificates, to a connector on this machine: what vehicles show instead is made from it.
    vehicle_credential_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        min_length=16,
        description="the secret that vehicle credentials are made from, at least 16 characters",
    )
    vehicles: int = Field(default=10, ge=0, le=1_000_000, description="how many vehicles, 0 to 1000000")
    seed: int = 1
    # These as well, by VIN.
    vins: CommaList = ()
    # Of all these, those that drive; the others are parked with their engine idling.
    driving_vehicles: CommaList = ()
    # The vehicles of the demo data as well.
    demo_data: bool = False
    ledger_file: Path | None = None
    ledger_fsync: bool = False
    faults: Annotated[tuple[Fault, ...], NoDecode, BeforeValidator(_faults)] = ()
    # False: vehicles can only be reached by dialling them.
    dial_in: bool = True
    # Vehicles speak DoIP as well, each on a port of its own from this one on (0: free ones), TCP and UDP.
    doip_port: Port | None = None
    doip_host: str = "0.0.0.0"  # noqa: S104  connectors dial from elsewhere
    # Who hears of them at their start, as a rule 255.255.255.255:13400; empty: nobody.
    doip_announce_to: HostPort | Literal[""] = ""
    answer_latency_ms: float = Field(default=0.0, ge=0, description="milliseconds, 0 or more")
    # One connection for all vehicles, instead of one each.
    shared_connection: bool = False
    hellos_at_once: int = Field(default=64, ge=1, description="1 or more")
    # Serve each vehicle as a SOVD server too, below http://host:port/{vin}; 0 takes a free port.
    sovd_port: Port | None = None
    sovd_host: str = "0.0.0.0"  # noqa: S104  connectors dial from elsewhere

    @field_validator("vehicle_credential_secret")
    @classmethod
    def _vehicles_are_known(cls, secret: SecretStr | None, given: ValidationInfo) -> SecretStr | None:
        if secret is None and not given.data.get("identity_dir"):
            raise ValueError("missing")
        return secret

    @model_validator(mode="after")
    def _each_vehicle_has_a_port(self) -> "Settings":
        count = self.vehicles + len(self.vins) + (len(demo_fleet()) if self.demo_data else 0)
        if self.doip_port and self.doip_port + count - 1 > LAST_PORT:
            raise ValueError(
                f"DOIP_PORT: the {count} vehicles have a port each from {self.doip_port} on, and the last is"
                f" {LAST_PORT}; give {_first_ports(count)}"
            )
        return self

    @model_validator(mode="after")
    def _plain_text_stays_on_this_machine(self) -> "Settings":
        host = self.connector_address.rpartition(":")[0]
        if self.identity_dir is None and self.dial_in and not self.plain_text_is_for(host):
            raise ValueError(NO_PLAIN_TEXT)
        return self
