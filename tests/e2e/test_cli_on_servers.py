"""The README's "On real servers": every service started by `sovd serve`, on PostgreSQL, RabbitMQ and Redis."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import ManagedProcess, System
from vehicle_simulator.vins import fleet_vins

PASSWORD = "a-password-of-the-operator"


class Deployment:
    """System knows ports and settings; here `sovd` starts the processes, as the README says."""

    def __init__(self, system: System, directory: Path) -> None:
        self.system = system
        self._directory = directory
        self._processes: list[ManagedProcess] = []

    def environment(self, name: str) -> dict[str, str]:
        return {**self.system.processes[name].environment, "DEMO_DATA": "false", "INITIAL_ADMIN_PASSWORD": PASSWORD}

    def start(self, name: str, *arguments: str) -> ManagedProcess:
        process = ManagedProcess(
            name, "sovd_cli", self.environment(name) | self._user(), self._directory / f"{name}.log", *arguments
        )
        process.start()
        self._processes.append(process)
        return process

    def sovd(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "sovd_cli", *arguments],
            env=self.environment("gateway") | self._user(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def _user(self) -> dict[str, str]:
        return {"SOVD_URL": self.system.url, "SOVD_CONFIG": str(self._directory / "credentials.json")}

    def end(self) -> None:
        for process in self._processes:
            process.kill()


@pytest.fixture
def deployment(postgres_url: str, rabbitmq_url: str, redis_url: str, tmp_path: Path) -> Iterator[Deployment]:
    system = System(postgres_url, rabbitmq_url, redis_url, tmp_path, vehicles=3)
    deployed = Deployment(system, tmp_path)
    yield deployed
    deployed.end()


def documents(ran: "subprocess.CompletedProcess[str]") -> list[Any]:
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_the_services_one_by_one(deployment: Deployment) -> None:
    for _ in range(2):
        migrated = deployment.sovd("migrate")
        assert (migrated.returncode, migrated.stderr) == (0, "gateway: up to date\ncommand-service: up to date\n")

    services = [deployment.start(name, "serve", name.replace("_", "-")) for name in ("command_service", "gateway")]
    services.append(deployment.start("vehicle_connector", "serve", "vehicle-connector"))
    deployment.system.wait_until_ready()

    logged_in = deployment.sovd("login", "--username", "admin", "--password-stdin", stdin=PASSWORD)
    assert logged_in.returncode == 0, logged_in.stderr
    address = deployment.environment("vehicle_simulator")["CONNECTOR_ADDRESS"]
    fleet = deployment.start("vehicle_simulator", "simulate", "--vehicles", "3", "--connector", address, "--register")

    vin = fleet_vins(1)[0]
    wait_for_vehicle(deployment, vin)
    run = documents(deployment.sovd("run", "ReadDTC", "--vin", vin, "--param", "ecuAddress=0x10", "--json"))
    assert run[-1]["status"] == "completed"
    [command] = documents(deployment.sovd("commands", "--json"))
    assert (command["command_id"], command["username"]) == (run[0]["command_id"], "admin")

    for process in (fleet, *services):
        assert process.terminate() == 0, process.log_tail()


def wait_for_vehicle(deployment: Deployment, vin: str) -> None:
    """By asking the public API, as a user would: `sovd vehicles` until it is online."""
    for _ in range(200):
        if deployment.sovd("vehicles", "--search", vin, "--status", "online").stdout:
            return
    raise AssertionError(f"{vin} does not come online")


@pytest.mark.parametrize("service", ["gateway", "command-service", "vehicle-connector"])
def test_a_service_names_what_is_not_set(service: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH")}
    ran = subprocess.run(
        [sys.executable, "-m", "sovd_cli", "serve", service],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 78
    lines = ran.stderr.splitlines()
    assert "SERVICE_TOKEN: missing; give " in ran.stderr
    assert all(": missing; give " in line for line in lines), lines
