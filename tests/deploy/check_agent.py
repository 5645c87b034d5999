"""Part of `make test-deploy`: the agent as its image has it and under its systemd unit, each with a vehicle that nobody
can dial and a certificate that it enrols for. Beside the system of check_compose.py, and with what that needs.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service_kit.settings import EXIT_BAD_SETTINGS
from tests.deploy.agent_bench import VINS, Vehicle, fill_in_agent_env
from tests.deploy.compose_stack import ComposeStack
from tests.deploy.engine import build_here, docker, docker_cli, health, logs
from tests.support.certificates import CertificateFiles
from tests.support.system import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(1800)

MOST_MEGABYTES = 80


@pytest.fixture
def vehicle(stack: ComposeStack, request: pytest.FixtureRequest) -> Iterator[Vehicle]:
    made = Vehicle(stack.url("gateway"), VINS[request.param])
    yield made
    made.close()


@pytest.mark.parametrize("vehicle", ["the agent's image"], indirect=True)
def test_the_agents_image(
    stack: ComposeStack, vehicle: Vehicle, certificates: CertificateFiles, tmp_path: Path
) -> None:
    fill_in_agent_env(vehicle.vin, vehicle.new_code(), certificates, tmp_path / "etc")
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 10001, 10001)
    options = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--network={stack.network}"]
    options += [f"--env-file={tmp_path}/etc/agent.env", "--env=STATE_DIR=/state", "--env=METRICS_PORT=9104"]
    options += [f"--volume={tmp_path}/state:/state", f"--volume={tmp_path}/etc:/etc/sovd-agent:ro"]
    agent = docker("create", *options, "sovd-webapp/vehicle-agent")
    try:
        # The second time it has its certificate.
        for end in (["kill"], ["stop", "--time", "30"]):
            docker("start", agent)
            wait_for(lambda: vehicle.status == "online" and health(agent) == "healthy", 60)
            assert vehicle.fault_codes()
            megabytes = _megabytes(agent)
            print(f"{megabytes:.0f} MB")
            assert megabytes < MOST_MEGABYTES
            docker(*end, agent)
            wait_for(lambda: vehicle.status == "offline", 60)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", agent) == "0", logs(agent)
        assert len(vehicle.certificates) == 1
        assert (tmp_path / "state/journal.db").stat().st_size > 0
        assert (tmp_path / "state/identity/identity.pem").stat().st_mode & 0o777 == 0o600
    finally:
        docker("rm", "--force", agent)


def _megabytes(container: str) -> float:
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container).split("/")[0].strip()
    assert used.endswith("MiB"), used
    return float(used.removesuffix("MiB")) * 1.048576


# --- under systemd


@pytest.fixture
def computer(stack: ComposeStack, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs a command in a container with systemd and the agent, which was installed as docs/vehicles.md has it."""
    checkout = _checkout(tmp_path / "checkout")
    image = build_here("sovd-base/agent-unit", "agent_unit.Dockerfile", checkout, "python-build")
    options = [f"--network={stack.network}", f"--volume={tmp_path}/etc:/etc/sovd-agent:ro"]
    options += ["--tmpfs=/run", "--tmpfs=/tmp"]
    # What systemd needs to confine its services; the rest of this machine stays out of its reach.
    options += ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
    options += ["--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup", "--env=container=docker"]
    box = docker("run", "--detach", *options, image)
    asked = [docker_cli(), "exec", box, "systemctl", "is-system-running"]
    try:
        wait_for(lambda: subprocess.run(asked, capture_output=True).returncode == 0, 60)
        yield lambda *command: docker("exec", box, *command)
    finally:
        docker("stop", "--time", "30", box)
        docker("rm", "--force", box)


def _checkout(directory: Path) -> Path:
    """What is needed of one, and the commands of docs/vehicles.md up to the one that starts the agent: install.sh."""
    command = ["git", "ls-files", "-z", "pyproject.toml", "README.md", "services", "deploy/agent", ":!services/web"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for file in filter(None, listed.split("\0")):
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, directory / file)
    page = (ROOT / "docs/vehicles.md").read_text()
    installation = re.search(r"^python3 -m venv /opt.*?(?=^systemctl)", page, re.MULTILINE | re.DOTALL)
    assert installation
    (directory / "install.sh").write_text(installation[0])
    return directory


@pytest.mark.parametrize("vehicle", ["the agent's unit"], indirect=True)
def test_the_agents_unit(
    computer: Callable[..., str], vehicle: Vehicle, certificates: CertificateFiles, tmp_path: Path
) -> None:
    def shown(name: str) -> str:
        return computer("systemctl", "show", "--value", "--property", name, "sovd-agent")

    fill_in_agent_env(vehicle.vin, vehicle.new_code(), certificates, tmp_path / "etc")
    computer("systemctl", "enable", "--now", "sovd-agent")
    wait_for(lambda: vehicle.status == "online", 60)
    assert vehicle.fault_codes()
    first = shown("MainPID")
    resident = re.search(r"VmRSS:\s*(\d+) kB", computer("cat", f"/proc/{first}/status"))
    assert resident
    megabytes = int(resident[1]) * 1024 / 1_000_000
    print(f"{megabytes:.0f} MB")
    assert megabytes < MOST_MEGABYTES
    computer("systemctl", "kill", "--signal=KILL", "sovd-agent")
    wait_for(lambda: shown("MainPID") not in ("0", first), 60)
    wait_for(lambda: vehicle.status == "online" and vehicle.fault_codes(), 60)
    assert len(vehicle.certificates) == 1
    computer("systemctl", "stop", "sovd-agent")
    assert shown("Result") == "success"
    wait_for(lambda: vehicle.status == "offline", 60)
    # Wrong settings: it says so and stays down.
    with (tmp_path / "etc/agent.env").open("a") as settings:
        settings.write("\nVEHICLE_VIN=wrong\n")
    computer("systemctl", "start", "sovd-agent")
    wait_for(lambda: shown("ActiveState") == "failed")
    assert (shown("ExecMainStatus"), shown("NRestarts")) == (str(EXIT_BAD_SETTINGS), "0")
    assert "VEHICLE_VIN: " in computer("journalctl", "--unit", "sovd-agent", "--lines", "5")
