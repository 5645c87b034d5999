"""The service as a whole: settings, health, traces, metrics, and a start without its neighbours."""

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from service_kit.settings import EXIT_BAD_SETTINGS
from service_kit.tracing import configure_tracing, shutdown_tracing
from tests.support.waiting import until, until_it
from tests.unit.vehicle_connector.conftest import World
from tests.unit.vehicle_connector.ids import C1
from tests.unit.vehicle_connector.scripted_vehicle import VIN, finished, response

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing("test", exporter)
    yield exporter
    shutdown_tracing()


async def test_a_sampled_command_has_one_span_and_its_context_goes_on(
    world: World, spans: InMemorySpanExporter
) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN, traceparent=SAMPLED)
    await until(lambda: vehicle.executes)
    await vehicle.update(response(C1, 1), finished(C1, 2))
    await until(lambda: C1 in vehicle.closed)
    (span,) = spans.get_finished_spans()
    assert span.name == "connector.execute"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.attributes is not None
    assert span.attributes["command_id"] == C1
    assert span.attributes["outcome"] == "completed"
    assert span.context is not None
    goes_on = f"00-0af7651916cd43dd8448eb211c80319c-{span.context.span_id:016x}-01"
    assert vehicle.executes[0].traceparent == goes_on
    assert [result.traceparent for result in world.service.results(C1)] == [goes_on, goes_on]


async def test_a_refused_claim_ends_its_span(world: World, spans: InMemorySpanExporter) -> None:
    world.service.refusal = "expired"
    await world.dispatch.command(C1, VIN, traceparent=SAMPLED)
    await until(spans.get_finished_spans)
    attributes = spans.get_finished_spans()[0].attributes
    assert attributes is not None
    assert attributes["refusal"] == "expired"


async def test_a_command_that_is_not_sampled_has_none(world: World, spans: InMemorySpanExporter) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN, traceparent=UNSAMPLED)
    await until(lambda: vehicle.executes)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)
    assert vehicle.executes[0].traceparent == UNSAMPLED
    assert world.service.results(C1)[0].traceparent == ""
    assert spans.get_finished_spans() == ()


async def test_metrics_tell_what_is_there(world: World) -> None:
    world.service.recording = False
    completed = {"link": "session", "outcome": "completed"}
    before = REGISTRY.get_sample_value("sovd_connector_outcomes_total", completed) or 0
    assert REGISTRY.get_sample_value("sovd_connector_attached") == 1
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed)
    await vehicle.update(response(C1, 1), finished(C1, 2))
    await until(lambda: len(world.service.arrived) == 2)
    assert REGISTRY.get_sample_value("sovd_vehicles_connected") == 1
    assert REGISTRY.get_sample_value("sovd_connector_commands_in_flight") == 1
    assert REGISTRY.get_sample_value("sovd_connector_results_unacknowledged") == 2
    assert REGISTRY.get_sample_value("sovd_connector_outcomes_total", completed) == before + 1
    world.service.acknowledge(C1, 2, closed=True)
    await until(lambda: REGISTRY.get_sample_value("sovd_connector_commands_in_flight") == 0)
    assert REGISTRY.get_sample_value("sovd_connector_results_unacknowledged") == 0


async def test_health_follows_the_command_service(world: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.connector.health_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def is_serving() -> bool:
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        async def is_not_serving() -> bool:
            return not await is_serving()

        await until_it(is_serving)
        await world.service.stop()
        await until_it(is_not_serving)


def test_a_missing_setting_stops_the_start_with_one_line() -> None:
    environment = {"RABBITMQ_URL": "amqp://localhost", "SERVICE_TOKEN": "x" * 16, "COMMAND_SERVICE_ADDRESS": "here:1"}
    run = subprocess.run(
        [sys.executable, "-m", "vehicle_connector"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == EXIT_BAD_SETTINGS
    assert run.stderr.splitlines() == [
        "VEHICLE_CREDENTIAL_SECRET: missing; give the secret that vehicle credentials are derived from, "
        "at least 16 characters"
    ]
