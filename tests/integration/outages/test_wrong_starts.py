"""Starts that cannot succeed: one clear line for each reason, an exit code that says what to do, and no secret told."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.robustness.harness import INTERNALS
from tests.support.local_servers import free_port
from tests.support.servers import PostgresServer
from tests.support.system import ROOT, ManagedProcess, System
from tests.support.waiting import until

BAD_SETTINGS = 78
SECRET = "hunter22-hunter22"

REQUIRED = {
    "gateway": {"DATABASE_URL", "REDIS_URL", "COMMAND_SERVICE_ADDRESS", "SERVICE_TOKEN", "JWT_SECRET"},
    "command_service": {"DATABASE_URL", "REDIS_URL", "RABBITMQ_URL", "SERVICE_TOKEN"},
    "vehicle_connector": {"RABBITMQ_URL", "COMMAND_SERVICE_ADDRESS", "SERVICE_TOKEN", "VEHICLE_CREDENTIAL_SECRET"},
    "vehicle_simulator": {"VEHICLE_CREDENTIAL_SECRET"},
}
WRONG = {
    "gateway": {
        "DATABASE_URL": f"mysql://root:{SECRET}@database/x",
        "REDIS_URL": f"redis://:{SECRET}@redis:port/0",
        "COMMAND_SERVICE_ADDRESS": "nowhere",
        "SERVICE_TOKEN": "a-short-token",
        "JWT_SECRET": "a-short-jwt-secret",
        "JWT_PREVIOUS_SECRETS": "a-short-previous-secret",
        "HTTP_PORT": "eighty",
        "LOG_LEVEL": "LOUD",
        "LOGIN_RATE_LIMIT": "often",
        "MAX_BODY_BYTES": "0",
    },
    "command_service": {
        "DATABASE_URL": f"postgresql://sovd:{SECRET}@database:port/x",
        "RABBITMQ_URL": f"http://sovd:{SECRET}@rabbitmq/",
        "SERVICE_PREVIOUS_TOKENS": "a-short-token",
        "GRPC_PORT": "-1",
        "LEASE_SECONDS": "inf",
        "ENVIRONMENT": "the moon",
        "GRPC_TLS_CERT_FILE": "/etc/hostname",
    },
    "vehicle_connector": {
        "RABBITMQ_URL": f"amqp://sovd:{SECRET}@:5672",
        "VEHICLE_CREDENTIAL_SECRET": "a-short-secret",
        "PREFETCH": "0",
        "SESSION_PORT": "99999",
        "HEARTBEAT_TIMEOUT_SECONDS": "soon",
    },
    "vehicle_simulator": {
        "CONNECTOR_ADDRESS": "nowhere",
        "VEHICLES": "-1",
        "FAULTS": "explode",
        "VEHICLE_CREDENTIAL_SECRET": "a-short-secret",
    },
}
PORTS = {
    "gateway": ("HTTP_PORT", "METRICS_PORT"),
    "command_service": ("GRPC_PORT",),
    "vehicle_connector": ("SESSION_PORT",),
    "vehicle_simulator": ("METRICS_PORT",),
}


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Settings of services whose servers are away: nobody needs one to refuse to start."""
    nobody = f"127.0.0.1:{free_port()}"
    return System(
        f"postgresql://sovd:{SECRET}@{nobody}/sovd",
        f"amqp://sovd:{SECRET}@{nobody}/",
        f"redis://:{SECRET}@{nobody}/0",
        tmp_path,
    )


