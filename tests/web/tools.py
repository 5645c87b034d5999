"""What services/web/tools needs: a system on real servers that serves the built web interface."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import Servers
from tests.support.system import ROOT, System
from tests.web.demo_fleet import SIMULATED, simulator_settings

WEB = ROOT / "services" / "web"


@contextmanager
def started_system() -> Iterator[System]:
    """Its vehicles are not there yet."""
    servers = Servers()
    for name in ("rabbitmq", "postgres", "redis"):
        servers.begin(name)
    try:
        with tempfile.TemporaryDirectory(prefix="sovd-web-") as directory:
            yield from _started(servers, Path(directory))
    finally:
        servers.close()


def _started(servers: Servers, directory: Path) -> Iterator[System]:
    system = System(
        servers.postgres.new_database(),
        servers.rabbitmq.new_vhost(),
        servers.redis.url,
        directory,
        vehicles=SIMULATED,
        settings={"LOG_LEVEL": "INFO", "WEB_DIRECTORY": str(WEB / "dist")},
        simulator_settings=simulator_settings(),
    )
    try:
        system.start()
        yield system
        system.stop()
    finally:
        system.kill_all()


def run_tool(name: str, *arguments: str | Path) -> None:
    """A tool, with its output; when it fails, this program ends with its code."""
    ended = subprocess.run(["node", f"{name}/main.mjs", *map(str, arguments)], cwd=WEB / "tools", check=False)
    if ended.returncode != 0:
        raise SystemExit(ended.returncode)
