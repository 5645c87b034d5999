"""Spans for calls, messages and batches, on opentelemetry-sdk, and the trace context that travels with commands.

Own thin spans rather than the FastAPI and gRPC instrumentations: one gRPC call or one AMQP flush carries the contexts
of many commands, so the context is a value (a W3C `traceparent`) that is stored and sent with each command. A parent
that is not sampled, or a process without an exporter, costs next to nothing: no span is made, the traceparent is
passed on as it came.
"""

import os
import random
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from threading import Timer
from types import TracebackType
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from service_kit.errors import InvalidInput

__all__ = [
    "SpanKind",
    "configure_tracing",
    "current_trace_id",
    "current_traceparent",
    "enter_service",
    "is_sampled",
    "record_span",
    "service_name",
    "shutdown_tracing",
    "span",
    "start_sampled",
    "start_span",
    "trace_id_of",
    "unsampled_traceparent",
]

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_FLUSH_SECONDS = 3.0
_UNSAMPLED_ENDINGS = frozenset("02468ace")

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
_service: ContextVar[str] = ContextVar("service", default="")
_EMPTY = Context()
_random = random.Random()  # noqa: S311  ids, not secrets


class _Process:
    """What configure_tracing set for this process."""

    service = ""
    provider: TracerProvider | None = None
    tracer: Tracer | None = None


class ActiveSpan(Protocol):
    """What `span` and `start_span` give, recorded or not."""

    @property
    def traceparent(self) -> str: ...

    def set(self, **attributes: AttributeValue) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, message: str) -> None: ...

    def end(self, error: BaseException | None = None) -> None: ...

    def __enter__(self) -> "ActiveSpan": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _PassedOn:
    """No span of its own: inside it the parent's context is current."""

    __slots__ = ("_token", "traceparent")

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        self._token: Token[str] | None = None

    def set(self, **attributes: AttributeValue) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, message: str) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass

    def __enter__(self) -> "_PassedOn":
        self._token = _traceparent.set(self.traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _traceparent.reset(self._token)


class _Recorded:
    __slots__ = ("_span", "_token", "traceparent")

    def __init__(self, recorded: Span) -> None:
        self._span = recorded
        self.traceparent = _format(recorded.get_span_context())
        self._token: Token[str] | None = None

    def set(self, **attributes: AttributeValue) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, message: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, message))

    def end(self, error: BaseException | None = None) -> None:
        if isinstance(error, Exception):  # a cancelled call is no error
            self.fail(f"{type(error).__name__}: {error}")
        self._span.end()

    def __enter__(self) -> "_Recorded":
        self._token = _traceparent.set(self.traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)
        if self._token is not None:
            _traceparent.reset(self._token)


