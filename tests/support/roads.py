"""A system with one vehicle at the end of each way that there is to one, all of them real processes and sockets.

Their ECUs are described for who speaks DoIP with them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from service_kit.vehicle_credential import vehicle_credential
from tests.support.local_servers import free_port
from tests.support.pdx import write_pdx
from tests.support.system import VEHICLE_SECRET, ManagedProcess, System
from vehicle_simulator.ecus import ECU_TYPES

# By VIN.
WAYS = {
    "session": "WDDWAY00000000001",
    "doip": "WDDWAY00000000002",
    "sovd": "WDDWAY00000000003",
    "agent-doip": "WDDWAY00000000004",
    "agent-sovd": "WDDWAY00000000005",
}


class Roads(System):
    """`lay` the ways before it starts, `open` them once it has."""

    def lay(self, ways: Iterable[str]) -> None:
        self._ways = tuple(ways)
        self._pdx.mkdir()
        for address, ecu_type in ECU_TYPES.items():
            write_pdx(self._pdx / f"{ecu_type.name}.pdx", ecu_type, address=address)
        self.processes["vehicle_connector"].environment["ODX_PATH"] = str(self._pdx)
        for way in self._ways:
            self._simulate(way)
            if way.startswith("agent-"):
                self.processes[way] = self._agent(way)

    def open(self, client: httpx.Client) -> None:
        """Their vehicles are known and set out; online a little later."""
        for way in self._ways:
            client.post("/api/v1/vehicles", json=self._registration(way)).raise_for_status()
            self.processes[_simulator_of(way)].start()

    @property
    def _pdx(self) -> Path:
        return self.directory / "pdx"

    def _address(self, way: str) -> str:
        environment = self.processes[_simulator_of(way)].environment
        if "DOIP_PORT" in environment:
            return f"127.0.0.1:{environment['DOIP_PORT']}"
        return f"http://127.0.0.1:{environment['SOVD_PORT']}/{WAYS[way]}"

    def _registration(self, way: str) -> dict[str, Any]:
        link = {"link": {"kind": way, "address": self._address(way)}} if way in ("doip", "sovd") else {}
        return {"vin": WAYS[way], "make": "Bench", "model": way, "year": 2024} | link

    def _simulate(self, way: str) -> None:
        protocol = way.removeprefix("agent-").upper()
        listens = {} if way == "session" else {f"{protocol}_PORT": str(free_port()), f"{protocol}_HOST": "127.0.0.1"}
        ledger = str(self.directory / f"{way}.jsonl")
        dials_in = str(way == "session").lower()
        settings = {"VINS": WAYS[way], "DIAL_IN": dials_in, "LEDGER_FILE": ledger, **listens}
        self.add_simulator(_simulator_of(way), connector=0, **settings)

    def _agent(self, way: str) -> ManagedProcess:
        link = f"--{way.removeprefix('agent-')}"
        where = ["--connector", f"127.0.0.1:{self.session_ports[0]}", "--state-dir", str(self.directory / way)]
        credential = vehicle_credential(VEHICLE_SECRET, WAYS[way])
        environment = {"VEHICLE_CREDENTIAL": credential, "REDIAL_MAX_SECONDS": "1", "ODX_PATH": str(self._pdx)}
        arguments = ["agent", "--vin", WAYS[way], link, self._address(way), *where]
        return ManagedProcess(way, "sovd_cli", environment, self.directory / f"{way}.log", *arguments)


def _simulator_of(way: str) -> str:
    return f"vehicle_simulator_{way}"
