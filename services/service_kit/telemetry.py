"""Traces and metrics of a process: on from here, flushed and off at the end. (Logs: service_kit.logging.)"""

from types import TracebackType
from typing import Self

from service_kit.metrics import start_metrics_server
from service_kit.tracing import configure_tracing, shutdown_tracing


class Telemetry:
    """As a context manager; made before the event loop starts, ended after it stopped."""

    def __init__(self, service: str, metrics_port: int) -> None:
        configure_tracing(service)
        self._metrics = start_metrics_server(metrics_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()
        shutdown_tracing()
