"""Structured logs: JSON with ts, level, event, service, trace_id and command_id; readable lines on a terminal.

    _log = get_logger(__name__)
    with command_context(command_id, traceparent):
        _log.info("command_dispatched", attempt=1)

Everything goes through one chain, the standard library's loggers (uvicorn, grpc, asyncio, alembic) included, and the
chain takes out what is secret.
"""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service_kit import tracing

LogFormat = Literal["auto", "json", "console"]

_HIDDEN = "***"
_SECRET_KEY = re.compile(r"token|ticket|password|passwd|secret|authorization|credential|cookie|api_key", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    # name=value, name: value, "name": "value"; also ?token= and an Authorization header
    r"((?:token|ticket|password|passwd|secret|authorization|credential|cookie)[\"']?\s*[=:]\s*[\"']?(?:bearer\s+)?)"
    r"[^\s&\"',;]+"
    r"|(bearer\s+)[^\s\"',;]+"
    # user:password@ of a URL
    r"|(://[^:/@\s]*:)[^@/\s]+(?=@)"
    # a JSON Web Token on its own
    r"|()\beyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)


def configure_logging(service: str, level: str = "INFO", log_format: LogFormat = "auto") -> None:
    """Log to stderr from here on; calling it again replaces the configuration."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared = _shared_processors(service, console)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *shared],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level, shared)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `logger=name`; make it once per module."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def command_context(command_id: str, traceparent: str = "") -> AbstractContextManager[None]:
    """Log lines inside carry the command_id, and the trace_id of a `traceparent` that came along with the command
    (else that of the current trace); those of tasks started inside too.
    """
    trace = {"trace_id": tracing.trace_id_of(traceparent)} if traceparent else {}
    return structlog.contextvars.bound_contextvars(command_id=command_id, **trace)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Takes tokens, passwords and the like out of a log line, by the name of a key or by the look of a text."""
    return cast("EventDict", _redact_items(event))


def _redact_items(items: MutableMapping[Any, Any]) -> dict[Any, Any]:
    return {
        key: _HIDDEN if isinstance(key, str) and _SECRET_KEY.search(key) else _redacted(value)
        for key, value in items.items()
    }


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda match: (match[1] or match[2] or match[3] or "") + _HIDDEN, value)
    if isinstance(value, (int, float, bool, type(None))):
        return value
    if isinstance(value, dict):
        return _redact_items(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(item) for item in value]
    return _redacted(str(value))


class _Stderr:
    """Looks up sys.stderr for each line: loggers are cached for the life of the process, its stderr may change."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = fatal = warn = log = msg


class _StandardHandler(logging.Handler):
    """Takes the standard library's records through the same chain."""

    def __init__(self, processors: list[Processor]) -> None:
        super().__init__()
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _Stderr().msg(self._line(record))
        except Exception:
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> str:
        event: Any = {
            **structlog.contextvars.get_contextvars(),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
        }
        if record.exc_info and record.exc_info[1]:
            event["exc_info"] = record.exc_info
        for process in self._processors:
            event = process(record, record.levelname.lower(), event)
        return str(event)


def _route_standard_library(level: str, processors: list[Processor]) -> None:
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _StandardHandler)]
    root.addHandler(_StandardHandler(processors))
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # they bring handlers of their own
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # It tells at INFO of every look at the schema, readiness probes included.
    logging.getLogger("alembic").setLevel(max(logging.WARNING, root.level))


def _shared_processors(service: str, console: bool) -> list[Processor]:
    def add_context(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
        event["logger"] = logger.name
        event["service"] = tracing.service_name() or service
        if trace_id := tracing.current_trace_id():
            event.setdefault("trace_id", trace_id)
        return event

    render: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="ts",
            exception_formatter=structlog.dev.plain_traceback,
        )
        if console
        else structlog.processors.JSONRenderer(serializer=json.dumps, ensure_ascii=False)
    )
    return [
        add_context,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        redact,
        render,
    ]
