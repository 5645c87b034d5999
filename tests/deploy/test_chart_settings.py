"""The services start with what the chart gives them: their own settings classes say whether it is enough and right."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

import command_service.settings
import vehicle_connector.settings
import vehicle_simulator.settings
from command_service.preconditions_file import load_preconditions
from gateway.settings import GatewaySettings
from service_kit.settings import is_loopback
from tests.deploy.chart import CHART, LOCAL, PRODUCTION, VALUE_FILES, Rendered, render
from tests.support.certificates import CertificateFiles

SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "command-service": command_service.settings.Settings,
    "vehicle-connector": vehicle_connector.settings.Settings,
}
# What an operator's Secret has.
SECRET = {
    "database-url": "postgresql://sovd:password@database/sovd?sslmode=require",
    "redis-url": "rediss://:password@redis:6379/0",
    "rabbitmq-url": "amqps://sovd:password@rabbitmq:5671/%2F",
    "jwt-secret": "j" * 32,
    "jwt-previous-secrets": "",
    "service-token": "s" * 16,
    "service-previous-tokens": "",
    "vehicle-credential-secret": "v" * 16,
    "initial-admin-password": "",
}


def given(chart: Rendered, component: str, secret: dict[str, str]) -> dict[str, str]:
    """The environment of the component's container."""
    return opened(chart.workload(component).environment(chart), secret)


def opened(environment: dict[str, str], secret: dict[str, str]) -> dict[str, str]:
    def value(text: str) -> str:
        return secret[text.split("/")[1].removesuffix(" optional")] if text.startswith("secret ") else text

    return {name: value(text) for name, text in environment.items()}


