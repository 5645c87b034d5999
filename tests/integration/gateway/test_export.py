"""The history of commands as CSV."""

import csv
from typing import Any

import httpx
import pytest

from gateway.routes import export
from sovd_protos.command.v1 import command_pb2 as pb
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import refused
from tests.integration.gateway.test_vehicles import VEHICLE_ID

EXPORT = "/api/v1/commands/export.csv"
NOON_US = 1_769_860_800_000_000


def remember(command_service: FakeCommandService, count: int) -> None:
    for number in range(count):
        command_id = f"01970c3a-6f2e-7d5a-8c1b-{number:012}"
        command_service.commands[command_id] = pb.Command(command_id=command_id, created_at_us=NOON_US)


async def rows(gateway: Running, **query: Any) -> tuple[list[dict[str, str]], httpx.Response]:
    answer = await gateway.client.get(EXPORT, params=query, headers=await gateway.headers())
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(answer.text.splitlines())), answer


async def test_a_command_is_a_line(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.commands["1"] = pb.Command(
        command_id="1",
        status="failed",
        vin="WDD1234567890ABCD",
        command_params='{"ecuAddress":"0x10","value":"a, b"}',
        username="=HYPERLINK()",
        priority=-5,
        created_at_us=NOON_US,
        error_message='-1 "Größe"\nsecond line',
        nrc=0x22,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    )
    (row,), answer = await rows(gateway)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="commands.csv"'
    assert "x-truncated" not in answer.headers
    assert tuple(row) == export.COLUMNS
    (row,) = csv.DictReader(answer.text.splitlines(keepends=True))
    assert {name: value for name, value in row.items() if value not in ("", "0")} == {
        "command_id": "1",
        "created_at": "2026-01-31T12:00:00.000000Z",
        "status": "failed",
        "vin": "WDD1234567890ABCD",
        "command_params": '{"ecuAddress":"0x10","value":"a, b"}',
        "username": "'=HYPERLINK()",
        "priority": "-5",
        "error_message": '\'-1 "Größe"\nsecond line',
        "nrc": "0x22",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


async def test_all_pages_with_the_filters_of_the_list(gateway: Running, command_service: FakeCommandService) -> None:
    remember(command_service, 1201)
    query = {
        "vehicle_id": VEHICLE_ID,
        "status": ["failed", "expired"],
        "command_name": "ReadDTC",
        "from": "2026-01-31T12:00:00Z",
    }
    found, _ = await rows(gateway, **query)
    assert [row["command_id"] for row in found] == list(command_service.commands)
    asked = [request for request in command_service.requests if isinstance(request, pb.ListCommandsRequest)]
    assert [request.cursor for request in asked] == ["", "500", "1000"]
    assert (asked[2].vehicle_id, list(asked[2].statuses)) == (VEHICLE_ID, query["status"])
    assert (asked[2].command_name, asked[2].from_us, asked[2].limit) == ("ReadDTC", NOON_US, 500)


@pytest.mark.parametrize(("count", "truncated"), [(700, None), (701, "true")])
async def test_no_more_than_so_many(
    gateway: Running,
    command_service: FakeCommandService,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    truncated: str | None,
) -> None:
    monkeypatch.setattr(export, "MAX_ROWS", 700)
    remember(command_service, count)
    found, answer = await rows(gateway)
    assert (len(found), answer.headers.get("x-truncated")) == (700, truncated)


async def test_without_any_commands_there_are_the_columns(gateway: Running) -> None:
    found, answer = await rows(gateway)
    assert (found, answer.text) == ([], ",".join(export.COLUMNS) + "\r\n")


async def test_a_download_that_breaks_off_does_not_look_complete(
    gateway: Running, command_service: FakeCommandService
) -> None:
    remember(command_service, 1201)
    headers = await gateway.headers()
    command_service.pages_left = 1
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.get(EXPORT, headers=headers)
    refused(await gateway.client.get(EXPORT, headers=headers), 503, "DATABASE_UNAVAILABLE")


@pytest.mark.parametrize("query", ["status=asleep", "vehicle_id=7", "from=yesterday", "limit=10", "cursor=x"])
async def test_questions_that_make_no_sense(gateway: Running, query: str) -> None:
    refused(await gateway.client.get(f"{EXPORT}?{query}", headers=await gateway.headers()), 422, "VALIDATION_FAILED")
    refused(await gateway.client.get(EXPORT), 401, "INVALID_TOKEN")
