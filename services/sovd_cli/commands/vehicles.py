"""sovd vehicles: the fleet."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from sovd_cli import completion
from sovd_cli.api import Api, open_api
from sovd_cli.errors import CliError
from sovd_cli.output import JsonOption, moment, print_fields, print_json, print_table, say

# What the API takes, in its unit here.
LONGEST_LOCK_MINUTES = 480

app = typer.Typer(
    help="The fleet: list it, look at a vehicle, lock it, add, remove, enrol and revoke (admin).", no_args_is_help=False
)

Vin = Annotated[
    str, typer.Argument(metavar="VIN", help="Vehicle identification number.", autocompletion=completion.vins)
]


@app.callback(invoke_without_command=True)
def vehicles(
    context: typer.Context,
    search: Annotated[str | None, typer.Option(help="Part of VIN, make or model.")] = None,
    status: Annotated[str | None, typer.Option(help="online or offline.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the fleet."""
    if context.invoked_subcommand is not None:
        return
    with open_api() as api:
        found = api.items("/api/v1/vehicles", limit, search=search, status=status)
        if as_json:
            for vehicle in found:
                print_json(vehicle)
            return
        headings = ("VIN", "make", "model", "year", "status", "last seen", "locked by", "ECUs")
        print_table(headings, (_row(vehicle) for vehicle in found), "no vehicles")


@app.command()
def show(vin: Vin, as_json: JsonOption = False) -> None:
    """One vehicle and its ECUs."""
    with open_api() as api:
        vehicle = find_vehicle(api, vin)
    if as_json:
        print_json(vehicle)
        return
    ecus = vehicle.pop("ecus", [])
    told = {"last_seen_at": moment(vehicle.get("last_seen_at")), "lock": _lock(vehicle.get("lock"))}
    print_fields({**vehicle, **told, **_link_facts(vehicle.get("link") or {})})
    headings = ("ECU", "name", "part number", "software", "hardware", "scanned")
    print_table(headings, map(_ecu_row, ecus), "no ECUs known yet: 'sovd run ScanECUs' finds them")