@pytest.fixture(scope="module")
def vehicle_ca(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The Secret of the vehicles' authority, as it is mounted and as it is here."""
    files = CertificateFiles.make(tmp_path_factory.mktemp("vehicle-ca"))
    mounted = "/etc/sovd/vehicle-ca/tls"
    return {f"{mounted}.crt": str(files.vehicle_ca), f"{mounted}.key": str(files.vehicle_ca_key)}


def as_here(environment: dict[str, str], files: dict[str, str]) -> dict[str, str]:
    return {name: files.get(value, value) for name, value in environment.items()}


def load(settings: type[BaseSettings], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings()


@pytest.mark.parametrize("component", SETTINGS)
def test_every_required_variable_is_set(chart: Rendered, component: str) -> None:
    environment = chart.workload(component).environment(chart)
    required = {name.upper() for name, field in SETTINGS[component].model_fields.items() if field.is_required()}
    assert required <= set(environment)


def test_pdx_files_come_from_a_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = {"persistentVolumeClaim": {"claimName": "odx"}}
    chart = render((), f"vehicleConnector.odx.volume={json.dumps(claim)}")
    connector = chart.workload("vehicle-connector")
    (volume,) = [each for each in connector.pod["volumes"] if each["name"] == "odx"]
    (mount,) = [each for each in connector.container["volumeMounts"] if each["name"] == "odx"]
    assert volume == {"name": "odx", **claim}
    assert mount == {"name": "odx", "mountPath": "/odx", "readOnly": True}
    environment = given(chart, "vehicle-connector", SECRET)
    assert environment["ODX_PATH"] == mount["mountPath"]
    loaded = load(SETTINGS["vehicle-connector"], environment | {"ODX_PATH": str(tmp_path)}, monkeypatch)
    assert loaded.odx_path == tmp_path
    assert all(each["name"] != "odx" for each in chart.workload("gateway").pod["volumes"])
    assert "ODX_PATH" not in render().workload("vehicle-connector").environment(render())


@pytest.mark.parametrize("component", SETTINGS)
def test_the_service_would_start(
    chart: Rendered, component: str, vehicle_ca: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chart.of_kind("Secret")
    secret = {**SECRET, **(made[0]["stringData"] if made else {})}
    loaded = load(SETTINGS[component], as_here(given(chart, component, secret), vehicle_ca), monkeypatch)
    ports = {port["name"]: port["containerPort"] for port in chart.workload(component).container["ports"]}
    assert loaded.metrics_port == ports["metrics"]


@pytest.mark.parametrize("component", SETTINGS)
def test_no_variable_is_one_that_nobody_reads(chart: Rendered, component: str) -> None:
    known = {name.upper() for name in SETTINGS[component].model_fields}
    others = {name for name in chart.workload(component).environment(chart) if not name.startswith("OTEL_")}
    assert others - known <= {"POD_NAME"}


def test_the_preconditions_of_an_operator_are_a_file_that_the_command_service_reads(tmp_path: Path) -> None:
    signals = {"vehicle_speed": {"ecuAddress": "0x10", "dataId": "0xF40D"}}
    chart = render((), f"commandService.preconditions={json.dumps({'vehicles': [{'vin': 'WDD', 'signals': signals}]})}")
    service = chart.workload("command-service")
    path = Path(service.environment(chart)["PRECONDITIONS_FILE"])
    (mount,) = (one for one in service.container["volumeMounts"] if one["mountPath"] == str(path.parent))
    (volume,) = (one for one in service.pod["volumes"] if one["name"] == mount["name"])
    stored = chart.get("ConfigMap", volume["configMap"]["name"])["data"][path.name]
    (tmp_path / path.name).write_text(stored)
    required = load_preconditions(tmp_path / path.name).required("ECUReset", {}, "WDD1234567890ABCD")
    assert [reading and reading.data_id for _, reading in required] == [0xF40D, None]
    without = render().workload("command-service")
    assert "PRECONDITIONS_FILE" not in without.environment(render())


@pytest.mark.parametrize("component", [*SETTINGS, "migrations"])
def test_no_secret_is_in_plain_sight(component: str) -> None:
    chart = render(LOCAL)
    workload = chart.workload(component)
    secret_names = ("TOKEN", "SECRET", "PASSWORD", "DATABASE_URL", "REDIS_URL", "RABBITMQ_URL")
    for container in workload.containers:
        for name, value in workload.environment(chart, container).items():
            if name.endswith(secret_names):
                assert value.startswith("secret sovd-webapp-secrets/"), name


def test_ports_are_those_that_the_services_listen_on(
    production: Rendered, vehicle_ca: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = [
        ("gateway", "http", "http_port"),
        ("command-service", "grpc", "grpc_port"),
        ("vehicle-connector", "session", "session_port"),
        ("vehicle-connector", "enrolment", "enrolment_port"),
        ("vehicle-connector", "health", "health_port"),
    ]
    for component, port_name, setting in listening:
        environment = as_here(given(production, component, SECRET), vehicle_ca)
        loaded = load(SETTINGS[component], environment, monkeypatch)
        ports = {port["name"]: port["containerPort"] for port in production.workload(component).container["ports"]}
        assert getattr(loaded, setting) == ports[port_name]


def test_the_command_service_is_found_by_a_name_that_gives_every_pod(production: Rendered) -> None:
    for component in ("gateway", "vehicle-connector"):
        address = production.workload(component).environment(production)["COMMAND_SERVICE_ADDRESS"]
        assert address == "sovd-webapp-command-service.sovd.svc:50051"
    service = production.get("Service", "sovd-webapp-command-service")["spec"]
    assert service["clusterIP"] == "None"
    assert {port["name"]: port["port"] for port in service["ports"]} == {"grpc": 50051, "metrics": 9101}


def test_the_simulated_vehicles_find_their_connector_on_loopback(
    local: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload, secret = local.workload("vehicle-connector"), local.get("Secret", "sovd-webapp-secrets")["stringData"]
    environment = opened(workload.environment(local, workload.simulator), secret)
    loaded = load(vehicle_simulator.settings.Settings, environment, monkeypatch)
    assert loaded.demo_data
    connector = load(SETTINGS["vehicle-connector"], given(local, "vehicle-connector", secret), monkeypatch)
    assert loaded.connector_address == f"localhost:{connector.session_port}"
    assert is_loopback(connector.listening_host)
    assert not is_loopback(connector.health_host)  # the kubelet asks from outside of the pod
    assert connector.vehicle_credential_secret == loaded.vehicle_credential_secret
    ports = local.get("Service", "sovd-webapp-vehicle-connector")["spec"]["ports"]
    assert [port["name"] for port in ports] == ["metrics"]


def test_migrations_have_the_database(production: Rendered) -> None:
    for container in production.workload("migrations").containers:
        assert [each["name"] for each in container["env"]] == ["DATABASE_URL"]


def test_the_stores_urls_name_the_stores_of_the_release(local: Rendered) -> None:
    secret = local.get("Secret", "sovd-webapp-secrets")["stringData"]
    assert secret["database-url"] == "postgresql://sovd:sovd@sovd-webapp-postgresql:5432/sovd?sslmode=disable"
    assert secret["redis-url"] == "redis://sovd-webapp-redis:6379/0"
    assert secret["rabbitmq-url"] == "amqp://sovd:sovd@sovd-webapp-rabbitmq:5672/%2F"
    assert {"sovd-webapp-postgresql", "sovd-webapp-redis", "sovd-webapp-rabbitmq"} <= local.names("Service")


def test_external_secrets_make_urls_that_the_services_take(
    production: Rendered, vehicle_ca: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's template, filled in."""
    template = production.get("ExternalSecret", "sovd-webapp-external-secrets")["spec"]["target"]["template"]["data"]
    values = {
        "databasePassword | urlquery": "p%2Fw",
        "redisPassword | urlquery": "p%2Fw",
        "rabbitmqPassword | urlquery": "p%2Fw",
        "jwtSecret": "j" * 32,
        "jwtPreviousSecrets": "",
        "serviceToken": "s" * 16,
        "servicePreviousTokens": "",
        "initialAdminPassword": "",
    }
    secret = dict(template)
    for name, value in values.items():
        secret = {key: text.replace(f"{{{{ .{name} }}}}", value) for key, text in secret.items()}
    assert secret["database-url"] == "postgresql://sovd:p%2Fw@sovd.cluster.example.com:5432/sovd?sslmode=require"
    assert secret["redis-url"] == "rediss://:p%2Fw@redis.example.com:6379/0"
    assert secret["rabbitmq-url"] == "amqps://sovd:p%2Fw@mq.example.com:5671/%2F"
    for component, settings in SETTINGS.items():
        load(settings, as_here(given(production, component, secret), vehicle_ca), monkeypatch)


def test_production_is_production(production: Rendered) -> None:
    for component in SETTINGS:
        environment = production.workload(component).environment(production)
        assert environment["ENVIRONMENT"] == "production"
        assert environment.get("DEMO_DATA", "false") == "false"


def test_further_variables_reach_the_services() -> None:
    chart = render(PRODUCTION, 'commandService.env={"LEASE_SECONDS": 20, "LOG_LEVEL": "DEBUG"}')
    environment = chart.workload("command-service").environment(chart)
    assert environment["LEASE_SECONDS"] == "20"
    assert environment["LOG_LEVEL"] == "DEBUG"


def test_value_files_are_all_looked_at() -> None:
    found = {each.name for each in CHART.glob("values-*.yaml")} - {"values-live-update.yaml"}
    assert found == {files[0] for files in VALUE_FILES.values() if files}
