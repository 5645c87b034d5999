"""The dashboard's numbers over HTTP."""

import pytest

from sovd_protos.reports.v1 import reports_pb2 as pb
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import refused

SUMMARY = "/api/v1/summary"
NOON_US = 1_769_860_800_000_000


async def test_a_summary(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.summary = pb.Summary(
        generated_at_us=NOON_US + 1,
        vehicles_online=2,
        vehicles_offline=1,
        by_status={"completed": 3, "pending": 1},
        waiting_for_offline_vehicles=7,
        p50_seconds=0.25,
        p95_seconds=1.5,
        hours=[pb.Hour(start_us=NOON_US, completed=3, timed_out=1)],
    )
    answer = await gateway.client.get(SUMMARY, params={"hours": 1}, headers=await gateway.headers())
    assert answer.status_code == 200
    none = dict.fromkeys(("completed", "failed", "timed_out", "expired", "cancelled"), 0)
    assert answer.json() == {
        "generated_at": "2026-01-31T12:00:00.000001Z",
        "vehicles": {"online": 2, "offline": 1, "total": 3},
        "commands": {
            "total": 4,
            "by_status": none | {"pending": 1, "dispatched": 0, "in_progress": 0, "completed": 3},
            "waiting_for_offline_vehicles": 7,
        },
        "duration_seconds": {"p50": 0.25, "p95": 1.5},
        "buckets": [{"start": "2026-01-31T12:00:00.000000Z", **none, "completed": 3, "timed_out": 1}],
    }
    assert command_service.requests == [pb.SummariseRequest(hours=1)]


async def test_without_any_commands(gateway: Running, command_service: FakeCommandService) -> None:
    answer = (await gateway.client.get(SUMMARY, headers=await gateway.headers())).json()
    assert answer["duration_seconds"] == {"p50": None, "p95": None}
    assert answer["commands"]["total"] == 0
    assert command_service.requests == [pb.SummariseRequest(hours=24)]


@pytest.mark.parametrize("query", ["hours=0", "hours=169", "hours=all", "days=1"])
async def test_questions_that_make_no_sense(gateway: Running, query: str) -> None:
    refused(await gateway.client.get(f"{SUMMARY}?{query}", headers=await gateway.headers()), 422, "VALIDATION_FAILED")
    refused(await gateway.client.get(SUMMARY), 401, "INVALID_TOKEN")
