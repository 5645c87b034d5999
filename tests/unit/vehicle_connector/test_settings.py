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
        # Between the services: no vehicle is known by it.
        ({"grpc_tls_ca_file": "ca.pem"}, "127.0.0.1"),
    ],
)
def test_without_certificates_vehicles_dial_in_on_this_machine(given: dict[str, Any], host: str) -> None:
    loaded = settings(**SECRET, **given)
    assert loaded.listening_host == host
    assert loaded.vehicle_tls is None


@pytest.mark.parametrize("tls", [{}, {"grpc_tls_ca_file": "ca.pem"}])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "connector.example"])
def test_plain_text_is_refused_elsewhere(host: str, tls: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"SESSION_HOST: plain text is for loopback .* only, not {host}; give"):
        settings(**SECRET, session_host=host, **tls)


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_beyond_development_vehicles_have_certificates(environment: str, host: str) -> None:
    with pytest.raises(ValidationError, match=f"VEHICLE_TLS_CERT_FILE, .*missing; in {environment}"):
        settings(**SECRET, environment=environment, session_host=host)


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


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (
            {"ENVIRONMENT": "production"},
            "VEHICLE_TLS_CERT_FILE, VEHICLE_TLS_KEY_FILE, VEHICLE_CA_FILE: missing; in production vehicles are known by"
            " their certificates",
        ),
        (
            {"SESSION_HOST": "0.0.0.0"},
            "SESSION_HOST: plain text is for loopback (localhost, 127.0.0.1, [::1]) only, not 0.0.0.0; give"
            " VEHICLE_TLS_CERT_FILE, VEHICLE_TLS_KEY_FILE, VEHICLE_CA_FILE",
        ),
    ],
)
def test_the_start_stops_with_one_line(wrong: dict[str, str], line: str) -> None:
    environment = {name.upper(): value for name, value in (REQUIRED | SECRET).items()}
    run = subprocess.run(
        [sys.executable, "-m", "vehicle_connector"],
        env={**environment, **wrong, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == EXIT_BAD_SETTINGS
    assert run.stderr.splitlines() == [line]