def run(module: str, environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """To its end, which must come by itself and be free of what belongs in no output."""
    command = [sys.executable, "-m", module, *arguments]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == ""
    for unwanted in (*INTERNALS, SECRET):
        assert unwanted not in ran.stderr
    return ran


@pytest.mark.parametrize("service", REQUIRED)
def test_missing_settings(system: System, service: str) -> None:
    environment = {
        name: value for name, value in system.processes[service].environment.items() if name not in REQUIRED[service]
    }
    ran = run(service, environment)
    assert ran.returncode == BAD_SETTINGS
    lines = ran.stderr.splitlines()
    assert {line.partition(":")[0] for line in lines} == REQUIRED[service]
    assert len(lines) == len(REQUIRED[service])
    assert all(": missing; give " in line for line in lines), lines


@pytest.mark.parametrize("service", WRONG)
def test_wrong_settings(system: System, service: str) -> None:
    wrong = WRONG[service]
    ran = run(service, system.processes[service].environment | wrong)
    assert ran.returncode == BAD_SETTINGS
    lines = ran.stderr.splitlines()
    # That a certificate lacks its key is only seen when all others are right.
    assert {line.partition(":")[0] for line in lines} == set(wrong) - {"GRPC_TLS_CERT_FILE"}
    assert len(lines) == len(set(wrong) - {"GRPC_TLS_CERT_FILE"})
    for name, value in wrong.items():
        assert "short" not in value or value not in ran.stderr, f"{name} is a secret"


def test_settings_that_do_not_fit_each_other(system: System) -> None:
    gateway = system.processes["gateway"].environment
    production = run("gateway", gateway | {"ENVIRONMENT": "production", "DEMO_DATA": "true"})
    assert (production.returncode, production.stderr.count("\n")) == (BAD_SETTINGS, 1)
    assert production.stderr.startswith("DEMO_DATA: ")
    half = run("vehicle_connector", system.processes["vehicle_connector"].environment | {"GRPC_TLS_KEY_FILE": "x"})
    assert (half.returncode, half.stderr) == (
        BAD_SETTINGS,
        "GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: give both or neither\n",
    )


@pytest.mark.parametrize(("service", "variable"), [(name, port) for name, ports in PORTS.items() for port in ports])
def test_a_port_that_is_taken(system: System, service: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ran = run(service, system.processes[service].environment | {variable: port})
    assert ran.returncode == 1
    reasons = [line["reason"] for line in map(json.loads, ran.stderr.splitlines()) if line["event"] == "start_failed"]
    assert len(reasons) == 1
    assert port in reasons[0]
    assert "Address already in use" in reasons[0]


def test_a_certificate_that_is_none(system: System, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    files = {"GRPC_TLS_CERT_FILE": str(nonsense), "GRPC_TLS_KEY_FILE": str(nonsense)}
    ran = run("command_service", system.processes["command_service"].environment | files)
    assert ran.returncode == 1
    assert json.loads(ran.stderr.splitlines()[-1])["reason"].endswith("the certificate or its key is not good")


# --- sovd


def sovd(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    base = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return run("sovd_cli", {**base, "PYTHONPATH": str(ROOT / "services"), **environment}, *arguments)


def test_serve_what_there_is_not() -> None:
    ran = sovd("serve", "teapot")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "'teapot' is not one of 'gateway', 'command-service', 'vehicle-connector'" in ran.stderr


@pytest.mark.parametrize(
    "url", ["", f"mysql://root:{SECRET}@database/x", f"postgresql://u:{SECRET}@h:port/x", "nonsense"]
)
def test_migrate_nothing(url: str) -> None:
    ran = sovd("migrate", DATABASE_URL=url)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith("sovd: DATABASE_URL: ")


@pytest.mark.parametrize("wrong", ["password", "user", "database"])
def test_migrate_where_one_may_not(postgres_server: PostgresServer, wrong: str) -> None:
    postgres_server.ensure_running()
    parts = urlsplit(postgres_server.url)
    user, password, path = parts.username, parts.password, parts.path
    if wrong == "password":
        password = SECRET
    elif wrong == "user":
        user = "nobody"
    else:
        path = "/nothing"
    url = parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}", path=path).geturl()
    ran = sovd("migrate", "--wait", "0", DATABASE_URL=url)
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 8
    assert line.startswith("sovd: gateway: The database does not answer")
    assert {"password": "password authentication failed", "user": "nobody", "database": "nothing"}[wrong] in line


async def test_migrate_waits_for_a_database_that_starts(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    postgres_server.stop()
    environment = {"DATABASE_URL": postgres_url}
    migration = ManagedProcess("migrate", "sovd_cli", environment, tmp_path / "migrate.log", "migrate")
    migration.start()
    await until(lambda: "waiting" in migration.log_tail())
    assert migration.running
    postgres_server.start()
    await until(lambda: not migration.running)
    first, *rest = migration.output.read_text().splitlines()
    assert migration.exit_code == 0
    assert first.startswith("the database does not answer yet (")
    assert rest == ["gateway: up to date", "command-service: up to date"]
