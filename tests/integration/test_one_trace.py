"""One command is one trace: HTTP, gRPC, the stored command, AMQP, the vehicle's session, Redis, the WebSocket."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest
import websockets
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr

import command_service.composition
import command_service.settings
import gateway.composition
import gateway.settings
import vehicle_connector.composition
import vehicle_connector.settings
import vehicle_simulator.composition
import vehicle_simulator.settings
from gateway.live_updates import LiveUpdates
from service_kit.database import upgrade
from service_kit.lifecycle import Lifecycle
from service_kit.tracing import configure_tracing, enter_service, shutdown_tracing
from tests.support.waiting import until
from vehicle_simulator.faults import Fault, FaultKind
from vehicle_simulator.fleet import Fleet

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
VIN = "WDD1234567890ABCD"
COMMON: dict[str, Any] = {"service_token": "a-service-token-for-tests-only", "metrics_port": 0, "drain_seconds": 2}
SECRET = SecretStr("a-vehicle-secret-for-tests-only")

# From the root to these spans.
REQUEST = "POST /api/v1/commands"
ACCEPTED = (REQUEST, "command.accept")
EXECUTED = (*ACCEPTED, "command.dispatch", "connector.execute")
OTHER_REQUESTS = {"POST /api/v1/auth/login", "POST /api/v1/auth/ws-ticket", "GET /api/v1/vehicles"}


@dataclass
class System:
    """All services in this process, on real servers; the vehicles are off until `fleet` is started."""

    http: httpx.AsyncClient
    ws_url: str
    database_url: str
    vehicle_id: str
    fleet: Fleet
    vehicles: Lifecycle
    spans: InMemorySpanExporter

    async def submit(self, traceparent: str = "", **command: Any) -> str:
        body = {
            "vehicle_id": self.vehicle_id,
            "command_name": "ReadDTC",
            "command_params": {"ecuAddress": "0x10"},
            **command,
        }
        headers = {"traceparent": traceparent} if traceparent else {}
        answer = await self.http.post("/api/v1/commands", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["command_id"])

    @asynccontextmanager
    async def watch(self, command_id: str) -> AsyncIterator["asyncio.Task[list[dict[str, Any]]]"]:
        """A viewer that is fed by live events from now on; what it sees until the end."""
        ticket = (await self.http.post("/api/v1/auth/ws-ticket")).json()["ticket"]
        async with websockets.connect(f"{self.ws_url}/ws/responses/{command_id}?ticket={ticket}") as socket:
            first = json.loads(await socket.recv())

            async def see() -> list[dict[str, Any]]:
                return [first, *[json.loads(message) async for message in socket]]

            yield asyncio.create_task(see())

    async def run(self, command_id: str) -> list[dict[str, Any]]:
        async with self.watch(command_id) as seen:
            self.switch_on()
            return await seen

    def switch_on(self) -> None:
        enter_service("vehicle_simulator")
        self.vehicles.background(self.fleet.run(), "fleet")

    async def stored_traceparent(self, command_id: str) -> str:
        connection = await asyncpg.connect(self.database_url)
        try:
            query = "SELECT traceparent FROM command_service.commands WHERE command_id = $1"
            return str(await connection.fetchval(query, command_id))
        finally:
            await connection.close()

    def trace(self, trace_id: str) -> "Trace":
        return Trace(span for span in self.spans.get_finished_spans() if _ids(span)[0] == trace_id)

    async def finished_trace(self, command_id: str, deliveries: int) -> "Trace":
        """When the end of the command and all it sent are in it."""
        trace_id = (await self.stored_traceparent(command_id))[3:35]
        await until(lambda: self.trace(trace_id).is_whole(deliveries))
        return self.trace(trace_id)


Systems = AsyncIterator[System]


class Trace:
    """The finished spans of one trace."""

    def __init__(self, spans: Iterable[ReadableSpan]) -> None:
        self.spans = list(spans)
        self._by_id = {_ids(span)[1]: span for span in self.spans}

    def is_whole(self, deliveries: int) -> bool:
        parents = {span.parent.span_id for span in self.spans if span.parent}
        missing = {f"{parent:016x}" for parent in parents} - self._by_id.keys() - {CALLER}
        return not missing and len(self.named("websocket.deliver")) == deliveries

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def way_to(self, span: ReadableSpan) -> list[str]:
        """The names from the root to the span."""
        parent = self._by_id.get(f"{span.parent.span_id:016x}") if span.parent else None
        return [*(self.way_to(parent) if parent else ()), span.name]

    def ways(self) -> Counter[tuple[str, ...]]:
        return Counter(tuple(self.way_to(span)) for span in self.spans)


def _ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing("all", exporter)
    yield exporter
    shutdown_tracing()


@asynccontextmanager
async def running(database_url: str, rabbitmq_url: str, redis_url: str, spans: InMemorySpanExporter) -> Systems:
    servers = {"database_url": database_url, "rabbitmq_url": rabbitmq_url, "redis_url": redis_url}
    async with AsyncExitStack() as stack:
        commands = await stack.enter_async_context(command_service.composition.compose(commands_settings(**servers)))
        address = f"127.0.0.1:{commands.port}"
        connector = await stack.enter_async_context(
            vehicle_connector.composition.compose(connector_settings(rabbitmq_url, address))
        )
        vehicles = await stack.enter_async_context(Lifecycle("vehicle_simulator", 2))
        fleet = vehicle_simulator.composition.build_fleet(vehicle_settings(f"127.0.0.1:{connector.session_port}"))
        vehicles.on_drain(fleet.close)
        api = await stack.enter_async_context(
            gateway.composition.compose(gateway_settings(database_url, redis_url, address))
        )
        await until(lambda: all(part.ready for part in (commands, connector, api)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30))
        await log_in(http)
        known = (await http.get("/api/v1/vehicles", params={"search": VIN})).json()["items"]
        ws_url = f"ws://127.0.0.1:{api.port}"
        yield System(http, ws_url, database_url, known[0]["vehicle_id"], fleet, vehicles, spans)


def commands_settings(**servers: Any) -> command_service.settings.Settings:
    return command_service.settings.Settings(**COMMON, **servers, grpc_host="127.0.0.1", grpc_port=0, demo_data=True)


def connector_settings(rabbitmq_url: str, address: str) -> vehicle_connector.settings.Settings:
    return vehicle_connector.settings.Settings(
        **COMMON,
        rabbitmq_url=rabbitmq_url,
        command_service_address=address,
        session_host="127.0.0.1",
        session_port=0,
        health_port=0,
        vehicle_credential_secret=SECRET,
    )


def vehicle_settings(address: str) -> vehicle_simulator.settings.Settings:
    return vehicle_simulator.settings.Settings(
        connector_address=address, vehicle_credential_secret=SECRET, vehicles=0, vins=(VIN,)
    )


def gateway_settings(database_url: str, redis_url: str, address: str) -> gateway.settings.GatewaySettings:
    return gateway.settings.GatewaySettings(
        **COMMON,
        database_url=database_url,
        redis_url=redis_url,
        command_service_address=address,
        jwt_secret=SecretStr("a-jwt-secret-that-is-for-tests-only-and-long"),
        http_host="127.0.0.1",
        http_port=0,
        demo_data=True,
    )


async def log_in(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/v1/auth/login", json={"username": "engineer", "password": "engineer123"})
    http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


@pytest.fixture
async def system(
    postgres_url: str, rabbitmq_url: str, redis_url: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> Systems:
    async def never(_: LiveUpdates) -> None:
        await asyncio.Event().wait()

    # The clock's re-reads are right as well, but would win over a live event now and then.
    monkeypatch.setattr(LiveUpdates, "run", never)
    for schema in ("gateway", "command_service"):
        await upgrade(postgres_url, f"{schema}.storage.migrations", schema)
    async with running(postgres_url, rabbitmq_url, redis_url, spans) as started:
        yield started


async def test_one_trace_from_the_request_to_the_websocket(system: System) -> None:
    command_id = await system.submit(SAMPLED)
    seen = await system.run(command_id)
    assert [event["event"] for event in seen[-4:]] == ["response", "response", "response", "status"]
    assert seen[-1]["status"] == "completed"

    trace = await system.finished_trace(command_id, deliveries=len(seen))
    recorded = len(trace.named("result.record"))
    assert trace.ways() == Counter(
        {
            ACCEPTED[:1]: 1,
            ACCEPTED: 1,
            (*ACCEPTED, "command.dispatch"): 1,
            EXECUTED: 1,
            (*EXECUTED, "vehicle.execute"): 1,
            (*EXECUTED, "result.record"): recorded,
            (*EXECUTED, "result.record", "websocket.deliver"): 4,
            # What happened before the vehicle answered goes from the stored command to the viewer.
            (*ACCEPTED, "websocket.deliver"): len(seen) - 4,
        }
    )
    assert sum(facts(span)["results"] for span in trace.named("result.record")) == 4
    assert {_ids(span)[0] for span in trace.spans} == {TRACE}


async def test_the_trace_of_a_caller_is_continued_and_stored_from_the_acceptance_on(system: System) -> None:
    command_id = await system.submit(SAMPLED)
    await system.run(command_id)
    trace = Trace(system.spans.get_finished_spans())
    request, accepted = trace.one(REQUEST), trace.one("command.accept")
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == CALLER
    assert await system.stored_traceparent(command_id) == f"00-{TRACE}-{_ids(accepted)[1]}-01"
    assert (await system.http.get(f"/api/v1/commands/{command_id}")).json()["trace_id"] == TRACE


async def test_spans_say_what_an_operator_looks_for(system: System) -> None:
    command_id = await system.submit()
    trace = await system.finished_trace(command_id, deliveries=len(await system.run(command_id)))
    assert trace.one(REQUEST).parent is None
    assert {span.name: (span.kind, facts(span).pop("sovd.service")) for span in trace.spans} == {
        REQUEST: (SpanKind.SERVER, "gateway"),
        "command.accept": (SpanKind.SERVER, "command_service"),
        "command.dispatch": (SpanKind.PRODUCER, "command_service"),
        "connector.execute": (SpanKind.CONSUMER, "vehicle_connector"),
        "vehicle.execute": (SpanKind.CONSUMER, "vehicle_simulator"),
        "result.record": (SpanKind.SERVER, "command_service"),
        "websocket.deliver": (SpanKind.CONSUMER, "gateway"),
    }
    for span in trace.spans:
        assert facts(span).get("command_id") == (None if span.name == REQUEST else command_id), span.name
        assert span.status.status_code is StatusCode.UNSET
    for name in ("command.accept", "command.dispatch", "connector.execute"):
        assert facts(trace.one(name))["command_name"] == "ReadDTC"
        assert facts(trace.one(name))["vehicle_id"] == system.vehicle_id
    assert facts(trace.one("command.accept"))["vin"] == facts(trace.one("vehicle.execute"))["vin"] == VIN
    assert facts(trace.one("connector.execute"))["outcome"] == "completed"
    assert facts(trace.one(REQUEST))["http.route"] == "/api/v1/commands"
    # The command waited for its vehicle: that is the time between its acceptance and its dispatch.
    assert trace.one("command.accept").end_time < trace.one("command.dispatch").start_time  # type: ignore[operator]


async def test_every_attempt_is_in_the_trace(system: System) -> None:
    system.fleet.faults.add(Fault(FaultKind.SILENT, times=1))
    command_id = await system.submit(timeout_seconds=1)
    seen = await system.run(command_id)
    assert seen[-1] | {"attempt": 2, "status": "completed"} == seen[-1]
    trace = await system.finished_trace(command_id, deliveries=len(seen))
    ways = trace.ways()
    assert ways[EXECUTED] == ways[*EXECUTED, "vehicle.execute"] == 2
    silent, second = sorted(trace.named("connector.execute"), key=lambda span: span.start_time or 0)
    assert facts(silent)["outcome"] == "timed_out"
    assert silent.status.status_code is StatusCode.ERROR
    assert facts(second)["outcome"] == "completed"


async def test_what_is_read_again_goes_from_the_stored_command_to_the_viewer(system: System) -> None:
    command_id = await system.submit(SAMPLED)
    first = await system.run(command_id)
    async with system.watch(command_id) as seeing:
        late = await seeing
    assert late == first[-4:]
    trace = await system.finished_trace(command_id, deliveries=len(first) + len(late))
    assert trace.ways()[*ACCEPTED, "websocket.deliver"] == len(first) - 4 + len(late)


async def test_a_refused_command_says_why(system: System) -> None:
    unknown = {"vehicle_id": "00000000-0000-7000-8000-000000000000", "command_name": "ReadDTC", "command_params": {}}
    unknown["command_params"] = {"ecuAddress": "0x10"}
    answer = await system.http.post("/api/v1/commands", json=unknown, headers={"traceparent": SAMPLED})
    assert answer.status_code == 404
    await until(lambda: system.trace(TRACE).named(REQUEST))
    refused = system.trace(TRACE).one("command.accept")
    assert facts(refused)["code"] == "UNKNOWN_VEHICLE"
    assert system.trace(TRACE).way_to(refused) == list(ACCEPTED)


async def test_an_unsampled_trace_makes_no_spans_and_is_stored(system: System) -> None:
    command_id = await system.submit(UNSAMPLED)
    seen = await system.run(command_id)
    assert seen[-1]["status"] == "completed"
    assert await system.stored_traceparent(command_id) == UNSAMPLED
    system.spans.force_flush()
    assert system.trace(TRACE).spans == []
    assert {span.name for span in system.spans.get_finished_spans()} <= OTHER_REQUESTS