class _Batches(BatchSpanProcessor):
    """At the end the last spans have a moment to go: a collector that is away does not hold up a process that stops."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)
        self._give_up = exporter.shutdown

    def shutdown(self) -> None:
        giving_up = Timer(_FLUSH_SECONDS, self._give_up)
        giving_up.start()
        super().shutdown()  # type: ignore[no-untyped-call]
        giving_up.cancel()


def configure_tracing(service: str, exporter: SpanExporter | None = None) -> None:
    """Record spans to `exporter` (tests), else as the OTEL_* variables say; none of them set: record nothing.

    Who begins a trace decides about its sampling (OTEL_TRACES_SAMPLER, default: all); everybody else follows.
    """
    shutdown_tracing()
    _Process.service = service
    processor = SimpleSpanProcessor(exporter) if exporter else _processor_from_environment()
    if processor is None:
        return
    _Process.provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    _Process.provider.add_span_processor(processor)
    _Process.tracer = _Process.provider.get_tracer("sovd")


def shutdown_tracing() -> None:
    """Flush what is recorded and end."""
    if _Process.provider is not None:
        _Process.provider.shutdown()
    _Process.service, _Process.provider, _Process.tracer = "", None, None


def enter_service(name: str) -> None:
    """From here on spans and logs of this context, and of tasks started in it, are those of service `name`."""
    _service.set(name)


def service_name() -> str:
    return _service.get() or _Process.service


def span(
    name: str,
    traceparent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: AttributeValue,
) -> ActiveSpan:
    """A span that is current inside `with`. Its parent is `traceparent` (None: the current one); without a parent it
    begins a trace. An exception that passes marks it as failed.
    """
    return _start(name, traceparent, kind, attributes)


def start_span(
    name: str,
    traceparent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: AttributeValue,
) -> ActiveSpan:
    """Like span, for work that begins and ends in different places: it is never current; call `end()` once."""
    return _start(name, traceparent, kind, attributes)


def start_sampled(
    name: str,
    traceparent: str,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: AttributeValue,
) -> ActiveSpan | None:
    """Like start_span, for one of many commands that travel together: None when there is nothing to record, which is
    so for most of them. Then `traceparent` is what to pass on.
    """
    if _Process.tracer is None or not is_sampled(traceparent):
        return None
    return _start(name, traceparent, kind, attributes)


def record_span(
    name: str,
    traceparent: str,
    start_ns: int,
    end_ns: int | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: AttributeValue,
) -> str:
    """A span after the fact (times as of time.time_ns()): for each of the many commands that one batch carried.

    Returns what to pass on: the new span's traceparent, or `traceparent` itself when it is not sampled.
    """
    if _Process.tracer is None or not is_sampled(traceparent):
        return traceparent
    recorded = _record(_Process.tracer, name, traceparent, kind, attributes, start_ns)
    recorded.end(end_ns)
    return _format(recorded.get_span_context())


def is_sampled(traceparent: str) -> bool:
    return len(traceparent) == 55 and traceparent[54] not in _UNSAMPLED_ENDINGS


def current_traceparent() -> str:
    """What to store with a command or to send along; "" outside of any trace."""
    return _traceparent.get()


def current_trace_id() -> str:
    return trace_id_of(_traceparent.get())


def trace_id_of(traceparent: str) -> str:
    """For logs; "" of none."""
    return traceparent[3:35]


def _start(name: str, traceparent: str | None, kind: SpanKind, attributes: Mapping[str, AttributeValue]) -> ActiveSpan:
    parent = _traceparent.get() if traceparent is None else traceparent
    # From outside it may be anything; what we made ourselves is current and needs no second look.
    if parent and traceparent is not None and _TRACEPARENT.fullmatch(parent) is None:
        parent = ""
    tracer = _Process.tracer
    if tracer is None:
        return _PassedOn(parent or unsampled_traceparent())
    if parent and not is_sampled(parent):
        return _PassedOn(parent)
    recorded = _record(tracer, name, parent, kind, attributes, None)
    return _Recorded(recorded) if recorded.is_recording() else _PassedOn(_format(recorded.get_span_context()))


def _record(
    tracer: Tracer, name: str, parent: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], start: int | None
) -> Span:
    # The service is an attribute too: one process (embedded, tests) may run several.
    return tracer.start_span(
        name,
        context=_context(parent) if parent else _EMPTY,
        kind=kind,
        attributes={**attributes, "sovd.service": service_name()},
        start_time=start,
        record_exception=False,
        set_status_on_exception=False,
    )


def _context(traceparent: str) -> Context:
    remote = SpanContext(
        int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, TraceFlags(int(traceparent[53:], 16))
    )
    return set_span_in_context(NonRecordingSpan(remote), _EMPTY)


def _format(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def unsampled_traceparent() -> str:
    """Begins a trace that nobody records: for logs, and for what is asked so often that no one would look at it."""
    return f"00-{_random.getrandbits(128) or 1:032x}-{_random.getrandbits(64) or 1:016x}-00"


def _resource(service: str) -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    return Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())


def _processor_from_environment() -> SpanProcessor | None:
    wanted = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or wanted == "none" or not (wanted or endpoint):
        return None
    if wanted == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
    if wanted in ("", "otlp"):
        return _Batches(_otlp_exporter())
    raise InvalidInput("BAD_SETTING", "OTEL_TRACES_EXPORTER: must be otlp, console or none")


def _otlp_exporter() -> SpanExporter:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if os.environ.get(name, "grpc") != "grpc":
            raise InvalidInput("BAD_SETTING", f"{name}: only grpc is built in")
    # Imported when asked for: it is a good part of a service's start time and memory.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
