"""Is this gateway able to do its work? Asked by probes, answered at most once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.errors import ServiceError

CACHE_SECONDS = 1.0
CHECK_SECONDS = 2.0

Connection = Literal["connected", "disconnected"]


@dataclass(frozen=True, slots=True)
class HealthReport:
    status: Literal["healthy", "degraded", "unhealthy", "stopping"]
    database: Literal["connected", "disconnected", "not_migrated"]
    redis: Connection
    command_service: Connection
    timestamp: str

    @property
    def is_ready(self) -> bool:
        return self.status in ("healthy", "degraded")


class Health:
    """`prepared` is set once the database is migrated and has its first users."""

    def __init__(
        self,
        *,
        ping_database: Callable[[], Awaitable[None]],
        redis_connected: Callable[[], bool],
        channel: grpc.aio.Channel,
        stopping: Callable[[], bool],
    ) -> None:
        self.prepared = False
        self._ping_database = ping_database
        self._redis_connected = redis_connected
        self._command_service = health_pb2_grpc.HealthStub(channel)
        self._stopping = stopping
        self._report: HealthReport | None = None
        self._reported_at = 0.0
        self._lock = asyncio.Lock()

    async def check(self) -> HealthReport:
        async with self._lock:
            fresh = time.monotonic() - self._reported_at < CACHE_SECONDS
            if self._report is None or not fresh or self._stopping():
                self._report = await self._look()
                self._reported_at = time.monotonic()
            return self._report

    async def _look(self) -> HealthReport:
        database, serving = await asyncio.gather(self._is_database_there(), self._is_command_service_there())
        redis = self._redis_connected()
        return HealthReport(
            status=self._status(database and self.prepared and serving, redis),
            database=("connected" if self.prepared else "not_migrated") if database else "disconnected",
            redis="connected" if redis else "disconnected",
            command_service="connected" if serving else "disconnected",
            timestamp=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )

    def _status(self, able: bool, redis: bool) -> Literal["healthy", "degraded", "unhealthy", "stopping"]:
        if self._stopping():
            return "stopping"
        if not able:
            return "unhealthy"
        return "healthy" if redis else "degraded"

    async def _is_database_there(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._ping_database()
        except (ServiceError, TimeoutError):
            return False
        return True

    async def _is_command_service_there(self) -> bool:
        try:
            answer = await self._command_service.Check(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
