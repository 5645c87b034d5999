"""deploy/compose/compose.yaml: what services need is set, what is mounted is there, and everything starts in order."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from command_service.settings import Settings as CommandServiceSettings
from gateway.settings import GatewaySettings
from tests.support.system import ROOT
from vehicle_connector.settings import Settings as VehicleConnectorSettings
from vehicle_simulator.settings import Settings as VehicleSimulatorSettings

COMPOSE = ROOT / "deploy/compose"
SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "command-service": CommandServiceSettings,
    "vehicle-connector": VehicleConnectorSettings,
    "vehicle-simulator": VehicleSimulatorSettings,
}
# Variables of others than our settings: OpenTelemetry's own.
FOREIGN = re.compile(r"OTEL_")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("compose") / ".env"
    for _ in range(2):  # the second time changes nothing
        subprocess.run([ROOT / "scripts/create_compose_env.sh", file], check=True)
        values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert file.stat().st_mode & 0o077 == 0
    assert len(set(values.values())) == len(values) == 6
    return values


@pytest.fixture(scope="module")
def services(secrets: dict[str, str]) -> dict[str, Any]:
    def value(match: re.Match[str]) -> str:
        name, _, default = match[1].partition(":")
        if name not in secrets and default.startswith("+"):  # only where it is set
            return ""
        return secrets.get(name, default.removeprefix("-") if default.startswith("-") else f"${{{match[1]}}}")

    text = re.sub(r"\$\{([^}]+)\}", value, (COMPOSE / "compose.yaml").read_text())
    assert "${" not in text, "a variable that create_compose_env.sh does not make"
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


@pytest.mark.parametrize("service", SETTINGS)
def test_its_settings_are_given_and_right(
    services: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = services[service]["environment"]
    for name in list(os.environ):
        if name.lower() in SETTINGS[service].model_fields:
            monkeypatch.delenv(name)
    for name, value in given.items():
        assert isinstance(value, str), name
        monkeypatch.setenv(name, value)
    SETTINGS[service]()  # raises where one is missing or wrong
    known = {name for settings in SETTINGS.values() for name in settings.model_fields}
    for name in given:
        assert name.lower() in known or FOREIGN.match(name), f"{name} is nobody's setting"


def test_addresses_are_those_of_services(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            for host in re.findall(r"(?:://(?:[^@/]*@)?|^)([a-z-]+)(?::\d+)?(?:/\S*)?$", value):
                if variable.endswith(("_URL", "_ADDRESS", "_ENDPOINT")):
                    assert host in services, (name, variable, host)


def test_what_starts_after_what_is_there(services: dict[str, Any]) -> None:
    ended: set[str] = set()
    waiting = dict(services)
    while waiting:
        ready = {name for name, service in waiting.items() if set(service.get("depends_on", ())) <= ended}
        assert ready, f"these wait for each other or for nothing that is there: {sorted(waiting)}"
        ended |= ready
        waiting = {name: service for name, service in waiting.items() if name not in ready}
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            # Ours have their health check in the image.
            checked = "healthcheck" in services[other] or services[other]["image"].startswith("sovd-webapp/")
            assert checked or how["condition"] != "service_healthy", other


def test_simulated_vehicles_dial_in_on_the_connectors_loopback(services: dict[str, Any]) -> None:
    simulator = services["vehicle-simulator"]
    assert simulator["network_mode"] == "service:vehicle-connector"
    assert simulator["depends_on"]["vehicle-connector"] == {"condition": "service_healthy", "restart": True}
    assert "ports" not in services["vehicle-connector"]
    ports = [services[name]["environment"].get("METRICS_PORT") for name in ("vehicle-connector", "vehicle-simulator")]
    assert len(set(ports)) == 2


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    paths = [Path(mount.partition(":")[0]) for mount in mounts if mount.startswith(".")]
    assert len(paths) == 6
    for path in paths:
        assert (COMPOSE / path).exists(), path


def test_nothing_is_open_to_others(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if service["image"].startswith("sovd-webapp/"):
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def test_prometheus_and_grafana_find_what_they_show(services: dict[str, Any]) -> None:
    for file in (ROOT / "deploy/observability/prometheus/targets").iterdir():
        ((target,),) = (group["targets"] for group in yaml.safe_load(file.read_text()))
        host, _, port = target.partition(":")
        assert host in services
        assert SETTINGS[host].model_fields["metrics_port"].default == int(port)
    provisioning = ROOT / "deploy/observability/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/sovd.yml").read_text())["datasources"]
    assert {re.sub(r"https?://([a-z]+):\d+", r"\1", source["url"]) for source in sources} <= set(services)
    (provider,) = yaml.safe_load((provisioning / "dashboards/sovd.yml").read_text())["providers"]
    assert any(mount.split(":")[1] == provider["options"]["path"] for mount in services["grafana"]["volumes"])
