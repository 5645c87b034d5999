"""The history of commands as a file for a spreadsheet."""

import csv
from collections.abc import AsyncIterator
from io import StringIO
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from gateway.answers import ask
from gateway.api_types import rfc3339
from gateway.app_state import AppState, app_state
from gateway.auth import CurrentUser, current_user
from gateway.routes.commands import CommandFilters, list_request
from service_kit.tracing import trace_id_of
from sovd_protos.command.v1 import command_pb2
from sovd_protos.reports.v1 import reports_pb2

# Its path would be an identifier's, so it has to be found before those.
router = APIRouter(prefix="/api/v1/commands", tags=["commands"])

MAX_ROWS = 100_000
PAGE_ROWS = 500
TRUNCATED_HEADER = "X-Truncated"
COLUMNS = (
    "command_id",
    "created_at",
    "status",
    "vin",
    "vehicle_id",
    "command_name",
    "command_params",
    "command_class",
    "username",
    "user_id",
    "priority",
    "timeout_seconds",
    "attempt",
    "responses",
    "expires_at",
    "dispatched_at",
    "started_at",
    "completed_at",
    "error_code",
    "error_message",
    "nrc",
    "nrc_name",
    "cancel_outcome",
    "cancel_requested_by",
    "trace_id",
)
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_EXAMPLE = "command_id,created_at,status,…\r\n01970c3a-…,2026-01-31T12:00:00.000000Z,completed,…\r\n"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": f"A line with the names of the columns, then one per command, newest first, at most {MAX_ROWS}.",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        "headers": {
            TRUNCATED_HEADER: {"description": "`true` where there are more.", "schema": {"type": "string"}},
        },
    }
}


@router.get("/export.csv", response_class=Response, responses=_RESPONSES)
async def export_commands(
    request: Request,
    query: Annotated[CommandFilters, Query()],
    _: Annotated[CurrentUser, Depends(current_user)],
) -> Response:
    """What the list of commands finds, as CSV. A download that breaks off is not complete."""
    state, asked = app_state(request), list_request(query, PAGE_ROWS)
    count = await ask(state.reports.CountCommands(reports_pb2.CountCommandsRequest(filter=asked, at_most=MAX_ROWS + 1)))
    # Before the answer begins: an error can still be told as one.
    first = await state.command_client.list_commands(asked)
    headers = {"content-disposition": 'attachment; filename="commands.csv"'}
    if count.count > MAX_ROWS:
        headers[TRUNCATED_HEADER] = "true"
    return StreamingResponse(_lines(state, asked, first), 200, headers, "text/csv")


async def _lines(
    state: AppState, asked: command_pb2.ListCommandsRequest, page: command_pb2.ListCommandsResponse
) -> AsyncIterator[str]:
    yield _csv([COLUMNS])
    left = MAX_ROWS
    while True:
        yield _csv([_row(command) for command in page.commands[:left]])
        left -= len(page.commands)
        if left <= 0 or not page.next_cursor:
            return
        asked.cursor = page.next_cursor
        page = await state.command_client.list_commands(asked)


def _csv(rows: Any) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(command: command_pb2.Command) -> list[object]:
    return [_VALUES[column](command) if column in _VALUES else _plain(getattr(command, column)) for column in COLUMNS]


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _moment(column: str) -> Any:
    return lambda command: rfc3339(getattr(command, f"{column}_us")) or ""


_VALUES: dict[str, Any] = {
    **{column: _moment(column) for column in COLUMNS if column.endswith("_at")},
    "nrc": lambda command: f"0x{command.nrc:02X}" if command.nrc else "",
    "trace_id": lambda command: trace_id_of(command.traceparent),
}
