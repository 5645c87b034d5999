"""What the gateway takes as settings. How a process ends over them: tests/integration/gateway/test_health.py."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings import GatewaySettings

GOOD: dict[str, Any] = {
    "database_url": "postgresql://sovd:sovd@db/sovd",
    "redis_url": "redis://redis:6379/0",
    "command_service_address": "command-service:50051",
    "service_token": SecretStr("s" * 16),
    "jwt_secret": SecretStr("j" * 32),
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_little_has_to_be_said() -> None:
    settings = GatewaySettings(**GOOD)
    assert (settings.http_port, settings.metrics_port, settings.access_token_seconds) == (8000, 9100, 900)
    assert not settings.demo_data
    assert settings.jwt_secrets == ["j" * 32]
    for secret in ("sovd:sovd", "s" * 16, "j" * 32):
        assert secret not in repr(settings)


def test_lists_come_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_PREVIOUS_SECRETS", f"{'a' * 32}, {'b' * 32}")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,https://b.example")
    settings = GatewaySettings(**GOOD)
    assert settings.jwt_secrets == ["j" * 32, "a" * 32, "b" * 32]
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwt_secret", SecretStr("short")),
        ("jwt_previous_secrets", "short"),
        ("redis_url", "http://redis"),
        ("command_service_address", "command-service"),
        ("user_rate_limit", "now and then"),
        ("login_rate_limit", "30/minute;100/hour"),
        ("access_token_seconds", 1),
        ("web_directory", "/proc"),
        ("initial_admin_password", SecretStr("admin")),
    ],
)
def test_nonsense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        GatewaySettings(**GOOD | {name: value})
    assert refused.value.errors()[0]["loc"] == (name,)


def test_no_demo_data_in_production() -> None:
    with pytest.raises(ValidationError, match="DEMO_DATA"):
        GatewaySettings(**GOOD, demo_data=True, environment="production")
    assert GatewaySettings(**GOOD, demo_data=True, environment="staging").demo_data
