"""Where vehicles may dial in, and how they are known there: what the settings refuse, and say."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service_kit.settings import EXIT_BAD_SETTINGS
from tests.support.certificates import CertificateFiles
from vehicle_connector.settings import Settings

REQUIRED: dict[str, Any] = {
    "rabbitmq_url": "amqp://localhost",
    "command_service_address": "here:1",
    "service_token": "s" * 16,
}
SECRET = {"vehicle_credential_secret": "v" * 16}


@pytest.fixture
def vehicle_tls(tmp_path: Path) -> dict[str, Any]:
    files = CertificateFiles.make(tmp_path)
    return {
        "vehicle_tls_cert_file": files.server_cert,
        "vehicle_tls_key_file": files.server_key,
        "vehicle_ca_file": files.vehicle_ca,
    }


def settings(**given: Any) -> Settings:
    return Settings(**(REQUIRED | given))


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ({}, "127.0.0.1"),
        ({"session_host": "localhost"}, "localhost"),
        ({"session_host": "[::1]"}, "[::1]"),
        ({"vehicle_plain_text": "isolated-network"}, "0.0.0.0"),
        ({"vehicle_plain_text": "tls-ended-by-proxy"}, "0.0.0.0"),
        ({"vehicle_plain_text": "tls-ended-by-proxy", "environment": "production"}, "0.0.0.0"),
        ({"vehicle_plain_text": "isolated-network", "session_host": "10.1.2.3"}, "10.1.2.3"),
    ],
)
def test_plain_text_is_for_loopback_unless_somebody_says_why(given: dict[str, Any], host: str) -> None:
    loaded = settings(**SECRET, **given)
    assert loaded.listening_host == host
    assert loaded.vehicle_tls is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "connector.example"])
def test_plain_text_is_refused_elsewhere(host: str) -> None:
    with pytest.raises(ValidationError, match=f"SESSION_HOST: plain text is for loopback only, not {host}"):
        settings(**SECRET, session_host=host)


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("plain_text", ["refused", "isolated-network"])
def test_beyond_development_vehicles_have_certificates(environment: str, host: str, plain_text: str) -> None:
    given = {"environment": environment, "session_host": host, "vehicle_plain_text": plain_text}
    with pytest.raises(ValidationError, match=f"VEHICLE_TLS_CERT_FILE, .*missing; in {environment}"):
        settings(**SECRET, **given)


def test_with_certificates_no_secret_is_needed(vehicle_tls: dict[str, Any]) -> None:
    loaded = settings(**vehicle_tls, environment="production")
    assert loaded.listening_host == "0.0.0.0"
    assert loaded.vehicle_tls is not None
    assert loaded.vehicle_credential_secret is None
    with pytest.raises(ValidationError, match="vehicle_credential_secret"):
        settings()


@pytest.mark.parametrize("left_out", ["vehicle_tls_cert_file", "vehicle_tls_key_file", "vehicle_ca_file"])
def test_all_three_files_or_none(vehicle_tls: dict[str, Any], left_out: str) -> None:
    del vehicle_tls[left_out]
    with pytest.raises(ValidationError, match="give all or none"):
        settings(**SECRET, **vehicle_tls)


def test_the_start_stops_with_one_line() -> None:
    environment = {name.upper(): value for name, value in (REQUIRED | SECRET).items()}
    run = subprocess.run(
        [sys.executable, "-m", "vehicle_connector"],
        env={**environment, "ENVIRONMENT": "production", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == EXIT_BAD_SETTINGS
    assert run.stderr.splitlines() == [
        "VEHICLE_TLS_CERT_FILE, VEHICLE_TLS_KEY_FILE, VEHICLE_CA_FILE: missing; in production vehicles are known by"
        " their certificates (VEHICLE_PLAIN_TEXT=tls-ended-by-proxy: a proxy in front of the port ends TLS)"
    ]
