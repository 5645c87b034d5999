import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from service_kit import tracing
from service_kit.errors import InvalidInput
from service_kit.tracing import (
    SpanKind,
    configure_tracing,
    current_trace_id,
    current_traceparent,
    enter_service,
    is_sampled,
    record_span,
    service_name,
    shutdown_tracing,
    span,
    start_sampled,
    start_span,
    trace_id_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


@pytest.fixture(autouse=True)
def _no_otel_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    yield
    shutdown_tracing()


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    configure_tracing("demo", exporter)
    return exporter


def test_spans_nest_and_carry_their_service(exporter: InMemorySpanExporter) -> None:
    with span("outer", kind=SpanKind.SERVER, route="/x") as outer:
        assert current_traceparent() == outer.traceparent
        with span("inner") as inner:
            inner.set(rows=3)
            assert current_traceparent() == inner.traceparent
    assert current_traceparent() == ""
    inner_span, outer_span = exporter.get_finished_spans()
    assert inner_span.parent is not None
    assert outer_span.context is not None
    assert inner_span.parent.span_id == outer_span.context.span_id
    assert outer_span.parent is None
    assert outer_span.kind is SpanKind.SERVER
    assert outer_span.attributes == {"route": "/x", "sovd.service": "demo"}
    assert inner_span.attributes == {"rows": 3, "sovd.service": "demo"}
    assert outer_span.resource.attributes["service.name"] == "demo"


def test_a_stored_traceparent_is_continued(exporter: InMemorySpanExporter) -> None:
    with span("dispatch", SAMPLED) as sent:
        pass
    (dispatch,) = exporter.get_finished_spans()
    assert dispatch.parent is not None
    assert f"{dispatch.parent.span_id:016x}" == "b7ad6b7169203331"
    assert sent.traceparent.startswith(f"00-{TRACE}-")
    assert sent.traceparent != SAMPLED
    assert sent.traceparent.endswith("-01")


def test_an_unsampled_parent_is_passed_on_without_a_span(exporter: InMemorySpanExporter) -> None:
    with span("dispatch", UNSAMPLED) as sent:
        sent.set(rows=1)
        sent.rename("request")
        sent.fail("no")
        sent.end()
        assert current_traceparent() == UNSAMPLED
        assert current_trace_id() == TRACE
        with span("inner"):
            assert current_traceparent() == UNSAMPLED
    assert record_span("publish", UNSAMPLED, 1, 2) == UNSAMPLED
    assert exporter.get_finished_spans() == ()


def test_the_sampler_of_the_environment_decides_about_roots(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    configure_tracing("demo", exporter := InMemorySpanExporter())
    with span("root"):
        root = current_traceparent()
        assert not is_sampled(root)
        assert len(root) == 55
        with span("inner"):
            assert current_traceparent() == root
    with span("of a sampled trace", SAMPLED):
        pass
    assert [finished.name for finished in exporter.get_finished_spans()] == ["of a sampled trace"]


def test_without_an_exporter_contexts_pass_through() -> None:
    configure_tracing("demo")
    with span("anything", SAMPLED):
        assert current_traceparent() == SAMPLED
    assert record_span("publish", SAMPLED, 1) == SAMPLED
    with span("root"):
        assert not is_sampled(current_traceparent())
        assert current_trace_id() != ""


@pytest.mark.parametrize(
    "malformed",
    ["", "x", SAMPLED.upper(), SAMPLED + "0", "ff" + SAMPLED[2:], f"00-{'0' * 32}-b7ad6b7169203331-01", SAMPLED[:-1]],
)
def test_a_malformed_traceparent_begins_a_new_trace(exporter: InMemorySpanExporter, malformed: str) -> None:
    with span("request", malformed):
        assert current_trace_id() not in ("", TRACE)
    (request,) = exporter.get_finished_spans()
    assert request.parent is None


def test_an_exception_marks_the_span_and_passes(exporter: InMemorySpanExporter) -> None:
    def fail() -> None:
        with span("request"):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    (request,) = exporter.get_finished_spans()
    assert request.status.status_code is StatusCode.ERROR
    assert request.status.description == "ValueError: no"


def test_a_cancelled_call_is_no_error(exporter: InMemorySpanExporter) -> None:
    def cancel() -> None:
        with span("request"):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        cancel()
    (request,) = exporter.get_finished_spans()
    assert request.status.status_code is StatusCode.UNSET


def test_a_started_span_is_not_current_and_ends_elsewhere(exporter: InMemorySpanExporter) -> None:
    execution = start_span("execute", SAMPLED, SpanKind.CLIENT)
    assert current_traceparent() == ""
    with span("answer", execution.traceparent):
        pass
    assert len(exporter.get_finished_spans()) == 1
    execution.fail("the vehicle was silent")
    execution.end()
    answer, executed = exporter.get_finished_spans()
    assert answer.parent is not None
    assert executed.context is not None
    assert answer.parent.span_id == executed.context.span_id
    assert executed.status.description == "the vehicle was silent"


def test_a_batch_records_a_span_for_each_of_its_commands(exporter: InMemorySpanExporter) -> None:
    sent = record_span("publish", SAMPLED, 1_000, 2_000, SpanKind.PRODUCER, queue="sovd.commands")
    (published,) = exporter.get_finished_spans()
    assert (published.start_time, published.end_time) == (1_000, 2_000)
    assert published.attributes == {"queue": "sovd.commands", "sovd.service": "demo"}
    assert published.context is not None
    assert sent == f"00-{TRACE}-{published.context.span_id:016x}-01"


def test_of_many_commands_only_the_sampled_have_a_span(exporter: InMemorySpanExporter) -> None:
    assert start_sampled("publish", UNSAMPLED, SpanKind.PRODUCER) is None
    assert start_sampled("publish", "", SpanKind.PRODUCER) is None
    published = start_sampled("publish", SAMPLED, SpanKind.PRODUCER, queue="sovd.commands")
    assert published is not None
    published.rename("publish sovd.commands")
    published.end()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("publish sovd.commands", SpanKind.PRODUCER)
    assert published.traceparent.startswith(f"00-{trace_id_of(SAMPLED)}-")


def test_without_an_exporter_no_command_has_a_span() -> None:
    configure_tracing("demo")
    assert start_sampled("publish", SAMPLED) is None


def test_a_span_may_end_with_an_error(exporter: InMemorySpanExporter) -> None:
    start_span("publish", SAMPLED).end(ConnectionError("gone"))
    start_span("publish", SAMPLED).end(asyncio.CancelledError())
    failed, cancelled = exporter.get_finished_spans()
    assert failed.status.description == "ConnectionError: gone"
    assert cancelled.status.status_code is StatusCode.UNSET


def test_the_environment_may_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sovd-gateway")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    configure_tracing("gateway", exporter := InMemorySpanExporter())
    with span("work"):
        pass
    (work,) = exporter.get_finished_spans()
    named = {"service.name": "sovd-gateway", "deployment.environment": "test"}
    assert {name: work.resource.attributes[name] for name in named} == named


async def test_each_task_has_its_own_context(exporter: InMemorySpanExporter) -> None:
    both_inside = asyncio.Barrier(2)

    async def handle(traceparent: str) -> str:
        with span("handle", traceparent):
            await both_inside.wait()
            return current_trace_id()

    other = SAMPLED.replace(TRACE, "1" * 32)
    assert list(await asyncio.gather(handle(SAMPLED), handle(other))) == [TRACE, "1" * 32]


async def test_services_of_one_process_are_told_apart(exporter: InMemorySpanExporter) -> None:
    async def run(name: str) -> None:
        enter_service(name)
        with span("work"):
            pass

    await asyncio.gather(asyncio.create_task(run("gateway")), asyncio.create_task(run("command-service")))
    services = [dict(finished.attributes or {})["sovd.service"] for finished in exporter.get_finished_spans()]
    assert services == ["gateway", "command-service"]
    assert service_name() == "demo"


def test_an_endpoint_in_the_environment_turns_otlp_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_otlp_exporter", lambda: made)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    configure_tracing("demo")
    with span("work"):
        pass
    assert made.get_finished_spans() == ()  # it goes in batches
    shutdown_tracing()
    assert [finished.name for finished in made.get_finished_spans()] == ["work"]


def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setattr(tracing, "_FLUSH_SECONDS", 0.2)
        configure_tracing("demo")
        for _ in range(1000):
            span("work").end()
        started = time.monotonic()
        shutdown_tracing()
    assert time.monotonic() - started < 2


def test_none_in_the_environment_turns_the_export_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    configure_tracing("demo")
    with span("work", SAMPLED):
        assert current_traceparent() == SAMPLED


def test_the_otlp_exporter_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    configure_tracing("demo")
    with span("work", UNSAMPLED):
        pass
    shutdown_tracing()


def test_the_console_exporter_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    configure_tracing("demo")
    with span("work"):
        pass
    assert '"name": "work"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_an_unknown_exporter_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput, match=variable):
        configure_tracing("demo")
