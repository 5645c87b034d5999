"""A vehicle that nobody can dial, brought online by `sovd agent`: from the API to its SOVD server and back, and through
a kill -9 of the agent in the middle of a change."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from service_kit.vehicle_credential import vehicle_credential
from tests.support.local_servers import free_port
from tests.support.system import VEHICLE_SECRET, ManagedProcess, System
from tests.support.waiting import wait_for
from vehicle_simulator.ledger import EXECUTED, read_ledger

VIN = "WDD12345678900001"


def test_a_vehicle_behind_nat(postgres_url: str, rabbitmq_url: str, redis_url: str, tmp_path: Path) -> None:
    system = System(postgres_url, rabbitmq_url, redis_url, tmp_path, vehicles=0)
    port = free_port()
    system.add_simulator(
        "vehicle_simulator_bench",
        DIAL_IN="false",
        VINS=VIN,
        SOVD_HOST="127.0.0.1",
        SOVD_PORT=str(port),
        FAULTS="slow:seconds=1,times=1,command=ClearDTC",
    )
    try:
        system.start()
        system.processes["vehicle_simulator_bench"].start()
        system.processes["agent"] = _agent(system, port)
        _use(system)
    finally:
        system.kill_all()


def _agent(system: System, port: int) -> ManagedProcess:
    vehicle = ["--vin", VIN, "--sovd", f"http://127.0.0.1:{port}/{VIN}"]
    connector = ["--connector", f"127.0.0.1:{system.session_ports[0]}", "--state-dir", str(system.directory / "state")]
    environment = {"VEHICLE_CREDENTIAL": vehicle_credential(VEHICLE_SECRET, VIN), "REDIAL_MAX_SECONDS": "1"}
    output = system.directory / "agent.log"
    return ManagedProcess("agent", "sovd_cli", environment, output, "agent", *vehicle, *connector)


def _use(system: System) -> None:
    agent = system.processes["agent"]
    with system.client() as client:
        body = {"vin": VIN, "make": "Bench", "model": "ECU", "year": 2024}
        client.post("/api/v1/vehicles", json=body).raise_for_status()
        agent.start()
        system.wait_for_vehicles(client, 1)
        assert _ended(client, _submitted(client, "ReadDTC"))["responses"] == 3
        clear = _submitted(client, "ClearDTC")
        wait_for(lambda: _command(client, clear)["status"] == "in_progress")
        agent.kill()
        agent.start()
        ended = _ended(client, clear)
        assert (ended["status"], ended["error_code"]) == ("failed", "OUTCOME_UNKNOWN")
        assert _ended(client, _submitted(client, "ReadDTC"))["status"] == "completed"
        executed = Counter(entry.command_id for entry in read_ledger(system.ledger) if entry.event == EXECUTED)
        assert executed[clear] <= 1
        # What is stopped says goodbye, at once.
        assert agent.terminate() == 0
        wait_for(lambda: _vehicle(client)["connection_status"] == "offline")


def _vehicle(client: httpx.Client) -> Any:
    return client.get("/api/v1/vehicles", params={"search": VIN}).json()["items"][0]


def _submitted(client: httpx.Client, name: str) -> str:
    params = {"ecuAddress": "0x10"}
    body = {"vehicle_id": _vehicle(client)["vehicle_id"], "command_name": name, "command_params": params}
    answer = client.post("/api/v1/commands", json=body)
    return str(answer.raise_for_status().json()["command_id"])


def _command(client: httpx.Client, command_id: str) -> Any:
    return client.get(f"/api/v1/commands/{command_id}").json()


def _ended(client: httpx.Client, command_id: str) -> Any:
    wait_for(lambda: _command(client, command_id)["completed_at"], 60)
    return _command(client, command_id)
