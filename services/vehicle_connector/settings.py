"""Settings of the vehicle connector."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from service_kit.settings import HostPort, Port, RabbitUrl, ServiceSettings
from vehicle_links.doip.security import load_function


def _check_function(name: str) -> str:
    if name:
        load_function(name)
    return name


def _check_level(level: int) -> int:
    if level % 2 == 0:
        raise ValueError("the level that requests a seed is odd (ISO 14229-1, 10.4)")
    return level


Function = Annotated[str, AfterValidator(_check_function), Field(description="module:function, or empty")]
Seconds = Annotated[float, Field(gt=0, description="seconds, more than 0")]


class Settings(ServiceSettings):
    """Read from the environment; what has a default may be left out."""

    rabbitmq_url: RabbitUrl
    command_service_address: HostPort
    session_host: str = "0.0.0.0"  # noqa: S104  vehicles dial in from outside
    session_port: Port = 50052
    metrics_port: Port = 9102
    # What people are told about where vehicles reach this connector; empty: host and port.
    advertised_address: str = ""
    vehicle_credential_secret: SecretStr = Field(
        min_length=16, description="the secret that vehicle credentials are derived from, at least 16 characters"
    )
    # Messages, each of a few commands, that may be on their way between the broker and their claims at once.
    prefetch: int = Field(default=100, ge=1, le=65535, description="1 to 65535")
    # Updates of one command that a vehicle may be ahead of what is recorded: the bound of a command's result buffer.
    result_window: int = Field(default=64, ge=2, le=10_000, description="2 to 10000")

    heartbeat_interval_seconds: Seconds = 10
    heartbeat_timeout_seconds: Seconds = 30
    lease_renewal_seconds: Seconds = 3
    # The longest wait between two tries to reach the command service.
    reconnect_max_seconds: Seconds = 3
    # The longest pause between two tries to reach a vehicle that is dialled.
    redial_max_seconds: Seconds = 30
    # A draining connector spreads its vehicles' reconnects over this time.
    move_spread_seconds: Seconds = 4
    # How long after a timeout a vehicle's late answers are still taken as evidence.
    evidence_seconds: Seconds = 60
    # How long a command of a lost session is remembered here; its fate is decided elsewhere after half of that.
    suspended_seconds: Seconds = 60

    # Our logical address as a DoIP tester, 3584 to 4095 (ISO 13400-2 Table 13); a vehicle's address may say another.
    doip_source_address: int = Field(default=0x0E00, ge=0x0E00, le=0x0FFF, description="3584 to 4095")
    # UDP port on which vehicles that announce themselves are heard, as a rule 13400; 0: none.
    doip_announcement_port: Port = 0
    # How ECUs are unlocked (0x27, 0x29): see links/doip/security.py.
    doip_seed_key: Function = ""
    doip_security_level: Annotated[int, AfterValidator(_check_level)] = Field(
        default=1, ge=1, le=0x41, description="odd, 1 to 65"
    )
    doip_authentication: Function = ""

    # Vehicles with a SOVD server of their own. Whom to trust instead of the system's certificate authorities:
    sovd_ca_file: Path | None = None
    # What such vehicles get to see: a client certificate, a bearer token (over TLS or loopback only).
    sovd_cert_file: Path | None = None
    sovd_key_file: Path | None = None
    sovd_bearer_token: SecretStr = SecretStr("")
    # A component is locked while it is changed; a lock that nobody renews ends after so long.
    sovd_lock_seconds: int = Field(default=30, ge=3, le=3600, description="seconds, 3 to 3600")
    # The diagnostic session that components are put into before they are changed; empty: their server knows best.
    sovd_session_mode: str = ""

    @model_validator(mode="after")
    def _sovd_certificate_has_its_key(self) -> "Settings":
        if (self.sovd_cert_file is None) != (self.sovd_key_file is None):
            raise ValueError("SOVD_CERT_FILE, SOVD_KEY_FILE: give both or neither")
        return self
