"""Settings from the environment: what every service has, and how a wrong one stops the start."""

import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from service_kit.grpc_tls import GrpcTls

# EX_CONFIG of sysexits.h: an orchestrator can tell "fix the settings" from "it crashed".
EXIT_BAD_SETTINGS = 78
SHORTEST_SERVICE_TOKEN = 16

_SCHEMES_OF_PATHS = ("sqlite", "unix")
_POSTGRESQL_OPTIONS = {"host", "port", "sslmode"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

NO_PLAIN_TEXT = (
    "CONNECTOR_ADDRESS: without certificates of vehicles only a connector on this machine (localhost, 127.0.0.1, [::1])"
    " is dialled, and only where ENVIRONMENT is development"
)

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def split_commas(value: Any) -> Any:
    """`a, b` becomes ("a", "b"), for settings that are lists."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _starts_with(*prefixes: str) -> AfterValidator:
    def check(value: str) -> str:
        if not value.startswith(prefixes):
            raise ValueError(f"must begin with {' or '.join(prefixes)}")
        return value

    return AfterValidator(check)


def check_server_url(value: str) -> str:
    """What a driver would only stumble over later; the message never quotes the value, which carries a password."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL; its port must be a number up to 65535") from None
    options = dict(parse_qsl(parts.query))
    if parts.scheme not in _SCHEMES_OF_PATHS and not (parts.hostname or options.get("host")):
        raise ValueError("names no host")
    return value


def _check_database_options(value: str) -> str:
    options = dict(parse_qsl(urlsplit(value).query))
    if value.startswith("postgresql:"):
        unknown = sorted(set(options) - _POSTGRESQL_OPTIONS)
        if unknown:
            raise ValueError(f"option {unknown[0]!r} is not one of {', '.join(sorted(_POSTGRESQL_OPTIONS))}")
        if options.get("sslmode", "prefer") not in _SSL_MODES:
            raise ValueError(f"sslmode must be one of {', '.join(_SSL_MODES)}")
    return value


def each_has_at_least(length: int) -> AfterValidator:
    """For a SecretCommaList: none of its secrets is shorter, in characters."""

    def check(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(value.get_secret_value()) < length for value in values):
            raise ValueError(f"each must have at least {length} characters")
        return values

    return AfterValidator(check)


def _is_host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not host or not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port")
    return value


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches that host (a name or an address)."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
SecretCommaList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_commas)]
Port = Annotated[int, Field(ge=0, le=65535, description="a port number")]
HostPort = Annotated[str, AfterValidator(_is_host_and_port), Field(description="host:port")]
# Connection strings carry passwords: they are left out of repr.
DatabaseUrl = Annotated[
    str,
    _starts_with("postgresql://", "sqlite:///"),
    AfterValidator(check_server_url),
    AfterValidator(_check_database_options),
    Field(repr=False, description="postgresql://user:password@host/database or sqlite:///path"),
]
RedisUrl = Annotated[
    str,
    _starts_with("redis://", "rediss://", "unix://"),
    AfterValidator(check_server_url),
    Field(repr=False, description="redis://host:port/0 or rediss://…"),
]
RabbitUrl = Annotated[
    str,
    _starts_with("amqp://", "amqps://"),
    AfterValidator(check_server_url),
    Field(repr=False, description="amqp://user:password@host:port/vhost"),
]


class ServiceSettings(BaseSettings):
    """What every service reads. A service's own settings inherit from this."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    environment: Literal["development", "staging", "production"] = "development"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    metrics_port: Port = 0
    service_token: SecretStr = Field(
        min_length=SHORTEST_SERVICE_TOKEN,
        description="the secret that services show each other, at least 16 characters",
    )
    drain_seconds: float = Field(default=20, ge=0, description="seconds, 0 or more")
    grpc_tls_cert_file: Path | None = None
    grpc_tls_key_file: Path | None = None
    grpc_tls_ca_file: Path | None = None

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "ServiceSettings":
        if (self.grpc_tls_cert_file is None) != (self.grpc_tls_key_file is None):
            raise ValueError("GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: give both or neither")
        return self

    def plain_text_is_for(self, host: str) -> bool:
        """Whether vehicles and connectors may speak without TLS at that host: on one machine, in development."""
        return self.environment == "development" and is_loopback(host)

    @property
    def grpc_tls(self) -> GrpcTls | None:
        """The TLS files for gRPC servers and channels; None: plain text."""
        if self.grpc_tls_cert_file is None and self.grpc_tls_ca_file is None:
            return None
        return GrpcTls(self.grpc_tls_cert_file, self.grpc_tls_key_file, self.grpc_tls_ca_file)


def load_settings(settings_class: type[SettingsT], **given: Any) -> SettingsT:
    """The settings; on a wrong or missing variable one line each on stderr that names it, and exit code 78.

    What is `given` is not read from the environment.
    """
    try:
        return settings_class(**given)
    except ValidationError as error:
        lines = sorted(set(_complaints(settings_class, error)))
    except SettingsError as error:
        lines = [str(error)]
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201  logging is not set up yet
    sys.exit(EXIT_BAD_SETTINGS)


def _complaints(settings_class: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:  # of the settings as a whole; the message names them
            yield message
            continue
        name = str(problem["loc"][0])
        field = settings_class.model_fields.get(name, FieldInfo())
        variable = name.upper()
        allowed = field.description
        if problem["type"] == "missing":
            yield f"{variable}: missing; give {allowed or 'a value'}"
        else:
            wrong = _without_value(message, variable)
            yield f"{variable}: {wrong}; give {allowed}" if allowed else f"{variable}: {wrong}"


def _without_value(message: str, variable: str) -> str:
    """A validator may quote what it refuses, and that may be a secret; short values occur in messages by chance."""
    value = os.environ.get(variable, os.environ.get(variable.lower(), ""))
    for part in (value, *value.split(",")):
        if len(part) > 8:
            message = message.replace(part, "***")
    return message
