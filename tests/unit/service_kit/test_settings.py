from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, Field, SecretStr, ValidationError

from service_kit.settings import (
    CommaList,
    DatabaseUrl,
    HostPort,
    Port,
    RabbitUrl,
    RedisUrl,
    SecretCommaList,
    ServiceSettings,
    load_settings,
)

TOKEN = "a-service-token-of-32-characters"


def _quote(value: str) -> str:
    if value != "fine":
        raise ValueError(f"{value} is not fine")
    return value


class Settings(ServiceSettings):
    database_url: DatabaseUrl
    redis_url: RedisUrl = "redis://localhost"
    rabbitmq_url: RabbitUrl = "amqp://localhost"
    command_service_address: HostPort = "localhost:50051"
    http_port: Port = 8000
    cors_origins: CommaList = ()
    previous_secrets: SecretCommaList = ()
    quoting: Annotated[str, AfterValidator(_quote), Field(description="fine")] = "fine"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*Settings.model_fields, *ServiceSettings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///var/x.db")
    return monkeypatch


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        load_settings(Settings)
    assert ended.value.code == 78
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_reads_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LOG_LEVEL", "warning")
    environment.setenv("HTTP_PORT", "8080")
    environment.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")
    environment.setenv("PREVIOUS_SECRETS", "one,two")
    settings = load_settings(Settings)
    assert settings.log_level == "WARNING"
    assert settings.http_port == 8080
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert [secret.get_secret_value() for secret in settings.previous_secrets] == ["one", "two"]
    assert settings.service_token.get_secret_value() == TOKEN
    assert settings.drain_seconds == 20
    assert settings.grpc_tls is None


def test_values_may_be_given_by_the_composer(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PORT", "8080")
    settings = load_settings(Settings, database_url="sqlite:///x", service_token=SecretStr(TOKEN), cors_origins=("a",))
    assert (settings.database_url, settings.cors_origins, settings.http_port) == ("sqlite:///x", ("a",), 8080)


def test_an_empty_variable_counts_as_missing(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("DATABASE_URL", "")
    environment.delenv("SERVICE_TOKEN")
    assert complaints(capsys) == [
        "DATABASE_URL: missing; give postgresql://user:password@host/database or sqlite:///path",
        "SERVICE_TOKEN: missing; give the secret that services show each other, at least 16 characters",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("ENVIRONMENT", "test", "ENVIRONMENT: Input should be 'development', 'staging' or 'production'"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
        (
            "HTTP_PORT",
            "http",
            "HTTP_PORT: Input should be a valid integer, unable to parse string as an integer; give a port number",
        ),
        (
            "HTTP_PORT",
            "70000",
            "HTTP_PORT: Input should be less than or equal to 65535; give a port number",
        ),
        ("DRAIN_SECONDS", "-1", "DRAIN_SECONDS: Input should be greater than or equal to 0; give seconds, 0 or more"),
        ("COMMAND_SERVICE_ADDRESS", "localhost", "COMMAND_SERVICE_ADDRESS: must be host:port; give host:port"),
        ("COMMAND_SERVICE_ADDRESS", "h:0", "COMMAND_SERVICE_ADDRESS: must be host:port; give host:port"),
        (
            "DATABASE_URL",
            "mysql://me:hunter2@db/x",
            "DATABASE_URL: must begin with postgresql:// or sqlite:///; "
            "give postgresql://user:password@host/database or sqlite:///path",
        ),
        ("GRPC_TLS_KEY_FILE", "/key.pem", "GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: give both or neither"),
        ("QUOTING", "a-secret-that-is-quoted", "QUOTING: *** is not fine; give fine"),
        ("QUOTING", "a-secret,in-a-list-of-them", "QUOTING: *** is not fine; give fine"),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_it(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, complaint: str
) -> None:
    environment.setenv(variable, value)
    assert complaints(capsys) == [complaint]


def test_a_short_secret_is_not_shown(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment.setenv("SERVICE_TOKEN", "hunter2")
    (line,) = complaints(capsys)
    assert line.startswith("SERVICE_TOKEN: ")
    assert "16" in line
    assert "hunter2" not in line


def test_a_list_that_cannot_be_read_names_its_variable(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class WithJson(Settings):
        limits: dict[str, int] = Field(default_factory=dict)

    environment.setenv("LIMITS", "not json")
    with pytest.raises(SystemExit) as ended:
        load_settings(WithJson)
    assert ended.value.code == 78
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "limits" in error
    assert "not json" not in error


def test_repr_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://me:hunter2@db/x")
    shown = repr(load_settings(Settings))
    assert "hunter2" not in shown
    assert TOKEN not in shown


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        load_settings(Settings).http_port = 1


def test_tls_files_are_given_to_servers_and_channels(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GRPC_TLS_CERT_FILE", "/cert.pem")
    environment.setenv("GRPC_TLS_KEY_FILE", "/key.pem")
    tls = load_settings(Settings).grpc_tls
    assert tls is not None
    assert (tls.cert_file, tls.key_file, tls.ca_file) == (Path("/cert.pem"), Path("/key.pem"), None)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_URL", "postgresql://user:hunter22@host:port/db", "is not a URL; its port must be a number"),
        ("DATABASE_URL", "postgresql://user:hunter22@[::1/db", "is not a URL"),
        ("DATABASE_URL", "postgresql:///db", "names no host"),
        ("DATABASE_URL", "postgresql://host/db?sslmode=perhaps", "sslmode must be one of disable, allow"),
        ("DATABASE_URL", "postgresql://host/db?colour=red", "option 'colour' is not one of host, port, sslmode"),
        ("REDIS_URL", "redis://:hunter22@host:99999/0", "is not a URL; its port must be a number"),
        ("RABBITMQ_URL", "amqp://", "names no host"),
        ("DRAIN_SECONDS", "inf", "finite number"),
    ],
)
def test_what_a_driver_would_stumble_over_is_told_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    (line,) = complaints(capsys)
    assert line.startswith(f"{name}: ")
    assert reason in line
    assert "hunter22" not in line


@pytest.mark.parametrize(
    "url", ["postgresql:///db?host=/var/run/postgresql", "postgresql://u:p@host/db?sslmode=require", "sqlite:///x.db"]
)
def test_where_a_database_may_be(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("DATABASE_URL", url)
    assert load_settings(Settings).database_url == url
