"""What a Prometheus server scrapes from the real processes."""

import re
from collections.abc import Iterable

import pytest
import websockets.sync.client
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from command_service.domain.catalogue import CATALOGUE
from tests.integration.conftest import SERVICES, Observed
from tests.support.waiting import wait_for

COMMAND_SERVICE = "sovd_protos.command.v1.CommandService"
# What no label may have: there is no end of ids, VINs, users and addresses with them in.
UNBOUNDED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{24}|\b[A-HJ-NPR-Z0-9]{17}\b|admin|engineer|\d{4,}")
MOST_SERIES_PER_METRIC = 100

Metrics = dict[str, Metric]


@pytest.fixture(scope="module")
def scraped(observed: Observed) -> dict[str, Metrics]:
    return {service: parsed(observed.metrics(service)) for service in SERVICES}


def parsed(text: str) -> Metrics:
    return {metric.name: metric for metric in text_string_to_metric_families(text)}


def value(metrics: Metrics, sample_name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    found = [
        sample.value
        for metric in metrics.values()
        for sample in metric.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    ]
    assert found, f"no {sample_name} {labels}"
    return sum(found)


def ours(metrics: Metrics) -> Iterable[Metric]:
    return [metric for name, metric in metrics.items() if name.startswith("sovd_")]


def test_commands_by_name_and_outcome(scraped: dict[str, Metrics]) -> None:
    metrics = scraped["command_service"]
    ended = {
        (sample.labels["command_name"], sample.labels["outcome"]): sample.value
        for sample in metrics["sovd_commands"].samples
    }
    assert {key: count for key, count in ended.items() if count} == {
        ("ReadDTC", "completed"): 2,
        ("ReadDTC", "failed"): 1,
        ("ReadDTC", "expired"): 1,
        ("ReadDataByID", "completed"): 1,
        ("ReadDataByID", "failed"): 1,
    }
    # A series is there before the first such command: otherwise Prometheus would not see that one.
    assert {name for name, _ in ended} == set(CATALOGUE)
    assert value(metrics, "sovd_commands_accepted_total") == 6


def test_durations_and_waits(scraped: dict[str, Metrics]) -> None:
    metrics = scraped["command_service"]
    assert value(metrics, "sovd_command_duration_seconds_count", command_name="ReadDTC") == 4
    # One expired after a second, one timed out after a second and was tried again.
    assert 2 <= value(metrics, "sovd_command_duration_seconds_sum", command_name="ReadDTC") < 60
    assert value(metrics, "sovd_command_duration_seconds_bucket", command_name="ReadDataByID", le="10.0") == 2
    # Every command but the expired one was handed over, one of them twice.
    assert value(metrics, "sovd_command_queue_wait_seconds_count") == 6
    assert value(metrics, "sovd_command_queue_wait_seconds_sum") > 0


def test_what_went_wrong(scraped: dict[str, Metrics]) -> None:
    metrics, connector = scraped["command_service"], scraped["vehicle_connector"]
    assert value(metrics, "sovd_dispatch_retries_total", command_name="ReadDTC") == 1
    assert value(metrics, "sovd_late_results_total") == 1
    assert value(metrics, "sovd_recovered_commands_total", look="expire_waiting") == 1
    assert value(metrics, "sovd_unpublished_dispatches_total") == 0
    assert value(connector, "sovd_dead_letters_total", queue="connector") == 1
    assert value(connector, "sovd_dead_letters_total", queue="control") == 0
    assert value(connector, "sovd_connector_outcomes_total", link="session", outcome="timed_out") == 1
    assert value(connector, "sovd_connector_outcomes_total", outcome="failed") == 2
    assert value(connector, "sovd_connector_claims_total", answer="granted") == 6
    assert value(metrics, "sovd_commands_overdue_total") == 0


def test_the_stages_of_a_command(scraped: dict[str, Metrics]) -> None:
    metrics, connector = scraped["command_service"], scraped["vehicle_connector"]
    # Each of the six claims that were granted, and one of those timed out at the vehicle before it was tried again.
    assert value(metrics, "sovd_command_dispatch_seconds_count") == 6
    for stage in ("hand_over", "vehicle", "recording"):
        assert value(connector, f"sovd_connector_{stage}_seconds_count") == 6, stage
    assert 1 <= value(connector, "sovd_connector_vehicle_seconds_sum") < 30
    assert value(connector, "sovd_connector_sessions_opened_total") == 2


def test_vehicles_connected(scraped: dict[str, Metrics]) -> None:
    connector = scraped["vehicle_connector"]
    assert value(connector, "sovd_vehicles_connected") == 2
    assert value(connector, "sovd_connector_attached") == 1
    assert value(connector, "sovd_connector_commands_in_flight") == 0


def test_websockets_open(observed: Observed) -> None:
    command_id = observed.commands["completed"]["command_id"]
    with observed.system.client() as client:
        ticket = client.post("/api/v1/auth/ws-ticket").json()["ticket"]

    def open_now() -> float:
        return value(parsed(observed.metrics("gateway")), "sovd_websockets_open")

    assert open_now() == 0
    with websockets.sync.client.connect(f"{observed.system.ws_url}/ws/events?ticket={ticket}") as socket:
        socket.send(f'{{"action":"subscribe","command_id":"{command_id}"}}')
        socket.recv()
        assert open_now() == 1
    wait_for(lambda: open_now() == 0)
    assert value(parsed(observed.metrics("gateway")), "sovd_websocket_events_total") > 0


def test_requests_and_calls(scraped: dict[str, Metrics]) -> None:
    gateway, commands = scraped["gateway"], scraped["command_service"]
    submitted = {"method": "POST", "route": "/api/v1/commands"}
    assert value(gateway, "sovd_http_requests_total", **submitted, status="201") == 6
    assert value(gateway, "sovd_http_request_duration_seconds_count", **submitted) == 6
    assert value(gateway, "sovd_http_requests_total", route="/api/v1/commands/{command_id}", status="200") >= 6
    asked = value(commands, "sovd_grpc_requests_total", method=f"{COMMAND_SERVICE}/SubmitCommands", code="OK")
    assert 1 <= asked <= 6
    timed = value(commands, "sovd_grpc_request_duration_seconds_count", method=f"{COMMAND_SERVICE}/SubmitCommands")
    assert timed == asked


@pytest.mark.parametrize("service", SERVICES)
def test_names_follow_the_conventions(scraped: dict[str, Metrics], service: str) -> None:
    for metric in ours(scraped[service]):
        assert metric.documentation.endswith("."), metric.name
        assert re.fullmatch(r"sovd_[a-z][a-z0-9_]*", metric.name)
        assert metric.type in {"counter", "gauge", "histogram"}, metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|total|count|sum|created)$", metric.name), metric.name
        if "duration" in metric.name or "wait" in metric.name:
            assert metric.name.endswith("_seconds"), metric.name
        names = {sample.name for sample in metric.samples}
        assert metric.type != "counter" or names <= {f"{metric.name}_total"}, names


@pytest.mark.parametrize("service", SERVICES)
def test_the_number_of_series_is_bounded(scraped: dict[str, Metrics], service: str) -> None:
    for metric in ours(scraped[service]):
        labels = {tuple(sorted(sample.labels.items())) for sample in metric.samples if "le" not in sample.labels}
        assert len(labels) <= MOST_SERIES_PER_METRIC, metric.name
        for pairs in labels:
            for _, label in pairs:
                assert not UNBOUNDED.search(label), f"{metric.name} {pairs}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_tells_of_itself(scraped: dict[str, Metrics], service: str) -> None:
    assert 10_000_000 < value(scraped[service], "process_resident_memory_bytes") < 1_000_000_000
    assert value(scraped[service], "process_cpu_seconds_total") > 0
