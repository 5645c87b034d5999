"""sovd up, serve, simulate, migrate: start a part of the system by module name, imported when asked."""

import importlib
import runpy
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from sovd_cli.errors import CliError


class Service(StrEnum):
    GATEWAY = "gateway"
    COMMAND_SERVICE = "command-service"
    VEHICLE_CONNECTOR = "vehicle-connector"


def up(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Databases, secrets and ledgers of this system.")] = Path("var"),
) -> None:
    """Run everything in this one process, with demo data: nothing to install."""
    _load("embedded.__main__", "embedded").main(host, port, data_dir)


def serve(service: Annotated[Service, typer.Argument(help="Configured by environment variables.")]) -> None:
    """Run one service."""
    package = service.replace("-", "_")
    _load(f"{package}.composition", service)
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def _load(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CliError(f"needs the package {error.name}: pip install 'sovd-webapp[{extra}]'") from error
