"""From the API through the connector and sockets to a vehicle that is dialled, and back."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.test_embedded import SOVD, Running, running
from tests.support.local_servers import free_port
from tests.support.waiting import wait_for

VIN = "WDD12345678900001"


@contextmanager
def simulated(system: Running, port: int, directory: Path, kind: str = "doip") -> Iterator[None]:
    """One vehicle that only waits to be dialled, registered with its address."""
    options = ["--vehicles", "0", "--vin", VIN, f"--{kind}-port", str(port), "--no-dial-in", "--register"]
    options += ["--fault", "disconnect:after=0,times=1,command=ClearDTC"]
    environment = {
        **os.environ,
        "SOVD_URL": system.url,
        "SOVD_CONFIG": str(directory / "credentials.json"),
        "VEHICLE_CREDENTIAL_SECRET": "a secret that nobody asks for",
        "METRICS_PORT": "0",
        "DOIP_HOST": "127.0.0.1",
        "SOVD_HOST": "127.0.0.1",
    }
    process = subprocess.Popen(
        [*SOVD, "simulate", *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Fleet:
    """The public API, as an admin uses it."""

    def __init__(self, url: str) -> None:
        login = httpx.post(f"{url}/api/v1/auth/login", json={"username": "admin", "password": "admin123"}).json()
        self._api = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {login['access_token']}"})

    def close(self) -> None:
        self._api.close()

    def vehicle(self) -> Any:
        found = self._api.get("/vehicles", params={"search": VIN}).json()["items"]
        return found[0] if found else None

    def status(self) -> str:
        vehicle = self.vehicle()
        return str(vehicle["connection_status"]) if vehicle else ""

    def run(self, name: str, **params: Any) -> tuple[Any, list[Any]]:
        """The command once it has ended, and what it answered."""
        body = {
            "vehicle_id": self.vehicle()["vehicle_id"],
            "command_name": name,
            "command_params": ({} if name == "ScanECUs" else {"ecuAddress": "0x10"}) | params,
        }
        path = f"/commands/{self._api.post('/commands', json=body).json()['command_id']}"
        wait_for(lambda: self._api.get(path).json()["completed_at"])
        answers = self._api.get(f"{path}/responses").json()["items"]
        return self._api.get(path).json(), [answer["response"] for answer in answers]

    def completed(self, name: str, **params: Any) -> list[Any]:
        command, answers = self.run(name, **params)
        assert command["status"] == "completed", command
        return answers


def test_a_vehicle_on_doip_is_dialled_diagnosed_and_seen_to_leave(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path) as system:
        system.log_in("admin", "admin123")
        with closing(Fleet(system.url)) as fleet:
            with simulated(system, port, tmp_path):
                diagnose(fleet, port)
            wait_for(lambda: fleet.status() == "offline")
            wait_for(lambda: fleet.vehicle()["link"]["problem"])
            assert "Connect" in fleet.vehicle()["link"]["problem"]["reason"]
            assert "offline, not reached" in system.sovd("vehicles").stdout
            assert f"127.0.0.1:{port}" in system.sovd("vehicles", "show", VIN).stdout
            with simulated(system, port, tmp_path):
                wait_for(lambda: fleet.status() == "online", 60)
                assert fleet.vehicle()["link"]["problem"] is None


def diagnose(fleet: Fleet, port: int) -> None:
    wait_for(lambda: fleet.status() == "online", 60)
    assert fleet.vehicle()["link"] == {"kind": "doip", "address": f"127.0.0.1:{port}", "problem": None}
    assert fleet.vehicle()["ecus"] == []
    assert fleet.completed("ScanECUs")[-1] == {"count": 6}
    engine, *_ = fleet.vehicle()["ecus"]
    assert (engine["address"], engine["name"], engine["part_number"], engine["vin"]) == ("0x10", "ECM", "A2749004", VIN)
    *faults, count = fleet.completed("ReadDTC")
    assert [fault["display_code"] for fault in faults] == ["P0420-11", "P0171-00"]
    assert count == {"ecuAddress": "0x10", "count": 2}
    (details,) = fleet.completed("ReadDTCDetails", dtcCode="P0420-11")
    assert details["snapshots"][0]["data"][0]["id"] == "0xF405"
    command, _ = fleet.run("ClearDTC")  # the connection breaks before its answer
    assert (command["status"], command["error_code"]) == ("failed", "OUTCOME_UNKNOWN")
    wait_for(lambda: fleet.status() == "online")
    assert fleet.completed("ReadDTC") == [{"ecuAddress": "0x10", "count": 0}]
    (vin,) = fleet.completed("ReadDataByID", dataId="0xF190")
    assert vin["value"] == VIN
