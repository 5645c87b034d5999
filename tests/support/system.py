"""The whole system as it is deployed: every service its own process, on real servers, free ports and loopback.

Chaos tests, end-to-end tests and the bench all start it here. A process keeps its ports over a restart, and its output
goes to a file of its own, which an assertion about the system can quote.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.support.local_servers import free_port

ROOT = Path(__file__).resolve().parents[2]
ADMIN, ENGINEER = ("admin", "admin123"), ("engineer", "engineer123")
SERVICE_TOKEN = "a-service-token-for-tests-only"
VEHICLE_SECRET = "a-vehicle-secret-for-tests-only"


class NotReady(AssertionError):
    """A process did not become what it should within its time; carries the end of its output."""


class ManagedProcess:
    """`python -m module` with its environment, in a process group of its own."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], output: Path, *arguments: str) -> None:
        self.name = name
        self.output = output
        self._command = [sys.executable, "-m", module, *arguments]
        self.environment = {**_clean_environment(), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self.environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        """kill -9: no goodbye."""
        self._end(signal.SIGKILL)

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM, as an orchestrator stops it; the exit code."""
        self._end(signal.SIGTERM, seconds)
        return self._process.returncode if self._process else 0

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:]) if self.output.exists() else ""

    def _end(self, number: int, seconds: float = 10) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise NotReady(f"{self.name} did not end within {seconds} s\n{self.log_tail()}") from None


@dataclass
class System:
    """gateway, command_service, connectors and simulator. `start()` returns when the gateway is ready."""

    database_url: str
    rabbitmq_url: str
    redis_url: str
    directory: Path
    vehicles: int = 10
    connectors: int = 1
    command_services: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    simulator_settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.http_port = free_port()
        self.grpc_ports = [free_port() for _ in range(self.command_services)]
        self.session_ports = [free_port() for _ in range(self.connectors)]
        self.ledger = self.directory / "ledger.jsonl"
        self.processes: dict[str, ManagedProcess] = {}
        for index, port in enumerate(self.grpc_ports):
            self._add(
                _numbered("command_service", index),
                module="command_service",
                METRICS_PORT=str(free_port()),
                GRPC_PORT=str(port),
                GRPC_HOST="127.0.0.1",
            )
        for index, port in enumerate(self.session_ports):
            self._add(
                _numbered("vehicle_connector", index),
                module="vehicle_connector",
                METRICS_PORT=str(free_port()),
                SESSION_PORT=str(port),
                SESSION_HOST="127.0.0.1",
                HEALTH_PORT="0",
            )
        self._add("gateway", METRICS_PORT=str(free_port()), HTTP_PORT=str(self.http_port), HTTP_HOST="127.0.0.1")
        for index in range(self.connectors):
            self.add_simulator(
                _numbered("vehicle_simulator", index),
                connector=index,
                **{"SEED": str(index + 1), **self.simulator_settings},
            )

    def add_simulator(self, name: str, *, connector: int = 0, **settings: str) -> None:
        """One more process with simulated vehicles, those that its settings name; not started yet."""
        address = f"127.0.0.1:{self.session_ports[connector]}"
        defaults = {"METRICS_PORT": "0", "CONNECTOR_ADDRESS": address, "DEMO_DATA": "false"}
        self._add(name, module="vehicle_simulator", **{**defaults, **settings})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.http_port}"

    def metrics_port(self, name: str) -> int:
        return int(self.processes[name].environment["METRICS_PORT"])

    def start(self) -> None:
        self.migrate()
        for name, process in self.processes.items():
            if not name.startswith("vehicle_simulator"):
                process.start()
        self.wait_until_ready()

    def start_vehicles(self, seconds: float = 60) -> list[dict[str, str]]:
        """Registers the simulated vehicles, dials them in, and returns them once all are online."""
        from vehicle_simulator.vins import fleet_vins

        with self.client() as client:
            for index in range(self.connectors):
                for vin in fleet_vins(self.vehicles, index + 1):
                    body = {"vin": vin, "make": "Mercedes", "model": "Bench", "year": 2024}
                    answer = client.post("/api/v1/vehicles", json=body)
                    assert answer.status_code in {201, 409}, answer.text
            for name, process in self.processes.items():
                if name.startswith("vehicle_simulator"):
                    process.start()
            return self.wait_for_vehicles(client, self.vehicles * self.connectors, seconds)

    def wait_for_vehicles(self, client: httpx.Client, count: int, seconds: float = 60) -> list[dict[str, str]]:
        for _ in self._tries(seconds, f"{count} vehicles online"):
            online = _all_pages(client, "/api/v1/vehicles", status="online")
            if len(online) >= count:
                return online
        raise AssertionError("unreachable")

    def wait_until_ready(self, seconds: float = 60) -> None:
        # One client for all tries: to make one reads all certificates of this machine.
        with httpx.Client(timeout=2) as client:
            for _ in self._tries(seconds, "the gateway ready"):
                with suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health/ready").status_code == 200:
                        return

    def migrate(self) -> None:
        process = ManagedProcess("migrate", "sovd_cli", self._environment(), self.directory / "migrate.log", "migrate")
        process.start()
        assert process._process is not None
        if process._process.wait(120) != 0:
            raise NotReady(f"sovd migrate failed\n{process.log_tail()}")

    def token(self, user: tuple[str, str] = ADMIN) -> str:
        body = dict(zip(("username", "password"), user, strict=True))
        answer = httpx.post(f"{self.url}/api/v1/auth/login", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def client(self, user: tuple[str, str] = ADMIN) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token(user)}"}, timeout=30)

    def stop(self) -> None:
        """Everything ends; simulators first, so that no vehicle is seen to leave in error."""
        for process in reversed(self.processes.values()):
            if process.running:
                os.kill(process.pid, signal.SIGCONT)
                process.terminate()

    def kill_all(self) -> None:
        for process in self.processes.values():
            process.kill()

    def usage(self) -> dict[str, tuple[float, int]]:
        """CPU seconds used and bytes resident, by process."""
        usage = {}
        for name, process in self.processes.items():
            if process.running:
                seen = psutil.Process(process.pid)
                times = seen.cpu_times()
                usage[name] = (times.user + times.system, seen.memory_info().rss)
        return usage

    def _add(self, name: str, *, module: str | None = None, **environment: str) -> None:
        self.processes[name] = ManagedProcess(
            name, module or name, self._environment() | environment, self.directory / f"{name}.log"
        )

    def _environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "RABBITMQ_URL": self.rabbitmq_url,
            "REDIS_URL": self.redis_url,
            # As a headless name gives all replicas.
            "COMMAND_SERVICE_ADDRESS": "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.grpc_ports),
            "SERVICE_TOKEN": SERVICE_TOKEN,
            "VEHICLE_CREDENTIAL_SECRET": VEHICLE_SECRET,
            "JWT_SECRET": "a-jwt-secret-that-is-for-tests-only-and-long",
            "DEMO_DATA": "true",
            "LOG_FORMAT": "json",
            "LOGIN_RATE_LIMIT": "100000/minute",
            "USER_RATE_LIMIT": "10000000/minute",
            "ADDRESS_RATE_LIMIT": "10000000/minute",
            "VEHICLES": str(self.vehicles),
            "LEDGER_FILE": str(self.ledger),
            **self.settings,
        }

    def _tries(self, seconds: float, what: str) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for process in self.processes.values():
                if process.exit_code not in (None, 0, -signal.SIGKILL):
                    raise NotReady(f"{process.name} ended with {process.exit_code}\n{process.log_tail()}")
            yield
            time.sleep(0.05)
        tails = "\n".join(f"--- {process.name}\n{process.log_tail(8)}" for process in self.processes.values())
        raise NotReady(f"not within {seconds} s: {what}\n{tails}")


@contextmanager
def running(system: System) -> Iterator[System]:
    """Started, with its vehicles online; everything is ended whatever happens."""
    try:
        system.start()
        system.start_vehicles()
        yield system
        system.stop()
    finally:
        system.kill_all()


def _numbered(name: str, index: int) -> str:
    return name if index == 0 else f"{name}_{index + 1}"


def _all_pages(client: httpx.Client, path: str, **parameters: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor = ""
    while True:
        answer = client.get(path, params={**parameters, "limit": "200", **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        cursor = page.get("next_cursor") or ""
        if not cursor:
            return found


def _clean_environment() -> dict[str, str]:
    """Ours, less what would point a service somewhere else."""
    ours = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT"}
    kept = {name: value for name, value in os.environ.items() if name in ours or name.startswith("OTEL_")}
    path = os.pathsep.join(filter(None, [str(ROOT / "services"), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
