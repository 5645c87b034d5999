"""The Docker engine that `make test-deploy` uses, and the images that it builds there."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.docker_servers import docker_answers
from tests.support.system import ROOT
from tests.support.waiting import wait_for

HERE = Path(__file__).parent
BASES = {
    "BUILD_IMAGE": ("python:3.11-slim-bookworm", "python-build"),
    "RUNTIME_IMAGE": ("gcr.io/distroless/python3-debian12", "python-runtime"),
    "NODE_IMAGE": ("node:20-bookworm-slim", "node"),
    "NGINX_IMAGE": ("nginxinc/nginx-unprivileged:stable-alpine-slim", "nginx"),
}
# What a build may read to reach package indexes: the variable of scripts/build_images.sh, where the file is as a rule,
# and what Dockerfiles call it.
BUILD_SECRETS = {
    "PIP_CONFIG_FILE": (Path("/etc/pip.conf"), "pip_conf"),
    "NPM_CONFIG_USERCONFIG": (Path.home() / ".npmrc", "npmrc"),
    "CA_CERTIFICATES": (Path("/etc/ssl/certs/ca-certificates.crt"), "ca_certificates"),
}


def docker(*arguments: str) -> str:
    ran = subprocess.run([docker_cli(), *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, f"docker {' '.join(arguments)}: {ran.stderr}"
    return ran.stdout.strip()


def logs(container: str) -> str:
    command = [docker_cli(), "logs", "--tail", "50", container]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


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


@contextmanager
def engine_answers() -> Iterator[None]:
    """The one that answers, else one of our own."""
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
        # The firewall of this machine stays as it is: containers reach each other and we them, and nobody else anybody.
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


def image_builder() -> Callable[..., None]:
    """A function that builds images of ours by their names, with bases that are pulled, else made here."""
    bases = {name: os.environ.get(name) or _base(*choices) for name, choices in BASES.items()}
    files = {name: str(file) for name, (file, _) in _secrets().items()}

    def run(*names: str, tag: str = "latest", options: str = "") -> None:
        environment = os.environ | bases | files | {"TAG": tag, "DOCKER": docker_cli()}
        environment["DOCKER_BUILD_OPTIONS"] = f"--network host {options}"
        subprocess.run([ROOT / "scripts/build_images.sh", *names], check=True, env=environment)

    return run


def build_here(name: str, dockerfile: str, context: Path, base: str) -> str:
    """An image that tests alone need, from a Dockerfile beside this file, on one of make_base_images.sh's; its name."""
    made = make_base(base)
    secrets = [f"--secret=id={id_},src={file}" for file, id_ in _secrets().values()]
    options = ["--quiet", "--network=host", f"--build-arg=BASE={made}", f"--tag={name}", f"--file={HERE / dockerfile}"]
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    ran = subprocess.run([docker_cli(), "build", *options, *secrets, context], env=environment, stderr=subprocess.PIPE)
    assert ran.returncode == 0, ran.stderr.decode()[-3000:]
    return name


def make_base(name: str) -> str:
    environment = os.environ | {"PATH": f"{Path(docker_cli()).parent}:{os.environ['PATH']}"}
    subprocess.run([HERE / "make_base_images.sh", name], check=True, env=environment)
    return f"sovd-base/{name}"


def can_pull(image: str) -> bool:
    return subprocess.run([docker_cli(), "pull", "--quiet", image], capture_output=True, timeout=600).returncode == 0


def inspected(name: str, tag: str = "latest") -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", f"sovd-webapp/{name}:{tag}"))
    return found[0]


def health(container: str) -> str:
    """Of one that has to be running."""
    running, found = docker("inspect", "--format", "{{.State.Running}} {{.State.Health.Status}}", container).split()
    assert running == "true", logs(container)
    return found


def _base(pulled: str, made: str) -> str:
    return pulled if can_pull(pulled) else make_base(made)


def _secrets() -> dict[str, tuple[Path, str]]:
    """Those that are there."""
    given = {name: (Path(os.environ.get(name) or file), id_) for name, (file, id_) in BUILD_SECRETS.items()}
    return {name: (file, id_) for name, (file, id_) in given.items() if file.exists()}
