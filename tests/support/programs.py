"""Programs of this machine that tests need: found, and as root on Debian installed where they are missing."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

_PACKAGES = {
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "nginx": "nginx-light",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}
_PLACES = {
    "postgres": ["/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/pgsql-*/bin"],
    "rabbitmq-server": ["/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin"],
    "redis-server": ["/opt/homebrew/bin", "/usr/local/bin"],
    "nginx": ["/usr/sbin", "/opt/homebrew/bin"],
}
_install_lock = threading.Lock()


class CannotStart(RuntimeError):
    """A server could not be had; the message says what to do about it."""


def find_binary(name: str) -> str:
    """The path of a server's binary; the newest where there are several. Installs it where that is possible."""
    with _installing():
        path = _find(name)
        if path is None:
            _install(sorted({package for binary, package in _PACKAGES.items() if _find(binary) is None}))
            path = _find(name)
    if path is None:
        raise CannotStart(
            f"{name} is not installed; install it (on Debian: {_PACKAGES[name]}) or, for a server that services need, "
            "start Docker or give TEST_*_URL"
        )
    return path


@contextlib.contextmanager
def _installing() -> Iterator[None]:
    """One at a time, also among the processes that share the tests."""
    with _install_lock, (Path(tempfile.gettempdir()) / f"sovd-tests-install-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find_tool(name: str, package: str) -> str:
    """The path of a program that is no server; its Debian package is installed where that is possible."""
    with _installing():
        if shutil.which(name) is None:
            _install([package])
    path = shutil.which(name)
    if path is None:
        raise CannotStart(f"{name} is not installed; on Debian it is in the package {package}")
    return path


def _find(name: str) -> str | None:
    # The places come first: what Debian has on the PATH for RabbitMQ is a wrapper that insists on its own user.
    for place in _PLACES.get(name, ()):
        found = [path for path in Path("/").glob(f"{place.lstrip('/')}/{name}") if os.access(path, os.X_OK)]
        if found:
            return str(max(found, key=lambda path: [int(part) for part in path.parts if part.isdigit()]))
    return shutil.which(name)


def _install(packages: Sequence[str]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    # At run level 1 the packages do not start services of their own.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    # What is known of the packages may do even where it cannot be brought up to date.
    subprocess.run(["apt-get", "update"], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    done = subprocess.run(install, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotStart(f"{' '.join(install)} failed: {done.stderr.strip()[-500:]}")
