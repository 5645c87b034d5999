"""sovd up, serve, health, simulate, migrate: start a part of the system by module name, imported when asked."""

import asyncio
import importlib
import importlib.util
import os
import runpy
import time
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from sovd_cli.api import open_api
from sovd_cli.errors import CliError, ExitCode
from sovd_cli.health import DEFAULT_SECONDS, ask
from sovd_cli.output import say

RETRY_SECONDS = 1.0

Facts = dict[str, Any]
"""Of a vehicle, as the API takes them."""


class Owner(StrEnum):
    """A service with tables of its own, in the schema of its name."""

    GATEWAY = "gateway"
    COMMAND_SERVICE = "command-service"


class Service(StrEnum):
    GATEWAY = "gateway"
    COMMAND_SERVICE = "command-service"
    VEHICLE_CONNECTOR = "vehicle-connector"
    VEHICLE_SIMULATOR = "vehicle-simulator"
    VEHICLE_AGENT = "vehicle-agent"


# What an image is made for says its environment.
ServiceArgument = typer.Argument(envvar="SOVD_SERVICE", help="Configured by environment variables.")


def up(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="What this system keeps.", show_default="var in a checkout, else ~/.local/share/sovd"),
    ] = None,
) -> None:
    """Run everything in this one process, with demo data: nothing to install."""
    _load("embedded.__main__", "embedded").main(host, port, data_dir or _default_data_dir())


def _default_data_dir() -> Path:
    if Path("services/embedded").is_dir():
        return Path("var")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "sovd"


def serve(service: Annotated[Service, ServiceArgument]) -> None:
    """Run one service."""
    package = service.replace("-", "_")
    _load(f"{package}.composition", service)
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def health(
    service: Annotated[Service, ServiceArgument],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for its answer.")] = DEFAULT_SECONDS,
) -> None:
    """Ask a service on this machine whether it is ready; exit code 8 when it is not."""
    ask(service, timeout)
    say(f"{service}: ready")


def simulate(
    vehicles: Annotated[int, typer.Option(envvar="VEHICLES", min=0, help="How many.")] = 10,
    connector: Annotated[
        str, typer.Option(envvar="CONNECTOR_ADDRESS", help="Where they dial in, host:port.")
    ] = "localhost:50052",
    seed: Annotated[int, typer.Option(envvar="SEED", help="The same seed gives the same VINs.")] = 1,
    vin: Annotated[list[str] | None, typer.Option(help="This one as well. Repeat it, or set VINS=VIN,….")] = None,
    driving: Annotated[
        list[str] | None,
        typer.Option(metavar="VIN", help="Drives, where the others are parked. Repeat it, or set DRIVING_VEHICLES."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong, as in slow:seconds=2 or silent:vin=…. Repeat it, or set FAULTS='…;…'."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(envvar="LEDGER_FILE", help="Keep here what each vehicle was handed.")
    ] = None,
    doip_port: Annotated[
        int | None,
        typer.Option(
            envvar="DOIP_PORT",
            min=0,
            max=65535,
            help="Speak DoIP, each vehicle on its own port from this one on. 0: free ones.",
        ),
    ] = None,
    sovd_port: Annotated[
        int | None,
        typer.Option(
            envvar="SOVD_PORT", min=0, max=65535, help="Serve each as a SOVD server too, at http://localhost:PORT/VIN."
        ),
    ] = None,
    dial_in: Annotated[bool, typer.Option(envvar="DIAL_IN", help="Without it vehicles wait to be dialled.")] = True,
    identity_dir: Annotated[
        Path | None,
        typer.Option(envvar="IDENTITY_DIR", help="They have certificates, each in a folder of its VIN below this one."),
    ] = None,
    enrolment_code: Annotated[
        str | None,
        typer.Option(envvar="ENROLMENT_CODE", help="For the one that has none yet: see `sovd vehicles enrol`."),
    ] = None,
    enrolment: Annotated[
        str | None,
        typer.Option(
            envvar="ENROLMENT_ADDRESS",
            help="Where it asks for one, host:port.",
            show_default="port 50053 of the connector",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(envvar="GRPC_TLS_CA_FILE", help="Who has signed the connector's certificate (PEM).")
    ] = None,
    register: Annotated[bool, typer.Option("--register", help="First add those the fleet lacks (as admin).")] = False,
) -> None:
    """Run simulated vehicles; VEHICLE_CREDENTIAL_SECRET makes their credentials, where they have no certificates."""
    simulator = _load("vehicle_simulator.__main__", "vehicle-simulator")
    given = {
        "VEHICLES": str(vehicles),
        "CONNECTOR_ADDRESS": connector,
        "SEED": str(seed),
        "VINS": ",".join(vin or []),
        "DRIVING_VEHICLES": ",".join(driving or []),
        "FAULTS": ";".join(fault or []),
        "LEDGER_FILE": str(ledger or ""),
        "DOIP_PORT": "" if doip_port is None else str(doip_port),
        "SOVD_PORT": "" if sovd_port is None else str(sovd_port),
        "IDENTITY_DIR": str(identity_dir or ""),
        "ENROLMENT_CODE": enrolment_code or "",
        "ENROLMENT_ADDRESS": enrolment or "",
        "GRPC_TLS_CA_FILE": str(ca_file or ""),
        "DIAL_IN": str(dial_in),
    }
    # Settings come from the environment, and what is not given here is read from there.
    os.environ.update({name: value for name, value in given.items() if value})
    if register:
        _register(_simulated_fleet())
    simulator.main()


def agent(
    vin: Annotated[str, typer.Option(envvar="VEHICLE_VIN", help="Of the vehicle that it dials in for.")],
    connector: Annotated[
        str, typer.Option(envvar="CONNECTOR_ADDRESS", help="Where it dials in, host:port.")
    ] = "localhost:50052",
    doip: Annotated[
        str | None, typer.Option(help="The vehicle's DoIP entity: host[:port], or discover. This or --sovd.")
    ] = None,
    sovd: Annotated[str | None, typer.Option(help="The vehicle's SOVD server: https://host:port/path.")] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="STATE_DIR",
            help="What must not be repeated, and results that are not delivered yet.",
            show_default="~/.local/state/sovd-agent/VIN",
        ),
    ] = None,
    enrolment_code: Annotated[
        str | None,
        typer.Option(envvar="ENROLMENT_CODE", help="For its certificate, or another one: see `sovd vehicles enrol`."),
    ] = None,
    enrolment: Annotated[
        str | None,
        typer.Option(
            envvar="ENROLMENT_ADDRESS",
            help="Where it asks for a certificate, host:port.",
            show_default="port 50053 of the connector",
        ),
    ] = None,
    identity_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="IDENTITY_DIR", help="Its key and certificate.", show_default="identity in the state directory"
        ),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(envvar="GRPC_TLS_CA_FILE", help="Who has signed the connector's certificate (PEM).")
    ] = None,
) -> None:
    """Bring one vehicle or bench online that nobody can dial. Its certificate, or VEHICLE_CREDENTIAL, says which."""
    main = _load("vehicle_agent.__main__", "vehicle-agent").main
    given = {
        "VEHICLE_VIN": vin,
        "CONNECTOR_ADDRESS": connector,
        "DOIP_ADDRESS": doip,
        "SOVD_ADDRESS": sovd,
        "STATE_DIR": str(state_dir or _state_home() / "sovd-agent" / vin),
        "ENROLMENT_CODE": enrolment_code,
        "ENROLMENT_ADDRESS": enrolment,
        "IDENTITY_DIR": str(identity_dir) if identity_dir else None,
        "GRPC_TLS_CA_FILE": str(ca_file) if ca_file else None,
    }
    os.environ.update({name: value for name, value in given.items() if value is not None})
    main()


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")


