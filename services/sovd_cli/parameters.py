"""--param key=value, read as the command type's JSON Schema says."""

import json
from collections.abc import Sequence
from typing import Any

from sovd_cli.errors import CliError


def parse_parameters(pairs: Sequence[str], schema: dict[str, Any]) -> dict[str, Any]:
    """Raises CliError for what cannot be meant; what a value may be is for the server to judge."""
    known: dict[str, Any] = schema.get("properties", {})
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise CliError(f"--param {pair!r}: write it as name=value")
        if name in parameters:
            raise CliError(f"--param {name} is given twice")
        if name not in known and schema.get("additionalProperties") is False:
            raise CliError(f"--param {name} is unknown here: {_allowed(known)}")
        parameters[name] = _value(name, text, known.get(name, {}))
    missing = [name for name in schema.get("required", []) if name not in parameters]
    if missing:
        raise CliError(f"missing {', '.join(f'--param {name}=…' for name in missing)}: {_allowed(known)}")
    return parameters


def _allowed(known: dict[str, Any]) -> str:
    return f"the parameters are {', '.join(known)}" if known else "it takes no parameters"


def _value(name: str, text: str, schema: dict[str, Any]) -> Any:
    types = _types(schema)
    for kind in types:
        try:
            return _READERS[kind](name, text, schema)
        except ValueError:
            continue
    raise CliError(f"--param {name}={text}: must be {_article(types)}")


def _types(schema: dict[str, Any]) -> list[str]:
    """What to try, strings last: everything is a string."""
    declared = schema.get("type")
    found = [declared] if isinstance(declared, str) else list(declared or [])
    for choice in (*schema.get("anyOf", []), *schema.get("oneOf", [])):
        found += _types(choice)
    if not found:
        found = ["string"] if "pattern" in schema or "enum" in schema else ["json", "string"]
    return sorted(dict.fromkeys(found), key=lambda kind: kind == "string")


def _article(types: Sequence[str]) -> str:
    return " or ".join(f"an {kind}" if kind[0] in "aeiou" else f"a {kind}" for kind in types)


def _integer(name: str, text: str, schema: dict[str, Any]) -> int:
    return int(text, 16) if text.lower().startswith("0x") else int(text)


def _number(name: str, text: str, schema: dict[str, Any]) -> int | float:
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise ValueError(text)
    return value


def _boolean(name: str, text: str, schema: dict[str, Any]) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)


def _array(name: str, text: str, schema: dict[str, Any]) -> list[Any]:
    if text.startswith("["):
        value = json.loads(text)
        return value if isinstance(value, list) else _refuse(text)
    items = schema.get("items", {})
    return [_value(name, part.strip(), items) for part in text.split(",")] if text else []


def _object(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)


_READERS: dict[str, Any] = {
    "array": _array,
    "boolean": _boolean,
    "integer": _integer,
    "json": lambda name, text, schema: json.loads(text),
    "null": lambda name, text, schema: None if text == "null" else _refuse(text),
    "number": _number,
    "object": _object,
    "string": lambda name, text, schema: text,
}
