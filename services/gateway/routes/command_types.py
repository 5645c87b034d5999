"""The catalogue: what can be asked of a vehicle."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from orjson import Fragment
from pydantic import Field
from starlette.responses import Response

from gateway.answers import answers, json_answer
from gateway.api_types import ApiAnswer
from gateway.app_state import app_state
from gateway.auth import CurrentUser, current_user
from sovd_protos.command.v1.command_pb2 import Precondition

router = APIRouter(prefix="/api/v1/command-types", tags=["commands"])

COMMAND_TYPE_EXAMPLE = {
    "name": "ReadDTC",
    "description": "Read the fault memory of an ECU (ISO 14229-1 service 0x19, reportDTCByStatusMask)",
    "command_class": "read",
    "repeatable": True,
    "default_timeout_seconds": 30,
    "parameters_schema": {
        "type": "object",
        "properties": {"ecuAddress": {"type": "string", "pattern": "^0x[0-9A-Fa-f]{1,8}$"}},
        "required": ["ecuAddress"],
    },
    "response_schema": {"type": "object"},
    "preconditions": [],
}


class PreconditionAnswer(ApiAnswer):
    name: str = Field(description="What is looked at, for people.")
    comparison: Literal["=", "!=", "<", "<=", ">", ">="]
    value: float
    unit: str
    when: dict[str, str] = Field(description="Only of commands with these parameters; empty: of all.")


class CommandTypeAnswer(ApiAnswer):
    name: str
    description: str
    command_class: str = Field(description="read, write or actuate")
    repeatable: bool = Field(description="Tried again when an attempt fails; others reach a vehicle at most once.")
    default_timeout_seconds: int
    parameters_schema: dict[str, Any] = Field(description="JSON Schema 2020-12 of `command_params`.")
    response_schema: dict[str, Any] = Field(description="JSON Schema 2020-12 of each response.")
    preconditions: list[PreconditionAnswer] = Field(
        description="What is read from the vehicle right before it is handed such a command, and must hold."
    )


class CommandTypeList(ApiAnswer):
    items: list[CommandTypeAnswer]


@router.get("", responses=answers(CommandTypeList, {"items": [COMMAND_TYPE_EXAMPLE]}))
async def list_command_types(request: Request, _: Annotated[CurrentUser, Depends(current_user)]) -> Response:
    """The command types, with the JSON Schemas of their parameters and responses."""
    found = await app_state(request).command_client.list_command_types()
    items = [
        {
            "name": kind.name,
            "description": kind.description,
            "command_class": kind.command_class,
            "repeatable": kind.repeatable,
            "default_timeout_seconds": kind.default_timeout_seconds,
            "parameters_schema": Fragment(kind.parameters_schema),
            "response_schema": Fragment(kind.response_schema),
            "preconditions": [_precondition_json(precondition) for precondition in kind.preconditions],
        }
        for kind in found
    ]
    return json_answer({"items": items})


def _precondition_json(precondition: Precondition) -> dict[str, Any]:
    return {
        "name": precondition.name,
        "comparison": precondition.comparison,
        "value": precondition.value,
        "unit": precondition.unit,
        "when": dict(precondition.when),
    }
