"""Settings of the command service, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from command_service.domain.preconditions import PreconditionRules
from command_service.preconditions_file import load_preconditions
from command_service.use_cases.limits import Limits
from command_service.use_cases.vehicle_identities import IdentityRules
from command_service.vehicle_ca import VehicleCa
from service_kit.settings import (
    SHORTEST_SERVICE_TOKEN,
    DatabaseUrl,
    Port,
    RabbitUrl,
    RedisUrl,
    SecretCommaList,
    ServiceSettings,
    each_has_at_least,
)

_DEFAULTS = Limits()
_IDENTITY = IdentityRules()


def _check_preconditions(path: Path) -> Path:
    load_preconditions(path)
    return path


PreconditionsFile = Annotated[Path, AfterValidator(_check_preconditions)]


class Settings(ServiceSettings):
    """Every limit of design section 4 is a setting."""

    database_url: DatabaseUrl
    redis_url: RedisUrl
    rabbitmq_url: RabbitUrl
    # Taken beside SERVICE_TOKEN while callers change theirs one after the other.
    service_previous_tokens: Annotated[SecretCommaList, each_has_at_least(SHORTEST_SERVICE_TOKEN)] = ()
    grpc_host: str = "0.0.0.0"  # noqa: S104  other services call it
    grpc_port: Port = 50051
    metrics_port: Port = 9101
    demo_data: bool = False

    max_timeout_seconds: int = Field(default=_DEFAULTS.max_timeout_seconds, ge=1, le=86_400)
    default_expiry_seconds: int = Field(default=_DEFAULTS.default_expiry_seconds, ge=1)
    max_expiry_seconds: int = Field(default=_DEFAULTS.max_expiry_seconds, ge=1)
    max_pending_per_vehicle: int = Field(default=_DEFAULTS.max_pending_per_vehicle, ge=1)
    max_responses_per_command: int = Field(default=_DEFAULTS.max_responses_per_command, ge=1)
    default_lock_seconds: int = Field(default=_DEFAULTS.default_lock_seconds, ge=1)
    max_lock_seconds: int = Field(default=_DEFAULTS.max_lock_seconds, ge=1, le=_DEFAULTS.max_lock_seconds)
    lease_seconds: float = Field(default=_DEFAULTS.lease_seconds, gt=0)
    lease_grace_seconds: float = Field(default=_DEFAULTS.lease_grace_seconds, ge=0)
    claim_seconds: float = Field(default=_DEFAULTS.claim_seconds, gt=0)
    session_grace_seconds: float = Field(default=_DEFAULTS.session_grace_seconds, ge=0)
    # Less would give commands up while their vehicles still have time: connectors may hand them over as late.
    deadline_grace_seconds: float = Field(
        default=_DEFAULTS.deadline_grace_seconds,
        ge=_DEFAULTS.deadline_grace_seconds,
        description=f"seconds, {_DEFAULTS.deadline_grace_seconds:g} or more",
    )
    # Where vehicles keep what must hold before they are changed: see preconditions_file.py. None: nothing is looked at.
    preconditions_file: PreconditionsFile | None = None
    # 0: responses are kept for ever.
    response_retention_days: int = Field(default=0, ge=0, description="days, 0 to keep responses for ever")

    def preconditions(self) -> PreconditionRules:
        return PreconditionRules() if self.preconditions_file is None else load_preconditions(self.preconditions_file)

    # The authority that signs vehicles' certificates; without it vehicles have none.
    vehicle_ca_cert_file: Path | None = None
    vehicle_ca_key_file: Path | None = None
    vehicle_certificate_days: float = Field(
        default=_IDENTITY.certificate_days, gt=0, le=825, description="days, more than 0, at most 825"
    )
    enrolment_code_hours: float = Field(
        default=_IDENTITY.code_hours, gt=0, le=720, description="hours, more than 0, at most 720"
    )

    @model_validator(mode="after")
    def _vehicle_ca_is_usable(self) -> "Settings":
        try:
            self.vehicle_ca()
        except ValueError as error:
            raise ValueError(f"VEHICLE_CA_CERT_FILE, VEHICLE_CA_KEY_FILE: {error}") from None
        return self

    def vehicle_ca(self) -> VehicleCa | None:
        """Raises ValueError."""
        if self.vehicle_ca_cert_file is None and self.vehicle_ca_key_file is None:
            return None
        if self.vehicle_ca_cert_file is None or self.vehicle_ca_key_file is None:
            raise ValueError("give both or neither")
        return VehicleCa.load(self.vehicle_ca_cert_file, self.vehicle_ca_key_file)

    def identity_rules(self) -> IdentityRules:
        return IdentityRules(self.vehicle_certificate_days, self.enrolment_code_hours)

    def limits(self) -> Limits:
        names = set(Limits.__dataclass_fields__) & set(type(self).model_fields)
        return Limits(**{name: getattr(self, name) for name in names})
