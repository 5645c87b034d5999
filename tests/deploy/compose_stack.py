"""deploy/compose/compose.yaml as it is, under an engine: on free ports, with what tests put beside it, and with servers
made here (servers.Dockerfile) in the place of images that cannot be pulled.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tests.deploy.engine import HERE, build_here, can_pull, docker, docker_cli, logs
from tests.support.local_servers import free_port
from tests.support.system import ROOT

FILE = ROOT / "deploy/compose/compose.yaml"
PROJECT = "sovd-test-deploy"
SERVERS = "sovd-base/servers"
# What a server made here is told instead of nothing.
STAND_INS: dict[str, dict[str, Any]] = {
    "postgres": {"command": ["postgres"]},
    "redis": {},
    "rabbitmq": {"command": ["rabbitmq"]},
    "prometheus": {"command": ["prometheus"], "user": "nobody"},
}


class Replaced(list[str]):
    """A list that takes the place of the compose file's instead of adding to it."""


yaml.SafeDumper.add_representer(Replaced, lambda dumper, ports: dumper.represent_sequence("!override", ports))


@dataclass
class ComposeStack:
    """`left_out` are services whose images can neither be pulled nor made here; `events` what happened until all was
    up: (service, "start", "health_status: healthy" or "die with 0").
    """

    directory: Path
    beside: dict[str, dict[str, Any]]
    events: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
        self.ports = {name: free_port() for name, service in self.services.items() if "ports" in service}
        self.left_out: set[str] = set()
        subprocess.run([ROOT / "scripts/create_compose_env.sh", self.directory / ".env"], check=True)
        self._write_overrides()

    @property
    def network(self) -> str:
        return f"{PROJECT}_default"

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def up(self) -> None:
        started = ({*self.services} | {*self.beside}) - self.left_out
        self.run("up", "--detach", "--wait", "--wait-timeout", "300", *started)

    def stop(self) -> None:
        """Ours finish what they are at, and end well."""
        self.run("stop", "--timeout", "30")
        for name, service in self.services.items():
            if service["image"].startswith("sovd-webapp/"):
                container = self.container(name)
                assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0", logs(container)

    def run(self, *arguments: str) -> str:
        given = ["--project-name", PROJECT, "--env-file", str(self.directory / ".env")]
        files = ["--file", str(FILE), "--file", str(self.directory / "overrides.yaml")]
        ran = subprocess.run([*compose_cli(), *given, *files, *arguments], capture_output=True, text=True)
        assert ran.returncode == 0, f"{ran.stderr[-3000:]}\n{self._what_is_wrong()}"
        return ran.stdout

    def container(self, service: str) -> str:
        return self.run("ps", "--all", "--quiet", service).strip()

    def _write_overrides(self) -> None:
        overrides: dict[str, dict[str, Any]] = {name: dict(service) for name, service in self.beside.items()}
        for name, port in self.ports.items():
            _, _, inside = self.services[name]["ports"][0].rpartition(":")
            overrides.setdefault(name, {})["ports"] = Replaced([f"127.0.0.1:{port}:{inside}"])
        for name, service in self.services.items():
            if service["image"].startswith("sovd-webapp/") or can_pull(service["image"]):
                continue
            if name in STAND_INS:
                overrides.setdefault(name, {}).update({"image": SERVERS, **STAND_INS[name]})
            else:
                self.left_out.add(name)
        if any(service.get("image") == SERVERS for service in overrides.values()):
            build_here(SERVERS, "servers.Dockerfile", HERE, "python-build")
        (self.directory / "overrides.yaml").write_text(yaml.safe_dump({"services": overrides}))

    def _what_is_wrong(self) -> str:
        containers = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        found = json.loads(docker("inspect", *containers)) if containers else []
        return "\n".join(f"{each['Name']}\n{logs(each['Id'])}" for each in found if _is_in_trouble(each))


def _is_in_trouble(container: dict[str, Any]) -> bool:
    state = container["State"]
    health = state.get("Health", {}).get("Status")
    return bool(container["RestartCount"] or state["ExitCode"] or health == "unhealthy")


@contextmanager
def running(stack: ComposeStack) -> Iterator[ComposeStack]:
    """Up and healthy; in the end nothing of it is left."""
    try:
        with _recorded(stack.events):
            stack.up()
        yield stack
        stack.stop()
    finally:
        stack.run("down", "--volumes", "--timeout", "30")


@contextmanager
def _recorded(events: list[tuple[str, str]]) -> Iterator[None]:
    filters = [f"--filter=event={event}" for event in ("start", "health_status", "die")]
    filters.append(f"--filter=label=com.docker.compose.project={PROJECT}")
    command = [docker_cli(), "events", "--format", "{{json .}}", *filters]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        thread = Thread(target=lambda lines: events.extend(map(_event, lines)), args=[process.stdout])
        thread.start()
        try:
            yield
        finally:
            process.terminate()
            thread.join()


def _event(line: str) -> tuple[str, str]:
    event = json.loads(line)
    attributes = event["Actor"]["Attributes"]
    ended = f" with {attributes['exitCode']}" if event["Action"] == "die" else ""
    return attributes["com.docker.compose.service"], event["Action"] + ended


def compose_cli() -> list[str]:
    """A docker command's own, else the one that `make test-deploy` builds."""
    for cli in (docker_cli(), "docker"):
        if subprocess.run([cli, "compose", "version"], capture_output=True).returncode == 0:
            return [cli, "compose"]
    built = ROOT / ".tools/bin/docker-compose"
    assert os.access(built, os.X_OK), "docker compose is missing; make test-deploy builds it"
    return [str(built)]
