"""Metrics of the vehicle connector."""

from collections.abc import Callable, Sized
from typing import Protocol

from prometheus_client import Counter, Gauge

VEHICLES_CONNECTED = Gauge("sovd_vehicles_connected", "Vehicles with an open session at this connector.")
COMMANDS_IN_FLIGHT = Gauge(
    "sovd_connector_commands_in_flight", "Commands that this connector was granted and has not let go of."
)
RESULTS_UNACKNOWLEDGED = Gauge(
    "sovd_connector_results_unacknowledged", "Results kept here that the command service has not acknowledged."
)
ATTACHED = Gauge("sovd_connector_attached", "1 while the stream to the command service is up.")
CLAIMS = Counter("sovd_connector_claims", "Claims answered, by answer (granted, or why not).", ["answer"])
OUTCOMES = Counter("sovd_connector_outcomes", "How attempts ended at this connector.", ["outcome"])
SESSION_REFUSALS = Counter("sovd_connector_session_refusals", "Vehicles sent away at their hello.", ["code"])
SESSIONS_ENDED = Counter("sovd_connector_sessions_ended", "Sessions that ended, by reason.", ["reason"])


class Commands(Protocol):
    @property
    def in_flight(self) -> int: ...

    @property
    def unacknowledged(self) -> int: ...


class Stream(Protocol):
    @property
    def attached(self) -> bool: ...


def watch(sessions: Sized, commands: Commands, stream: Stream) -> None:
    """Gauges are read when they are scraped: counting up and down would cost something for every result."""
    _read(
        lambda: len(sessions), lambda: commands.in_flight, lambda: commands.unacknowledged, lambda: int(stream.attached)
    )


def unwatch() -> None:
    _read(*[lambda: 0] * 4)


def _read(*values: Callable[[], float]) -> None:
    gauges = (VEHICLES_CONNECTED, COMMANDS_IN_FLIGHT, RESULTS_UNACKNOWLEDGED, ATTACHED)
    for gauge, value in zip(gauges, values, strict=True):
        gauge.set_function(value)
