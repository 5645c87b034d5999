"""Checks a command's parameters against the catalogue, with errors that say what is wrong and what is allowed."""

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from command_service.domain.catalogue import CATALOGUE, CommandType
from service_kit.errors import InvalidInput

_REMEMBERED_CHARACTERS = 500
_VALIDATORS = {name: Draft202012Validator(entry.parameters_schema) for name, entry in CATALOGUE.items()}


def command_type_named(name: str) -> CommandType:
    """Raises InvalidInput UNKNOWN_COMMAND_NAME."""
    try:
        return CATALOGUE[name]
    except KeyError:
        allowed = ", ".join(sorted(CATALOGUE))
        raise InvalidInput(
            "UNKNOWN_COMMAND_NAME",
            f"there is no command named {name!r}; allowed: {allowed}",
            {"allowed": sorted(CATALOGUE)},
        ) from None


def valid_parameters(command_type: CommandType, parameters_json: str) -> Mapping[str, Any]:
    """The parameters as an object. Raises InvalidInput INVALID_PARAMETERS, its details by field."""
    if len(parameters_json) > _REMEMBERED_CHARACTERS:
        return _validate(command_type.name, parameters_json)
    return _remembered(command_type.name, parameters_json)


def check_pace(command_type: CommandType, parameters: Mapping[str, Any], timeout_seconds: int) -> None:
    """The timeout of a stream is the longest gap between two answers: at a longer interval each attempt would time out.
    `parameters` are valid. Raises InvalidInput INVALID_PARAMETERS."""
    interval_ms = parameters.get("interval_ms", 0)
    if interval_ms >= timeout_seconds * 1000:
        problem = (
            f"{interval_ms} is not less than the timeout of {timeout_seconds} s, the longest gap between two answers; "
            f"allowed: less than {timeout_seconds * 1000}, or a longer timeout"
        )
        raise _invalid(command_type.name, [{"field": "command_params.interval_ms", "problem": problem}])


def _invalid(command_name: str, problems: list[dict[str, str]]) -> InvalidInput:
    text = "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)
    return InvalidInput("INVALID_PARAMETERS", f"{command_name}: {text}", {"errors": problems})


def _validate(command_name: str, parameters_json: str) -> Mapping[str, Any]:
    try:
        parameters = json.loads(parameters_json or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput("INVALID_PARAMETERS", f"command_params is not JSON: {error}") from None
    errors = sorted(_VALIDATORS[command_name].iter_errors(parameters), key=lambda error: list(map(str, error.path)))
    if errors:
        raise _invalid(command_name, [{"field": _field(error), "problem": _explain(error)} for error in errors])
    return MappingProxyType(dict(parameters))


# A fleet is asked the same question again and again: checking it costs as much as storing it.
_remembered = lru_cache(maxsize=4096)(_validate)


def _field(error: ValidationError) -> str:
    return ".".join(["command_params", *map(str, error.path)])


def _explain(error: ValidationError) -> str:
    description = error.schema.get("description") if isinstance(error.schema, dict) else None
    message: str = error.message[:300]
    return f"{message} ({description})" if description else message
