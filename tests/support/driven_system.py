"""The whole system on real servers, for tests that are not written in Python: `python -m tests.support.driven_system`.

Prints `{"url": …, "control": …, "ways": {way: VIN}}` on one line once the system is there with its demo data and the
web interface, and does, one at a time, what is asked for at `control`; an answer comes when it is done:

    POST /kill/gateway                  kill -9
    POST /start/gateway                 back when the gateway is ready
    POST /start/WBA1122334455FFEE       a vehicle given as `--away` dials in
    POST /terminate/WBA1122334455FFEE   and leaves

It ends, with all that it started, when its standard input ends: also when who started it was killed.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.support.roads import WAYS, Roads
from tests.support.servers import Servers
from tests.support.system import ROOT, System

WEB = ROOT / "services" / "web" / "dist"
DEMO_VEHICLES_ONLINE = 2
# A car has no 24 V: of the vehicles at the end of `--way`, no ECU can be reset the hard way.
PRECONDITIONS = {
    "vehicles": [
        {
            "vin": "WDDWAY",
            "signals": {
                "vehicle_speed": {"ecuAddress": "0x10", "dataId": "0xF40D"},
                "ignition": {"ecuAddress": "0x10", "dataId": "0x2002"},
                "supply_voltage": {"ecuAddress": "0x10", "dataId": "0xF442", "scale": 0.001},
            },
        },
        {"vin": "", "signals": {"vehicle_speed": None, "ignition": None, "supply_voltage": None}},
    ],
    "command_types": {
        "ECUReset": [
            {
                "name": "supply voltage",
                "signal": "supply_voltage",
                "comparison": ">=",
                "value": 24,
                "unit": "V",
                "when": {"resetType": "hard"},
            }
        ]
    },
}


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as directory, _running_system(options, Path(directory)) as system:
        control = HTTPServer(("127.0.0.1", 0), _handler(system))
        threading.Thread(target=control.serve_forever, daemon=True).start()
        addresses = {"url": system.url, "control": f"http://127.0.0.1:{control.server_port}"}
        print(json.dumps({**addresses, "ways": {way: WAYS[way] for way in options.way}}), flush=True)
        sys.stdin.read()
        control.shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.driven_system")
    parser.add_argument("--vin", action="append", default=[], help="one more vehicle that is online")
    parser.add_argument("--away", action="append", default=[], help="a known vehicle that can be told to come")
    parser.add_argument("--way", action="append", default=[], choices=WAYS, help="one more, at the end of this way")
    parser.add_argument("--faults", default="", help="what goes wrong with vehicles (vehicle_simulator/faults.py)")
    return parser.parse_args()


@contextmanager
def _running_system(options: argparse.Namespace, directory: Path) -> Iterator[System]:
    with _own_servers() as urls:
        system = Roads(
            *urls,
            directory,
            vehicles=0,
            settings={"WEB_DIRECTORY": str(WEB), "PRECONDITIONS_FILE": str(_preconditions(directory))},
            simulator_settings={"DEMO_DATA": "true", "VINS": ",".join(options.vin), "FAULTS": options.faults},
        )
        system.lay(options.way)
        for vin in options.away:
            name = _simulator_of(vin)
            system.add_simulator(name, VINS=vin, LEDGER_FILE=str(directory / f"{name}.jsonl"))
        try:
            system.start()
            _bring_vehicles(system, options)
            yield system
        finally:
            system.kill_all()


def _preconditions(directory: Path) -> Path:
    path = directory / "preconditions.json"
    path.write_text(json.dumps(PRECONDITIONS))
    return path


@contextmanager
def _own_servers() -> Iterator[tuple[str, str, str]]:
    """A database and a virtual host of this run's own, and an empty Redis: their URLs."""
    servers = Servers(in_memory=True)
    try:
        for name in ("rabbitmq", "postgres", "redis"):
            servers.begin(name)
        database_url, rabbitmq_url = servers.postgres.new_database(), servers.rabbitmq.new_vhost()
        servers.redis.flush()
        yield database_url, rabbitmq_url, servers.redis.url
        servers.rabbitmq.drop_vhost(rabbitmq_url)
        servers.postgres.drop_database(database_url)
    finally:
        servers.close()


def _bring_vehicles(system: Roads, options: argparse.Namespace) -> None:
    with system.client() as client:
        for vin in options.vin:
            body = {"vin": vin, "make": "Mercedes", "model": "C-Class", "year": 2024}
            client.post("/api/v1/vehicles", json=body).raise_for_status()
        system.processes["vehicle_simulator"].start()
        system.open(client)
        system.wait_for_vehicles(client, DEMO_VEHICLES_ONLINE + len(options.vin) + len(options.way))


def _simulator_of(vin: str) -> str:
    return f"vehicle_simulator_{vin}"


def _handler(system: System) -> type[BaseHTTPRequestHandler]:
    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, action, name = self.path.split("/")
            process = system.processes.get(name) or system.processes[_simulator_of(name)]
            actions: dict[str, Callable[[], object]] = {
                "kill": process.kill,
                "start": process.start,
                "terminate": process.terminate,
            }
            actions[action]()
            if (action, name) == ("start", "gateway"):
                system.wait_until_ready()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Control


if __name__ == "__main__":
    main()
