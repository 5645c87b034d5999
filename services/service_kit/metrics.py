"""Prometheus metrics on a port of their own. Each service defines its metrics (sovd_*) in its own metrics.py."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import disable_created_metrics, start_http_server

# A second series for each counter and histogram, to say when it began, which nobody looks at.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds. From submit to the terminal status: a vehicle may take minutes.
COMMAND_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
# Waiting for a lane or for a vehicle that is offline: up to hours.
QUEUE_WAIT_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 21600)
# Calls between services, requests, flushes.
CALL_DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class MetricsServer:
    """GET /metrics in a thread: a busy event loop still answers the scraper."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start_metrics_server(port: int, host: str = "0.0.0.0") -> MetricsServer | None:  # noqa: S104  scraped from outside
    """Serve the default registry; port 0: off. Raises OSError when the port is taken."""
    if port == 0:
        return None
    try:
        return MetricsServer(*start_http_server(port, host))
    except OSError as error:
        raise OSError(error.errno, f"METRICS_PORT {port}: {error.strerror}") from error
