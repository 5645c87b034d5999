"""A vehicle at a bench that nobody can dial, in containers beside the system, and what an agent there is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.compose_stack import FILE
from tests.support.certificates import CertificateFiles
from tests.support.system import ADMIN, ROOT
from tests.support.waiting import wait_for

CONNECTOR, BENCH = "connector-of-certificates", "bench"
VINS = {"the agent's image": "WDD12345678900003", "the agent's unit": "WDD12345678900004"}
_FIRST_DOIP_PORT = 13400


def beside(certificates: CertificateFiles) -> dict[str, dict[str, Any]]:
    """A connector that knows vehicles by their certificates, and vehicles which only an agent reaches."""
    mounted = [f"{certificates.server_ca.parent}:/certificates:ro"]
    return {
        "command-service": {
            "volumes": mounted,
            "environment": {
                "VEHICLE_CA_CERT_FILE": "/certificates/vehicle_ca.pem",
                "VEHICLE_CA_KEY_FILE": "/certificates/vehicle_ca_key.pem",
            },
        },
        CONNECTOR: {
            "extends": {"file": str(FILE), "service": "vehicle-connector"},
            "volumes": mounted,
            "environment": {
                "VEHICLE_TLS_CERT_FILE": "/certificates/server_cert.pem",
                "VEHICLE_TLS_KEY_FILE": "/certificates/server_key.pem",
                "VEHICLE_CA_FILE": "/certificates/vehicle_ca.pem",
            },
        },
        BENCH: {
            "image": "sovd-webapp/vehicle-simulator",
            "environment": {
                "DIAL_IN": "false",
                "VEHICLE_CREDENTIAL_SECRET": "not-asked-for-here",
                "VEHICLES": "0",
                "METRICS_PORT": "9103",
                "VINS": ",".join(VINS.values()),
                "DOIP_PORT": str(_FIRST_DOIP_PORT),
            },
        },
    }


def fill_in_agent_env(vin: str, code: str, certificates: CertificateFiles, directory: Path) -> None:
    """What docs/vehicles.md has in /etc/sovd-agent, with nothing left out of the file that comes with us."""
    told = {
        "CONNECTOR_ADDRESS": f"{CONNECTOR}:50052",
        "ENROLMENT_ADDRESS": f"{CONNECTOR}:50053",
        "ENROLMENT_CODE": code,
        "VEHICLE_VIN": vin,
        "DOIP_ADDRESS": f"{BENCH}:{_FIRST_DOIP_PORT + list(VINS.values()).index(vin)}",
    }
    lines = (ROOT / "deploy/agent/agent.env").read_text().splitlines()
    directory.mkdir(exist_ok=True)
    filled = [f"{name}={told[name]}" if (name := line.partition("=")[0]) in told else line for line in lines]
    (directory / "agent.env").write_text("\n".join(filled))
    (directory / "ca.pem").write_bytes(certificates.server_ca.read_bytes())


@dataclass
class Vehicle:
    """As the platform at `url` sees it, and an admin there."""

    url: str
    vin: str

    def __post_init__(self) -> None:
        self._api = httpx.Client(base_url=self.url, timeout=30)
        body = dict(zip(("username", "password"), ADMIN, strict=True))
        token = self._posted("/api/v1/auth/login", body)["access_token"]
        self._api.headers["Authorization"] = f"Bearer {token}"
        added = self._posted("/api/v1/vehicles", {"vin": self.vin, "make": "Bench", "model": "NAT", "year": 2024})
        self._id = added["vehicle_id"]
        self._path = f"/api/v1/vehicles/{self._id}"

    def close(self) -> None:
        self._api.close()

    def new_code(self) -> str:
        return str(self._posted(f"{self._path}/enrolment-codes")["code"])

    @property
    def status(self) -> str:
        return str(self._got(self._path)["connection_status"])

    @property
    def certificates(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._got(f"{self._path}/certificates")["items"]
        return found

    def fault_codes(self) -> list[str]:
        """What ReadDTC says, once it has completed."""
        params = {"ecuAddress": "0x10"}
        body = {"vehicle_id": self._id, "command_name": "ReadDTC", "command_params": params}
        command = f"/api/v1/commands/{self._posted('/api/v1/commands', body)['command_id']}"
        wait_for(lambda: self._got(command)["completed_at"], 60)
        assert self._got(command)["status"] == "completed", self._got(command)
        *faults, last = [item["response"] for item in self._got(f"{command}/responses")["items"]]
        assert last["count"] == len(faults)
        return [fault["code"] for fault in faults]

    def _posted(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._api.post(path, json=body).raise_for_status().json()

    def _got(self, path: str) -> Any:
        return self._api.get(path).raise_for_status().json()
