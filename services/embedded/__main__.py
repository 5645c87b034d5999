"""`sovd up`: everything in this one process."""

import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from embedded.composition import Embedded, compose
from embedded.data_directory import DataDirectory
from embedded.settings import Settings
from service_kit.lifecycle import run_service
from service_kit.settings import load_settings

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


def main(host: str, port: int, data_dir: Path) -> NoReturn:
    """Runs until SIGINT or SIGTERM. What stops the start is one line on stderr and exit code 1."""
    # Somebody at a terminal wants the address, not the log.
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    with ExitStack() as stack:
        try:
            directory = DataDirectory(data_dir)
            stack.enter_context(directory.locked())
            secrets = directory.secrets()
            directory.check_databases()
            _check_free(host, port)
        except OSError as error:
            sys.exit(f"sovd: {error}")
        settings = load_settings(Settings, host=host, port=port, data_dir=directory.path, **asdict(secrets))
        run_service("embedded", settings, _with_greeting)


def _check_free(host: str, port: int) -> None:
    """Before anything starts: the gateway, which comes last, would find out too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error


@asynccontextmanager
async def _with_greeting(settings: Settings) -> AsyncIterator[Embedded]:
    async with compose(settings) as system:
        sys.stdout.write(_greeting(settings, system.port))
        sys.stdout.flush()
        yield system


def _greeting(settings: Settings, port: int) -> str:
    host = "localhost" if settings.host in ("127.0.0.1", *EVERYWHERE) else settings.host
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    there = "" if port == 8000 else f" --url {url}"
    sovd = _program()
    return f"""
sovd is running at {url}   (API with examples: {url}/docs)

  log in as   engineer / engineer123   or   admin / admin123
  its data    {settings.data_dir}

In another terminal:

  {sovd} login{there} --username engineer
  {sovd} run ReadDTC --vin WDD1234567890ABCD --param ecuAddress=0x10

Ctrl-C stops it.
"""


def _program() -> str:
    """What to type: `make up` leaves sovd in an environment that is not on the PATH."""
    started = Path(sys.argv[0])
    if started.name != "sovd" or shutil.which("sovd") is not None:
        return "sovd"
    return os.path.relpath(started)


if __name__ == "__main__":
    main("127.0.0.1", 8000, Path("var"))