@app.command()
def add(
    vin: Vin,
    make: Annotated[str, typer.Option()],
    model: Annotated[str, typer.Option()],
    year: Annotated[int, typer.Option()],
    doip: Annotated[str | None, typer.Option(help="Dial it by DoIP: host[:port], or discover.")] = None,
    sovd: Annotated[str | None, typer.Option(help="Call its SOVD server: https://….")] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a vehicle (admin). It dials in, unless an address says how to reach it."""
    body = {"vin": vin, "make": make, "model": model, "year": year, "link": _link(doip, sovd)}
    with open_api() as api:
        vehicle = api.post("/api/v1/vehicles", body)
    print_json(vehicle) if as_json else say(f"added {vin} ({vehicle['vehicle_id']})")


@app.command()
def remove(vin: Vin) -> None:
    """Remove a vehicle from the fleet; its history stays (admin)."""
    with open_api() as api:
        vehicle = find_vehicle(api, vin)
        api.delete(f"/api/v1/vehicles/{vehicle['vehicle_id']}")
    say(f"removed {vehicle['vin']}")


@app.command()
def lock(
    vin: Vin,
    minutes: Annotated[
        float | None, typer.Option(help="For so long from now on, at most 480; 15 unless given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lock a vehicle: for a while only you may change anything on it. Locking it again renews the lock."""
    body = {} if minutes is None else {"expires_in_seconds": _seconds(minutes)}
    with open_api() as api:
        vehicle = find_vehicle(api, vin)
        taken = api.post(_lock_path(vehicle), body)
    print_json(taken) if as_json else say(f"locked {vehicle['vin']} until {moment(taken['expires_at'])}")


def _seconds(minutes: float) -> int:
    if not 0 < minutes <= LONGEST_LOCK_MINUTES:  # nor is nan
        raise CliError(f"--minutes {minutes:g}: must be more than 0 and at most {LONGEST_LOCK_MINUTES}")
    return max(1, round(minutes * 60))


@app.command()
def unlock(
    vin: Vin,
    break_it: Annotated[bool, typer.Option("--break", help="Whoever has locked it (admin).")] = False,
) -> None:
    """Give your lock of a vehicle back before it ends."""
    with open_api() as api:
        vehicle = find_vehicle(api, vin)
        api.delete(_lock_path(vehicle), **({"break": "true"} if break_it else {}))
    say(f"unlocked {vehicle['vin']}")


def _lock_path(vehicle: dict[str, Any]) -> str:
    return f"/api/v1/vehicles/{vehicle['vehicle_id']}/lock"


def _lock(lock: dict[str, Any] | None) -> str | None:
    return f"{lock['owner']}, until {moment(lock['expires_at'])}" if lock else None


@app.command()
def enrol(
    vin: Vin,
    connector: Annotated[str, typer.Option(help="Where the vehicle will dial in, host.")] = "CONNECTOR",
    as_json: JsonOption = False,
) -> None:
    """Make a one-time code with which the vehicle gets its certificate, in the place of an earlier one (admin)."""
    with open_api() as api:
        new = api.post(f"{_path(api, vin)}/enrolment-codes")
    if as_json:
        print_json(new)
        return
    print_fields({"code": new["code"], "good until": moment(new["expires_at"])})
    say(
        f"beside the vehicle: sovd agent --vin {new['vin']} --connector {connector}:50052 --doip ADDRESS"
        f" --enrolment-code {new['code']}"
    )


@app.command()
def certificates(
    vin: Vin, limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100, as_json: JsonOption = False
) -> None:
    """The certificates of a vehicle, newest first (admin)."""
    with open_api() as api:
        found = api.items(f"{_path(api, vin)}/certificates", limit)
        if as_json:
            for certificate in found:
                print_json(certificate)
            return
        headings = ("serial", "status", "issued", "good until", "revoked")
        print_table(headings, (_certificate_row(one) for one in found), "no certificates")


@app.command()
def revoke(
    vin: Vin, serial: Annotated[str | None, typer.Option(help="Only this certificate; else all of them.")] = None
) -> None:
    """Revoke a vehicle's certificates, and a code that was not used; its session ends (admin)."""
    with open_api() as api:
        api.delete(f"{_path(api, vin)}/certificates{f'/{serial}' if serial else ''}")
    say(f"revoked {serial or 'all certificates'} of {vin}")


def _path(api: Api, vin: str) -> str:
    return f"/api/v1/vehicles/{find_vehicle(api, vin)['vehicle_id']}"


def _certificate_row(certificate: dict[str, Any]) -> tuple[Any, ...]:
    return (
        certificate["serial"],
        certificate["status"],
        moment(certificate["issued_at"]),
        moment(certificate["expires_at"]),
        moment(certificate["revoked_at"]),
    )


def _link_facts(link: dict[str, Any]) -> dict[str, Any]:
    """In place of the link; why the vehicle is not reached only where that is so."""
    where = " ".join(filter(None, (link.get("kind"), link.get("address"))))
    problem = link.get("problem")
    if not problem:
        return {"link": where}
    return {"link": where, "not reached": f"{problem['reason']} (since {moment(problem['since'])})"}


def _link(doip: str | None, sovd: str | None) -> dict[str, str]:
    given = [{"kind": kind, "address": address} for kind, address in (("doip", doip), ("sovd", sovd)) if address]
    if len(given) > 1:
        raise CliError("give --doip or --sovd, not both")
    return given[0] if given else {"kind": "session"}


def find_vehicle(api: Api, vin: str) -> dict[str, Any]:
    """The vehicle with exactly this VIN; raises CliError when there is none."""
    for vehicle in api.items("/api/v1/vehicles", search=vin):
        if vehicle["vin"].upper() == vin.upper():
            return vehicle
    raise CliError(f"UNKNOWN_VEHICLE: no vehicle has the VIN {vin}; 'sovd vehicles' lists them")


def with_ecu_address(api: Api, vehicle: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the ECU's address where its name was given; raises CliError for a name that is not its."""
    wanted = parameters.get("ecuAddress")
    if not isinstance(wanted, str) or wanted[:2].lower() == "0x":
        return parameters
    ecus = vehicle.get("ecus")
    if ecus is None:
        ecus = api.get(f"/api/v1/vehicles/{quote(vehicle['vehicle_id'], safe='')}")["ecus"]
    found = [_address(ecu["address"]) for ecu in ecus if ecu.get("name", "").lower() == wanted.lower()]
    if len(found) == 1:
        return parameters | {"ecuAddress": found[0]}
    if found:
        raise CliError(f"--param ecuAddress={wanted}: so are called {', '.join(found)}; give the address")
    known = ", ".join(f"{ecu['name']} ({_address(ecu['address'])})" for ecu in ecus if ecu.get("name"))
    raise CliError(
        f"--param ecuAddress={wanted}: the vehicle has no ECU of this name; "
        + (f"it has {known}" if known else "no names are known: 'sovd run ScanECUs' asks for them")
    )


def _ecu_row(ecu: dict[str, Any]) -> tuple[Any, ...]:
    software = ecu.get("software_version") or ecu.get("software_number")
    hardware = ecu.get("hardware_version") or ecu.get("hardware_number")
    scanned = moment(ecu.get("seen_at"))
    return _address(ecu["address"]), ecu.get("name"), ecu.get("part_number"), software, hardware, scanned


def _row(vehicle: dict[str, Any]) -> tuple[Any, ...]:
    names = ", ".join(f"{_address(ecu['address'])} {ecu.get('name', '')}".strip() for ecu in vehicle.get("ecus", []))
    return (
        vehicle["vin"],
        vehicle.get("make"),
        vehicle.get("model"),
        vehicle.get("year"),
        _status(vehicle),
        moment(vehicle.get("last_seen_at")),
        (vehicle.get("lock") or {}).get("owner"),
        names,
    )


def _status(vehicle: dict[str, Any]) -> str | None:
    """Of one that is dialled in vain, that it is; `show` tells why."""
    status: str | None = vehicle.get("connection_status")
    return f"{status}, not reached" if (vehicle.get("link") or {}).get("problem") else status


def _address(address: Any) -> str:
    return f"0x{address:02X}" if isinstance(address, int) else str(address)