def _simulated_fleet() -> list[Facts]:
    """The vehicles that the simulator will have; wrong settings end the program here, before any is registered."""
    composition = _load("vehicle_simulator.composition", "vehicle-simulator")
    settings = _load("service_kit.settings", "vehicle-simulator").load_settings(composition.Settings)
    fleet = [
        {"vin": spec.vin, "make": spec.make, "model": spec.model, "year": spec.year}
        for spec in composition.vehicle_specs(settings)
    ]
    return fleet if settings.dial_in else _dialled(fleet, settings.doip_port, settings.sovd_port)


def _dialled(fleet: list[Facts], doip_port: int | None, sovd_port: int | None) -> list[Facts]:
    """Where the simulator will be: DoIP has a port for each vehicle, in their order, SOVD one for all."""
    if doip_port:
        links = [{"kind": "doip", "address": f"127.0.0.1:{doip_port + number}"} for number in range(len(fleet))]
    elif sovd_port:
        links = [{"kind": "sovd", "address": f"http://127.0.0.1:{sovd_port}/{facts['vin']}"} for facts in fleet]
    else:
        return fleet
    return [facts | {"link": link} for facts, link in zip(fleet, links, strict=True)]


def _register(fleet: list[Facts]) -> None:
    with open_api() as api:
        known = {vehicle["vin"] for vehicle in api.items("/api/v1/vehicles")}
        missing = [facts for facts in fleet if facts["vin"] not in known]
        for facts in missing:
            api.post("/api/v1/vehicles", facts)
    say(f"added {len(missing)} vehicles to the fleet at {api.url}")


def migrate(
    service: Annotated[Owner | None, typer.Argument(help="Both when not given.")] = None,
    database_url: Annotated[str | None, typer.Option(envvar="DATABASE_URL", help="postgresql:// or sqlite:///")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a database that is still starting.")] = 60,
) -> None:
    """Bring the database up to date; run it before a new version starts."""
    database = _load("service_kit.database", "gateway")
    if database_url is None:
        raise CliError("DATABASE_URL: missing; give postgresql://user:password@host/database or sqlite:///path")
    try:
        database.database_url(database_url)
    except ValueError as error:
        raise CliError(f"DATABASE_URL: {error}") from error
    deadline = time.monotonic() + wait
    for owner in [service] if service else list(Owner):
        _migrate(database, database_url, owner.replace("-", "_"), deadline)
        say(f"{owner}: up to date")


def _migrate(database: ModuleType, url: str, schema: str, deadline: float) -> None:
    unavailable = _load("service_kit.errors", "gateway").Unavailable
    told = False
    while True:
        try:
            asyncio.run(database.upgrade(url, f"{schema}.storage.migrations", schema))
            return
        except unavailable as error:
            if time.monotonic() > deadline:
                reason = f"{error} ({database.cause_of(error)})"
                raise CliError(f"{schema}: {reason}", ExitCode.UNREACHABLE) from error
            if not told:
                say(f"the database does not answer yet ({database.cause_of(error)}); waiting")
                told = True
            time.sleep(RETRY_SECONDS)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else repr(error)
            raise CliError(f"{schema}: could not migrate: {reason}", ExitCode.FAILED) from error


def _load(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if importlib.util.find_spec(str(error.name).partition(".")[0]):
            raise  # it is there; a part of it is not, and no extra brings that
        raise CliError(f"needs the package {error.name}: pip install 'sovd-webapp[{extra}]'") from error
