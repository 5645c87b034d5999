"""The dashboard's numbers."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import ApiAnswer, ApiModel, rfc3339
from gateway.app_state import app_state
from gateway.auth import CurrentUser, current_user
from sovd_protos.reports.v1 import reports_pb2 as pb

router = APIRouter(prefix="/api/v1/summary", tags=["summary"])

_ENDS = ("completed", "failed", "timed_out", "expired", "cancelled")
_STATUSES = ("pending", "dispatched", "in_progress", *_ENDS)
_BUCKET_EXAMPLE = {"start": "2026-01-31T12:00:00.000000Z", **dict.fromkeys(_ENDS, 0), "completed": 17}
SUMMARY_EXAMPLE: dict[str, Any] = {
    "generated_at": "2026-01-31T12:34:56.789000Z",
    "vehicles": {"online": 2, "offline": 1, "total": 3},
    "commands": {
        "total": 18,
        "by_status": {**dict.fromkeys(_STATUSES, 0), "pending": 1, "completed": 17},
        "waiting_for_offline_vehicles": 1,
    },
    "duration_seconds": {"p50": 0.25, "p95": 1.5},
    "buckets": [_BUCKET_EXAMPLE],
}


class VehicleCounts(ApiAnswer):
    online: int
    offline: int
    total: int


class StatusCounts(ApiAnswer):
    pending: int
    dispatched: int
    in_progress: int
    completed: int
    failed: int
    timed_out: int
    expired: int
    cancelled: int


class CommandCounts(ApiAnswer):
    total: int
    by_status: StatusCounts
    waiting_for_offline_vehicles: int = Field(description="Now, whenever they were sent.")


class Durations(ApiAnswer):
    p50: float | None = Field(description="The median.")
    p95: float | None


class Bucket(ApiAnswer):
    start: str
    completed: int
    failed: int
    timed_out: int
    expired: int
    cancelled: int


class Summary(ApiAnswer):
    generated_at: str
    vehicles: VehicleCounts
    commands: CommandCounts = Field(description="Those sent since the first bucket's start, as they are now.")
    duration_seconds: Durations = Field(
        description="Of completed commands, from the hand-over to the vehicle to the end; to within a tenth."
    )
    buckets: list[Bucket] = Field(description="By the hour (UTC) in which commands were sent, oldest first, no gaps.")


class SummaryQuery(ApiModel):
    hours: Annotated[int, Field(ge=1, le=168)] = Field(24, description="The hour that runs and those before it.")


@router.get("", responses=answers(Summary, SUMMARY_EXAMPLE))
async def summarise(
    request: Request, query: Annotated[SummaryQuery, Query()], _: Annotated[CurrentUser, Depends(current_user)]
) -> Response:
    """The fleet now and the commands of the last hours, at a glance."""
    found = await ask(app_state(request).reports.Summarise(pb.SummariseRequest(hours=query.hours)))
    return json_answer(_summary_json(found))


def _summary_json(found: pb.Summary) -> dict[str, Any]:
    online, offline = found.vehicles_online, found.vehicles_offline
    by_status = {status: found.by_status.get(status, 0) for status in _STATUSES}
    return {
        "generated_at": rfc3339(found.generated_at_us),
        "vehicles": {"online": online, "offline": offline, "total": online + offline},
        "commands": {
            "total": sum(by_status.values()),
            "by_status": by_status,
            "waiting_for_offline_vehicles": found.waiting_for_offline_vehicles,
        },
        "duration_seconds": {
            "p50": found.p50_seconds if found.HasField("p50_seconds") else None,
            "p95": found.p95_seconds if found.HasField("p95_seconds") else None,
        },
        "buckets": [_bucket_json(hour) for hour in found.hours],
    }


def _bucket_json(hour: pb.Hour) -> dict[str, Any]:
    return {"start": rfc3339(hour.start_us), **{status: getattr(hour, status) for status in _ENDS}}
