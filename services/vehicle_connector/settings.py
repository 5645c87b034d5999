"""Settings of the vehicle connector."""

from typing import Annotated

from pydantic import Field, SecretStr

from service_kit.settings import HostPort, Port, RabbitUrl
from vehicle_links.settings import LinkSettings

Seconds = Annotated[float, Field(gt=0, description="seconds, more than 0")]


class Settings(LinkSettings):
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

    # UDP port on which vehicles that announce themselves are heard, as a rule 13400; 0: none.
    doip_announcement_port: Port = 0
