"""`make test-deploy`: builds all images and runs them as deploy/compose/compose.yaml says, on the host's network.

Needs a Docker engine with BuildKit. Where none answers, root on Debian gets one (package docker.io), which is started
here and keeps its data in var/test-deploy. Where it can pull no base images and BUILD_IMAGE, RUNTIME_IMAGE, NODE_IMAGE
and NGINX_IMAGE name none, make_base_images.sh makes some (root, debootstrap). PostgreSQL, RabbitMQ and Redis are those
of all tests.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_smoke_tests import smoke
from tests.support.docker_servers import docker_answers
from tests.support.local_servers import free_port
from tests.support.system import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(3600)

MEGABYTE = 1_000_000
PYTHON_IMAGES = ("gateway", "command-service", "vehicle-connector", "vehicle-simulator", "vehicle-agent")
LARGEST = {**dict.fromkeys(PYTHON_IMAGES, 200), "web": 60}
BASES = {
    "BUILD_IMAGE": ("python:3.11-slim-bookworm", "python-build"),
    "RUNTIME_IMAGE": ("gcr.io/distroless/python3-debian12", "python-runtime"),
    "NODE_IMAGE": ("node:20-bookworm-slim", "node"),
    "NGINX_IMAGE": ("nginxinc/nginx-unprivileged:stable-alpine-slim", "nginx"),
}
START_ORDER = ("migrate", "command-service", "vehicle-connector", "gateway", "vehicle-simulator", "web")


def docker(*arguments: str) -> str:
    ran = subprocess.run([docker_cli(), *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, f"docker {' '.join(arguments)}: {ran.stderr}"
    return ran.stdout.strip()


def docker_cli() -> str:
    """One that can build with secrets: newer ones need the buildx plugin for that."""
    for name in filter(None, (os.environ.get("DOCKER"), "docker", "/usr/bin/docker")):
        path = shutil.which(name)
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        if (
            path
            and "--secret"
            in subprocess.run([path, "build", "--help"], capture_output=True, text=True, env=environment).stdout
        ):
            return path
    raise AssertionError("a docker command with BuildKit is missing; on Debian: apt-get install docker.io")


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    if docker_answers():
        yield
        return
    assert os.geteuid() == 0, "no Docker engine answers; start one, or run this as root on Debian"
    if shutil.which("dockerd") is None:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        install = ["apt-get", "install", "-y", "--no-install-recommends", "docker.io", "debootstrap"]
        subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)
    place = ROOT / "var/test-deploy"
    place.mkdir(parents=True, exist_ok=True)
    socket = f"unix://{place}/docker.sock"
    where = ["--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/docker.pid"]
    with (place / "log.txt").open("wb") as log:
        command = ["dockerd", *where, "--host", socket, "--iptables=false", "--bridge=none"]
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        os.environ["DOCKER_HOST"] = socket
        wait_for(lambda: docker_answers() or daemon.poll() is not None, 60)
        assert daemon.poll() is None, (place / "log.txt").read_text()[-2000:]
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        daemon.terminate()
        daemon.wait(60)


@pytest.fixture(scope="session")
def build(engine: None) -> Callable[..., None]:
    bases = {name: os.environ.get(name) or _base(*choices) for name, choices in BASES.items()}
    cas = "/etc/ssl/certs/ca-certificates.crt"
    files = {
        "PIP_CONFIG_FILE": "/etc/pip.conf",
        "NPM_CONFIG_USERCONFIG": str(Path.home() / ".npmrc"),
        "CA_CERTIFICATES": cas,
    }
    files = {
        name: os.environ.get(name, file) for name, file in files.items() if Path(os.environ.get(name, file)).exists()
    }

    def run(*names: str, tag: str = "latest", options: str = "") -> None:
        environment = os.environ | bases | files | {"TAG": tag, "DOCKER": docker_cli()}
        environment["DOCKER_BUILD_OPTIONS"] = f"--network host {options}"
        subprocess.run([ROOT / "scripts/build_images.sh", *names], check=True, env=environment)

    run()
    return run


def _base(pulled: str, made: str) -> str:
    if subprocess.run([docker_cli(), "pull", "--quiet", pulled], capture_output=True, timeout=600).returncode == 0:
        return pulled
    environment = os.environ | {"PATH": f"{Path(docker_cli()).parent}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "tests/deploy/make_base_images.sh", made], check=True, env=environment)
    return f"sovd-base/{made}"


def inspected(name: str, tag: str = "latest") -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", f"sovd-webapp/{name}:{tag}"))
    return found[0]


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
    assert set(json.loads(found.replace("'", '"'))) == wanted.get(name, set())
    shell = subprocess.run(
        [docker_cli(), *run[:-3], "--entrypoint", "/bin/sh", run[-1], "-c", "true"], capture_output=True
    )
    assert shell.returncode == 127, "there is a shell"


def test_a_missing_setting_stops_a_container_with_a_line_for_each(build: Callable[..., None]) -> None:
    command = [docker_cli(), "run", "--rm", "--network", "none", "--read-only", "sovd-webapp/gateway"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 78
    assert "JWT_SECRET: missing; give " in ran.stderr


def test_an_agent_in_a_container_keeps_its_journal_and_is_healthy(build: Callable[..., None], tmp_path: Path) -> None:
    """Its vehicle and its connector are away: it waits for them."""
    os.chown(tmp_path, 10001, 10001)
    given = {
        "CONNECTOR_ADDRESS": f"localhost:{free_port()}",
        "VEHICLE_VIN": "WDD12345678900001",
        "VEHICLE_CREDENTIAL": "a-credential-for-tests-only",
        "DOIP_ADDRESS": f"127.0.0.1:{free_port()}",
        "STATE_DIR": "/state",
        "METRICS_PORT": str(free_port()),
    }
    options = ["--network", "host", "--read-only", "--volume", f"{tmp_path}:/state"]
    options += [argument for name, value in given.items() for argument in ("--env", f"{name}={value}")]
    container = docker("run", "--detach", *options, "sovd-webapp/vehicle-agent")
    try:
        wait_for(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy", 60)
        assert (tmp_path / "journal.db").exists()
        docker("stop", "--time", "30", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0", docker("logs", container)
    finally:
        docker("rm", "--force", container)


@pytest.mark.parametrize("name", ["vehicle-connector", "web"])
def test_building_again_gives_the_same_layers(build: Callable[..., None], name: str) -> None:
    build(name, tag="again", options="--no-cache")
    assert inspected(name, "again")["RootFS"]["Layers"] == inspected(name)["RootFS"]["Layers"]


# --- all together


@pytest.fixture
def stack(build: Callable[..., None], postgres_url: str, rabbitmq_url: str, redis_url: str) -> Iterator[dict[str, str]]:
    """The address of each, once all are healthy."""
    services = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
    grpc, session, http, web = (free_port() for _ in range(4))
    here = {
        "DATABASE_URL": postgres_url,
        "RABBITMQ_URL": rabbitmq_url,
        "REDIS_URL": redis_url,
        "COMMAND_SERVICE_ADDRESS": f"127.0.0.1:{grpc}",
        "CONNECTOR_ADDRESS": f"127.0.0.1:{session}",
        "GATEWAY_URL": f"http://127.0.0.1:{http}",
        **{name: name.lower() * 4 for name in ("SERVICE_TOKEN", "JWT_SECRET", "VEHICLE_CREDENTIAL_SECRET")},
        "JWT_PREVIOUS_SECRETS": "",
        "SERVICE_PREVIOUS_TOKENS": "",
    }
    ports = {"GRPC_PORT": grpc, "SESSION_PORT": session, "HTTP_PORT": http, "PORT": web}
    containers = []
    try:
        for name in START_ORDER:
            more = {variable: str(port) for variable, port in ports.items()} | {"METRICS_PORT": str(free_port())}
            containers.append(_run(name, services[name], here, more))
        yield {"gateway": here["GATEWAY_URL"], "web": f"http://127.0.0.1:{web}"}
        for container in reversed(containers):
            docker("stop", "--time", "30", container)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0", docker("logs", container)
    finally:
        for container in containers:
            docker("rm", "--force", container)


def _run(name: str, service: dict[str, Any], here: dict[str, str], more: dict[str, str]) -> str:
    environment = {variable: here.get(variable, value) for variable, value in service["environment"].items()}
    environment = {**environment, **more, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    options = [f"--env={variable}={value}" for variable, value in environment.items()]
    options += ["--read-only"] if service["read_only"] else []
    options += [f"--tmpfs={path}" for path in service["tmpfs"]]
    options += [f"--cap-drop={capability}" for capability in service["cap_drop"]]
    options += [f"--security-opt={option}" for option in service["security_opt"]]
    image = service["image"].replace("${TAG:-latest}", "latest")
    container = docker("run", "--detach", "--network", "host", *options, image, *service.get("command", ()))
    if name == "migrate":
        assert docker("wait", container) == "0", docker("logs", container)
    else:
        wait_for(lambda: _health(container) == "healthy", 120)
    return container


def _health(container: str) -> str:
    running, health = docker("inspect", "--format", "{{.State.Running}} {{.State.Health.Status}}", container).split()
    assert running == "true", docker("logs", container)
    return health


def test_the_system_of_the_compose_file(stack: dict[str, str]) -> None:
    # Through nginx, as browsers come; metrics are not for them.
    code, results = smoke(stack["web"], METRICS_URL=f"{stack['gateway']}/metrics")
    assert set(results.values()) == {"PASS"}, results
    assert (code, len(results)) == (0, 12)
