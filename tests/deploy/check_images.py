"""`make test-deploy`: builds all images, and looks at each of them and at what it does alone.

Needs a Docker engine with BuildKit. Where none answers, root on Debian gets one (package docker.io), which is started
here and keeps its data in var/test-deploy. Where it can pull no base images and BUILD_IMAGE, RUNTIME_IMAGE, NODE_IMAGE
and NGINX_IMAGE name none, make_base_images.sh makes some (root, debootstrap).
"""

import os
import re
import signal
import subprocess
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from scripts.check_requirements import PINNED

from tests.deploy.engine import docker, docker_cli, health, inspected, logs
from tests.support.local_servers import free_port
from tests.support.system import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(3600)

MEGABYTE = 1_000_000
PYTHON_IMAGES = ("gateway", "command-service", "vehicle-connector", "vehicle-simulator", "vehicle-agent")
LARGEST = {**dict.fromkeys(PYTHON_IMAGES, 200), "web": 60}


@pytest.mark.parametrize("name", LARGEST)
def test_what_an_image_is(build: Callable[..., None], name: str) -> None:
    image = inspected(name)
    size = image["Size"] / MEGABYTE
    print(f"sovd-webapp/{name}: {size:.0f} MB")
    assert size < LARGEST[name]
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Healthcheck"]["Test"][0] == "CMD"
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"sovd-webapp {name}"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert re.fullmatch(r"20\d\d-.*Z", labels["org.opencontainers.image.created"])


@pytest.mark.parametrize("name", PYTHON_IMAGES)
def test_an_image_has_no_more_than_its_service_needs(build: Callable[..., None], name: str) -> None:
    program = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    wanted = {
        "gateway": {"fastapi", "sqlalchemy"},
        "command-service": {"sqlalchemy", "aiormq"},
        "vehicle-connector": {"aiormq"},
    }
    run = ("run", "--rm", "--network", "none", "--read-only", "--entrypoint", "python3", f"sovd-webapp/{name}")
    found = docker(*run, "-c", program, "fastapi", "sqlalchemy", "aiormq", "pytest", "pip")
    assert set(literal_eval(found)) == wanted.get(name, set())
    shell = subprocess.run(
        [docker_cli(), *run[:-3], "--entrypoint", "/bin/sh", run[-1], "-c", "true"], capture_output=True
    )
    assert shell.returncode == 127, "there is a shell"


@pytest.mark.parametrize("name", PYTHON_IMAGES)
def test_what_is_installed_is_what_is_pinned(build: Callable[..., None], name: str) -> None:
    program = "from importlib.metadata import distributions as d; print([(i.name, i.version) for i in d()])"
    run = ("run", "--rm", "--network", "none", "--read-only", "--entrypoint", "python3", f"sovd-webapp/{name}")
    found = literal_eval(docker(*run, "-c", program))
    installed = {canonicalize_name(package): version for package, version in found}
    labels = inspected(name)["Config"]["Labels"]
    assert installed.pop(canonicalize_name("sovd-webapp")) == labels["org.opencontainers.image.version"]
    pins = "".join((ROOT / f"requirements/{extra}.txt").read_text() for extra in (name, "cli"))
    pinned = {(canonicalize_name(package), version) for package, version in PINNED.findall(pins)}
    assert installed
    assert set(installed.items()) <= pinned


def test_a_missing_setting_stops_a_container_with_a_line_for_each(build: Callable[..., None]) -> None:
    command = [docker_cli(), "run", "--rm", "--network", "none", "--read-only", "sovd-webapp/gateway"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 78
    assert "JWT_SECRET: missing; give " in ran.stderr


@contextmanager
def lonely_agent(state: Path) -> Iterator[str]:
    """The container of one whose vehicle and connector are away: it waits for them."""
    os.chown(state, 10001, 10001)
    given = {
        "CONNECTOR_ADDRESS": f"localhost:{free_port()}",
        "VEHICLE_VIN": "WDD12345678900001",
        "VEHICLE_CREDENTIAL": "a-credential-for-tests-only",
        "DOIP_ADDRESS": f"127.0.0.1:{free_port()}",
        "STATE_DIR": "/state",
        "METRICS_PORT": str(free_port()),
    }
    options = ["--network", "host", "--read-only", "--volume", f"{state}:/state"]
    options += [argument for name, value in given.items() for argument in ("--env", f"{name}={value}")]
    container = docker("run", "--detach", *options, "sovd-webapp/vehicle-agent")
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def stopped(container: str) -> int:
    """Its exit code."""
    docker("stop", "--time", "30", container)
    return int(docker("inspect", "--format", "{{.State.ExitCode}}", container))


def test_an_agent_in_a_container_keeps_its_journal_and_is_healthy(build: Callable[..., None], tmp_path: Path) -> None:
    with lonely_agent(tmp_path) as container:
        wait_for(lambda: health(container) == "healthy", 60)
        assert (tmp_path / "journal.db").exists()
        assert stopped(container) == 0, logs(container)


def test_a_container_that_still_loads_ends_when_it_is_told_to(build: Callable[..., None], tmp_path: Path) -> None:
    with lonely_agent(tmp_path) as container:
        time.sleep(0.3)  # the interpreter is there, what it runs is not
        assert stopped(container) in {0, 128 + signal.SIGTERM}, logs(container)


@pytest.mark.parametrize("name", ["vehicle-connector", "web"])
def test_building_again_gives_the_same_layers(build: Callable[..., None], name: str) -> None:
    build(name, tag="again", options="--no-cache")
    assert inspected(name, "again")["RootFS"]["Layers"] == inspected(name)["RootFS"]["Layers"]
