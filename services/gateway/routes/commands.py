"""Diagnostic commands: send one, look for them, read their answers, cancel."""

import hashlib
import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from starlette.responses import Response
from uuid_utils import uuid7

from gateway.answers import answers, json_answer
from gateway.api_types import ApiModel, Cursor, Limit, Moment, Uuid, to_microseconds
from gateway.app_state import AppState, app_state
from gateway.auth import CurrentUser, current_user, require_engineer
from gateway.commands_json import (
    COMMAND_EXAMPLE,
    EVIDENCE_EXAMPLE,
    RESPONSE_EXAMPLE,
    CancelAnswer,
    CommandAnswer,
    CommandList,
    EvidenceList,
    ResponseList,
    Status,
    command_json,
    evidence_json,
    response_json,
)
from gateway.problem_details import problems
from service_kit.errors import InvalidInput
from service_kit.tracing import current_traceparent
from sovd_protos.command.v1 import command_pb2 as pb

router = APIRouter(prefix="/api/v1/commands", tags=["commands"])

MAX_PARAMS_BYTES = 32 * 1024
MAX_PARAMS_DEPTH = 16
MAX_SEQUENCE_NUMBER = 2**32 - 1
_PARAMS = ("body", "command_params")

User = Annotated[CurrentUser, Depends(current_user)]
CommandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}$"), Field(examples=["ReadDTC"])]
_IDEMPOTENCY_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


class NewCommand(ApiModel):
    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "vehicle_id": COMMAND_EXAMPLE["vehicle_id"],
                "command_name": "ReadDTC",
                "command_params": {"ecuAddress": "0x10"},
            }
        },
    )

    vehicle_id: Uuid
    command_name: CommandName
    command_params: dict[str, Any] = Field(description="As the command type's JSON Schema says.")
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] | None = Field(
        None,
        description="For the vehicle's answer, from the hand-over on; of a stream, between two answers. "
        "Default: the command type's.",
    )
    expires_in_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] | None = Field(
        None, description="The command does not run after this. Default: 900."
    )
    priority: Annotated[int, Field(ge=-100, le=100)] = Field(0, description="Higher runs first on its ECU.")


class CommandFilters(ApiModel):
    vehicle_id: Uuid | None = None
    user_id: Uuid | None = None
    status: list[Status] = Field(default_factory=list, max_length=8, description="Any of these; repeat the parameter.")
    command_name: CommandName | None = None
    from_: Moment | None = Field(None, alias="from", description="Sent at this time or later.")
    to: Moment | None = Field(None, description="Sent before this time.")


class CommandQuery(CommandFilters):
    limit: Limit = 50
    cursor: Cursor = ""


class ResponseQuery(ApiModel):
    after: Annotated[int, Field(ge=0, le=MAX_SEQUENCE_NUMBER)] = Field(0, description="Responses after this number.")
    limit: Limit = 100


class EvidenceQuery(ApiModel):
    limit: Limit = 50
    cursor: Cursor = ""


# Read by hand: here, where it counts, the framework's way of reading a request costs half as much again.
_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": NewCommand.model_json_schema()}},
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Sending the same request again with the same key within 24 h gives the same command.",
            "schema": {"type": "string", "maxLength": 255, "pattern": f"^{_IDEMPOTENCY_KEY.pattern}$"},
            "example": "6f1c2c9e-read-faults",
        }
    ],
}


@router.post(
    "",
    status_code=201,
    responses=answers(CommandAnswer, COMMAND_EXAMPLE, status=201, description="Accepted: it will reach one end.")
    | problems(403, 404, 409, 422),
    openapi_extra=_REQUEST,
)
async def submit_command(request: Request) -> Response:
    """Send a command to a vehicle (engineer, admin). It waits while the vehicle is offline, until it expires."""
    user = await require_engineer(request)
    key = _idempotency_key(request.headers.get("idempotency-key"))
    submission = _submission(await request.body(), user, key)
    state = app_state(request)
    if state.sessions.is_watched(user.sid):
        state.live_updates.expect(submission.command_id)
    command = await _submit(state, submission)
    return json_answer(command_json(command), 201, {"location": f"/api/v1/commands/{command.command_id}"})


@router.get("", responses=answers(CommandList, {"items": [COMMAND_EXAMPLE], "next_cursor": None}))
async def list_commands(request: Request, query: Annotated[CommandQuery, Query()], _: User) -> Response:
    """Commands, newest first."""
    asked = list_request(query, query.limit, query.cursor)
    found = await app_state(request).command_client.list_commands(asked)
    return json_answer({"items": [command_json(c) for c in found.commands], "next_cursor": found.next_cursor or None})


@router.get("/{command_id}", responses=answers(CommandAnswer, COMMAND_EXAMPLE) | problems(404))
async def get_command(request: Request, command_id: Uuid, _: User) -> Response:
    """One command."""
    return json_answer(command_json(await app_state(request).command_client.get_command(command_id)))


