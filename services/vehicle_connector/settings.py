"""Settings of the vehicle connector."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from service_kit.grpc_tls import GrpcTls
from service_kit.settings import HostPort, Port, RabbitUrl
from vehicle_links.settings import LinkSettings

_VEHICLE_TLS = "VEHICLE_TLS_CERT_FILE, VEHICLE_TLS_KEY_FILE, VEHICLE_CA_FILE"

Seconds = Annotated[float, Field(gt=0, description="seconds, more than 0")]


class Settings(LinkSettings):
    """Read from the environment; what has a default may be left out."""

    rabbitmq_url: RabbitUrl
    command_service_address: HostPort
    # Where vehicles dial in. Empty: loopback while that is plain text, else everywhere.
    session_host: str = ""
    session_port: Port = 50052
    # Vehicles are known by certificates: this connector's own, and the authority of the vehicles.
    vehicle_tls_cert_file: Path | None = None
    vehicle_tls_key_file: Path | None = None
    vehicle_ca_file: Path | None = None
    # With them: where vehicles that have no certificate yet ask for one.
    enrolment_port: Port = 50053
    # Where health is told, without TLS: who asks has no vehicle's certificate. Empty: where vehicles dial in.
    health_host: str = ""
    health_port: Port = 50054
    metrics_port: Port = 9102
    # What vehicles' credentials are derived from, where they have no certificates: on this machine, in development.
    vehicle_credential_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        min_length=16,
        description="the secret that vehicle credentials are derived from, at least 16 characters",
    )
    # What people are told about where vehicles reach this connector; empty: host and port.
    advertised_address: str = ""
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

    @field_validator("vehicle_credential_secret")
    @classmethod
    def _vehicles_are_known(cls, secret: SecretStr | None, given: ValidationInfo) -> SecretStr | None:
        if secret is None and not given.data.get("vehicle_tls_cert_file"):
            raise ValueError("missing")
        return secret

    @model_validator(mode="after")
    def _vehicles_come_safely(self) -> "Settings":
        files = (self.vehicle_tls_cert_file, self.vehicle_tls_key_file, self.vehicle_ca_file)
        if any(files) and not all(files):
            raise ValueError(f"{_VEHICLE_TLS}: give all or none")
        if self.vehicle_tls is None and self.environment != "development":
            raise ValueError(f"{_VEHICLE_TLS}: missing; in {self.environment} vehicles are known by their certificates")
        if self.vehicle_tls is None and not self.plain_text_is_for(self.listening_host):
            raise ValueError(
                f"SESSION_HOST: plain text is for loopback (localhost, 127.0.0.1, [::1]) only, not {self.session_host};"
                f" give {_VEHICLE_TLS}"
            )
        return self

    @property
    def vehicle_tls(self) -> GrpcTls | None:
        """Mutual TLS for vehicles; None: they show a credential in their hello."""
        if self.vehicle_tls_cert_file is None:
            return None
        return GrpcTls(self.vehicle_tls_cert_file, self.vehicle_tls_key_file, self.vehicle_ca_file)

    @property
    def listening_host(self) -> str:
        return self.session_host or ("0.0.0.0" if self.vehicle_tls else "127.0.0.1")  # noqa: S104  vehicles are outside
