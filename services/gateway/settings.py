"""What the gateway reads from the environment."""

from pathlib import Path
from typing import Annotated

from limits import RateLimitItem, parse, parse_many
from pydantic import AfterValidator, Field, SecretStr, model_validator

from service_kit.settings import (
    CommaList,
    DatabaseUrl,
    HostPort,
    Port,
    SecretCommaList,
    ServiceSettings,
    check_server_url,
    each_has_at_least,
)

SHORTEST_JWT_SECRET = 32
WEB_DIRECTORY = "the directory of the built web interface"


def _is_rate(value: str) -> str:
    try:
        count = len(parse_many(value))
    except ValueError:
        count = 0
    if count != 1:
        raise ValueError("must be one rate such as 600/minute")
    return value


def _is_redis(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")) and value != "memory://":
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value if value == "memory://" else check_server_url(value)


def _has_pages(value: Path) -> Path:
    if not (value / "index.html").is_file():
        raise ValueError("has no index.html")
    return value


Rate = Annotated[str, AfterValidator(_is_rate), Field(description="a rate such as 600/minute")]
WebDirectory = Annotated[Path, AfterValidator(_has_pages)]


class GatewaySettings(ServiceSettings):
    database_url: DatabaseUrl
    # memory:// keeps live events and rate limits in this process: for one gateway alone, as `sovd up` runs it.
    redis_url: Annotated[
        str, AfterValidator(_is_redis), Field(repr=False, description="redis://host:port/0 or rediss://…")
    ]
    command_service_address: HostPort
    jwt_secret: SecretStr = Field(
        min_length=SHORTEST_JWT_SECRET, description="the secret that signs access tokens, at least 32 characters"
    )
    jwt_previous_secrets: Annotated[SecretCommaList, each_has_at_least(SHORTEST_JWT_SECRET)] = ()
    http_host: str = "0.0.0.0"  # noqa: S104  it is what the world talks to
    http_port: Port = 8000
    metrics_port: Port = 9100
    cors_origins: CommaList = ()
    access_token_seconds: int = Field(default=900, ge=10, le=86_400, description="seconds, 10 to 86400")
    refresh_token_seconds: int = Field(default=1_209_600, ge=60, le=31_536_000, description="seconds, 60 to 31536000")
    max_body_bytes: int = Field(default=1 << 20, ge=1024, description="bytes, 1024 or more")
    login_rate_limit: Rate = "30/minute"
    user_rate_limit: Rate = "6000/minute"
    address_rate_limit: Rate = "300/minute"
    trusted_proxies: CommaList = ()
    # None: the API alone.
    web_directory: WebDirectory | None = Field(default=None, description=WEB_DIRECTORY)
    initial_admin_password: SecretStr | None = Field(
        default=None, min_length=12, max_length=256, description="a password of 12 to 256 characters"
    )
    demo_data: bool = False

    @model_validator(mode="after")
    def _no_demo_in_production(self) -> "GatewaySettings":
        if self.demo_data and self.environment == "production":
            raise ValueError("DEMO_DATA: creates well-known passwords; not with ENVIRONMENT=production")
        return self

    @property
    def jwt_secrets(self) -> list[str]:
        """The one that signs, then those that still verify."""
        return [secret.get_secret_value() for secret in (self.jwt_secret, *self.jwt_previous_secrets)]


def rate(value: str) -> RateLimitItem:
    return parse(value)
