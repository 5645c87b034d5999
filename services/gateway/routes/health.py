"""For probes and scrapers."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from gateway.answers import answers, json_answer
from gateway.api_types import ApiAnswer
from gateway.app_state import app_state
from gateway.openapi import UNLIMITED

router = APIRouter(tags=["operations"])

READY_EXAMPLE = {
    "status": "healthy",
    "database": "connected",
    "redis": "connected",
    "command_service": "connected",
    "timestamp": "2026-01-31T12:00:00.000Z",
}


class Alive(ApiAnswer):
    status: Literal["alive"]


class Readiness(ApiAnswer):
    status: Literal["healthy", "degraded", "unhealthy", "stopping"]
    database: Literal["connected", "disconnected", "not_migrated"]
    redis: Literal["connected", "disconnected"]
    command_service: Literal["connected", "disconnected"]
    timestamp: str


@router.get("/health/live", responses=answers(Alive, {"status": "alive"}), openapi_extra=UNLIMITED)
async def live() -> Response:
    """The process runs; says nothing about what it needs."""
    return json_answer({"status": "alive"})


@router.get(
    "/health/ready",
    responses=answers(Readiness, READY_EXAMPLE)
    | answers(
        Readiness,
        {**READY_EXAMPLE, "status": "unhealthy", "database": "disconnected"},
        status=503,
        description="Not without its database and the command service",
    ),
    openapi_extra=UNLIMITED,
)
async def ready(request: Request) -> Response:
    """Whether to send requests here. Without Redis it is "degraded": everything works, live events come later."""
    report = await app_state(request).health.check()
    return json_answer(asdict(report), 200 if report.is_ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": "sovd_websockets_open 0.0"}}}},
    openapi_extra=UNLIMITED,
)
async def metrics() -> Response:
    """Prometheus metrics; also on METRICS_PORT."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
