"""What a gRPC server counts of its calls."""

import asyncio
import time
from types import TracebackType
from typing import Self

import grpc
from prometheus_client import Counter, Histogram

from service_kit.metrics import CALL_DURATION_BUCKETS

_CALLS = Counter("sovd_grpc_requests", "gRPC calls that have ended, by method and status code.", ["method", "code"])
_DURATION = Histogram(
    "sovd_grpc_request_duration_seconds",
    "From a call's arrival to its answer; streams are not in it.",
    ["method"],
    buckets=CALL_DURATION_BUCKETS,
)


class Call:
    """One call while it is being answered, as a context manager."""

    __slots__ = ("_context", "_is_stream", "_method", "_started")

    def __init__(self, method: str, context: "grpc.aio.ServicerContext[object, object]", *, is_stream: bool) -> None:
        self._method = method.removeprefix("/")
        self._context = context
        self._is_stream = is_stream
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _CALLS.labels(self._method, self._code(error)).inc()
        if not self._is_stream:
            _DURATION.labels(self._method).observe(time.perf_counter() - self._started)

    def _code(self, error: BaseException | None) -> str:
        if error is None:
            return grpc.StatusCode.OK.name
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):  # the caller is gone
            return grpc.StatusCode.CANCELLED.name
        return _name(self._context.code())


def count_refused() -> None:
    """A call without a credential: its method may be anything."""
    _CALLS.labels("any", grpc.StatusCode.UNAUTHENTICATED.name).inc()


def _name(code: object) -> str:
    """gRPC hands out numbers where it was given names."""
    for known in grpc.StatusCode:
        if code in (known, known.value[0]):
            return known.name
    return grpc.StatusCode.UNKNOWN.name
