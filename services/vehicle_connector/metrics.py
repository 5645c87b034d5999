"""Metrics of the vehicle connector."""

from collections.abc import Callable, Sized
from functools import lru_cache
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from service_kit.metrics import CALL_DURATION_BUCKETS, COMMAND_DURATION_BUCKETS
from sovd_protos.connector.v1 import connector_pb2 as wire

VEHICLES_CONNECTED = Gauge("sovd_vehicles_connected", "Vehicles with an open session at this connector.")
COMMANDS_IN_FLIGHT = Gauge(
    "sovd_connector_commands_in_flight", "Commands that this connector was granted and has not let go of."
)
RESULTS_UNACKNOWLEDGED = Gauge(
    "sovd_connector_results_unacknowledged", "Results kept here that the command service has not acknowledged."
)
ATTACHED = Gauge("sovd_connector_attached", "1 while the stream to the command service is up.")
CLAIMS = Counter("sovd_connector_claims", "Claims answered, by answer (granted, or why not).", ["answer"])
OUTCOMES = Counter(
    "sovd_connector_outcomes", "How attempts ended at this connector, by kind of link.", ["link", "outcome"]
)
HAND_OVER = Histogram(
    "sovd_connector_hand_over_seconds", "From the granted claim to the vehicle.", buckets=CALL_DURATION_BUCKETS
)
VEHICLE = Histogram(
    "sovd_connector_vehicle_seconds", "From the hand-over to the vehicle's last word.", buckets=COMMAND_DURATION_BUCKETS
)
RECORDING = Histogram(
    "sovd_connector_recording_seconds",
    "From the vehicle's last word to the acknowledgement that it is recorded.",
    buckets=CALL_DURATION_BUCKETS,
)
SESSION_REFUSALS = Counter("sovd_connector_session_refusals", "Vehicles sent away at their hello.", ["code"])
SESSIONS_OPENED = Counter("sovd_connector_sessions_opened", "Sessions that vehicles opened.")
SESSIONS_ENDED = Counter("sovd_connector_sessions_ended", "Sessions that ended, by reason.", ["reason"])
# They begin with 0: to Prometheus, from nothing to 1 is no increase.
for _reason in ("closed", "draining", "heartbeat_lost", "superseded"):
    SESSIONS_ENDED.labels(_reason)


@lru_cache
def outcomes_of(link: str, kind: "wire.Outcome.Kind.ValueType") -> Counter:
    return OUTCOMES.labels(link, wire.Outcome.Kind.Name(kind).lower())


for _kind in wire.Outcome.Kind.values():
    if _kind:  # they begin with 0: to Prometheus, from nothing to 1 is no increase
        outcomes_of("session", _kind)


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