@router.get(
    "/{command_id}/responses",
    responses=answers(ResponseList, {"items": [RESPONSE_EXAMPLE], "has_more": False}) | problems(404),
)
async def list_responses(
    request: Request, command_id: Uuid, query: Annotated[ResponseQuery, Query()], _: User
) -> Response:
    """The recorded responses, in order. A page may be shorter than `limit` when they are long."""
    found = await app_state(request).command_client.list_responses(command_id, query.after, query.limit)
    return json_answer({"items": [response_json(r) for r in found.responses], "has_more": found.has_more})


@router.post(
    "/{command_id}/cancel",
    responses=answers(
        CancelAnswer,
        {
            "outcome": "prevented",
            "command": {**COMMAND_EXAMPLE, "status": "cancelled", "cancel_outcome": "prevented"},
        },
    )
    | problems(403, 404),
)
async def cancel_command(request: Request, command_id: Uuid, user: User) -> Response:
    """Cancel a command (who sent it, or an admin).

    `prevented`: it will never reach the vehicle. `cancelled`: the vehicle had it before, and it is not tried again.
    `too_late`: it had ended. `requested`: the vehicle has it and is asked to stop; what came of that is on the command
    and in an event.
    """
    answer = await app_state(request).command_client.cancel_command(command_id, _actor(user))
    return json_answer({"outcome": answer.outcome, "command": command_json(answer.command)})


@router.get(
    "/{command_id}/evidence",
    responses=answers(EvidenceList, {"items": [EVIDENCE_EXAMPLE], "next_cursor": None}) | problems(404),
)
async def list_evidence(
    request: Request, command_id: Uuid, query: Annotated[EvidenceQuery, Query()], _: User
) -> Response:
    """What came too late to count: after the command's end, or from an older attempt. Oldest first."""
    found = await app_state(request).command_client.list_evidence(command_id, query.limit, query.cursor)
    return json_answer({"items": [evidence_json(e) for e in found.evidence], "next_cursor": found.next_cursor or None})


async def _submit(state: AppState, submission: pb.Submission) -> pb.Command:
    accepted = ""
    try:
        command = await state.command_client.submit(submission)
        accepted = command.command_id
        return command
    finally:
        # Refused, or sent before with the same key.
        if accepted != submission.command_id:
            state.live_updates.forget(submission.command_id)


def list_request(query: CommandFilters, limit: int, cursor: str = "") -> pb.ListCommandsRequest:
    return pb.ListCommandsRequest(
        vehicle_id=query.vehicle_id or "",
        user_id=query.user_id or "",
        statuses=query.status,
        command_name=query.command_name or "",
        from_us=to_microseconds(query.from_),
        to_us=to_microseconds(query.to),
        limit=limit,
        cursor=cursor,
    )


def _idempotency_key(header: str | None) -> str:
    """Empty when there is none."""
    if header is not None and _IDEMPOTENCY_KEY.fullmatch(header) is None:
        raise _invalid(("header", "Idempotency-Key"), "should be 1 to 255 printable ASCII characters")
    return header or ""


def _submission(body: bytes, user: CurrentUser, idempotency_key: str) -> pb.Submission:
    new = _parse(body)
    # Sorted, so that the same request has the same hash however its keys were ordered.
    params = orjson.dumps(new.command_params, option=orjson.OPT_SORT_KEYS)
    if len(params) > MAX_PARAMS_BYTES:
        raise _invalid(_PARAMS, f"should have at most {MAX_PARAMS_BYTES} bytes")
    return pb.Submission(
        command_id=str(uuid7()),
        vehicle_id=new.vehicle_id,
        command_name=new.command_name,
        command_params=params.decode(),
        timeout_seconds=new.timeout_seconds,
        expires_in_seconds=new.expires_in_seconds,
        priority=new.priority,
        actor=_actor(user),
        idempotency_key=idempotency_key,
        request_hash=_request_hash(new, params),
        traceparent=current_traceparent(),
    )


def _parse(body: bytes) -> NewCommand:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("MALFORMED_JSON", f"the body is not JSON: {error}") from None
    try:
        new = NewCommand.model_validate(asked)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None
    _check_value(new.command_params, MAX_PARAMS_DEPTH)
    return new


def _check_value(value: object, depth: int) -> None:
    """What a JSON Schema does not say: no NUL, which a database cannot store, and no nesting without end."""
    if isinstance(value, str):
        if "\0" in value:
            raise _invalid(_PARAMS, "should not contain NUL characters")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise _invalid(_PARAMS, f"should be nested at most {MAX_PARAMS_DEPTH} deep")
        for inner in value if isinstance(value, list) else [*value, *value.values()]:
            _check_value(inner, depth - 1)


def _invalid(where: tuple[str, ...], message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": where, "msg": message}])


def _request_hash(new: NewCommand, params: bytes) -> bytes:
    rest = [new.vehicle_id, new.command_name, new.timeout_seconds, new.expires_in_seconds, new.priority]
    return hashlib.sha256(orjson.dumps(rest) + params).digest()


def _actor(user: CurrentUser) -> pb.Actor:
    return pb.Actor(user_id=user.user_id, username=user.username, role=user.role)
