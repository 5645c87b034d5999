"""What the shell offers while one types: what the server knows. Where it cannot be asked, nothing, without a word."""

import re
from collections.abc import Callable, Iterator

import typer

from sovd_cli.api import Api, open_api

# What a shell takes as one word, without quotes.
_PLAIN = re.compile(r"[\w.+-]+")


def _offered(found: Callable[[Api], Iterator[str]]) -> list[str]:
    try:
        with open_api(hurried=True) as api:
            return list(found(api))
    except Exception:  # whatever it is, somebody is in the middle of typing
        return []


def command_names() -> list[str]:
    return _offered(lambda api: (kind["name"] for kind in api.command_types()))


def vins(incomplete: str) -> list[str]:
    return _offered(lambda api: (vehicle["vin"] for vehicle in api.items("/api/v1/vehicles", 50, search=incomplete)))


def parameters(context: typer.Context) -> list[str]:
    """`name=value` of the chosen command's parameters, where one of a few values is meant."""
    # An option without its value, as there is one here, ends the parsing: arguments are left over.
    name = context.params["name"] or next(iter(context.args), "")
    return _offered(lambda api: _parameters(api, name, str(context.params["vin"])))


def _parameters(api: Api, command_name: str, vin: str) -> Iterator[str]:
    schemas = {kind["name"].lower(): kind["parameters_schema"]["properties"] for kind in api.command_types()}
    for name, schema in schemas[command_name.lower()].items():
        values = _ecus(api, vin) if name == "ecuAddress" else schema.get("enum", [])
        yield from (f"{name}={value}" for value in values)


def _ecus(api: Api, vin: str) -> Iterator[str]:
    """The name of each ECU, or its address where the name would not do."""
    ecus = [ecu for vehicle in api.items("/api/v1/vehicles", 1, search=vin) for ecu in vehicle["ecus"]]
    names = [ecu.get("name", "") for ecu in ecus]
    known = [name.lower() for name in names]
    for ecu, name in zip(ecus, names, strict=True):
        yield name if _PLAIN.fullmatch(name) and known.count(name.lower()) == 1 else ecu["address"]
