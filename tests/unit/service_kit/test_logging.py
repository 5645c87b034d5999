import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service_kit.logging import command_context, configure_logging, get_logger
from service_kit.tracing import configure_tracing, enter_service, shutdown_tracing, span

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    logging.getLogger("alembic").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_carry_service_trace_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "INFO", "json")
    with span("request", f"00-{TRACE}-b7ad6b7169203331-00"), command_context("c-1"):
        get_logger("gateway.app").info("command_accepted", vin="WDD…")
    get_logger("gateway.app").warning("outside")
    inside, outside = lines(capsys)
    assert inside.pop("ts").endswith("Z")
    assert inside == {
        "level": "info",
        "event": "command_accepted",
        "logger": "gateway.app",
        "service": "gateway",
        "trace_id": TRACE,
        "command_id": "c-1",
        "vin": "WDD…",
    }
    assert "command_id" not in outside
    assert "trace_id" not in outside


def test_a_command_brings_the_trace_that_was_stored_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "INFO", "json")
    another = f"00-{TRACE[::-1]}-b7ad6b7169203331-00"
    with span("request", another), command_context("c-1", f"00-{TRACE}-b7ad6b7169203331-01"):
        get_logger("stored").info("seen")
        logging.getLogger("stored").info("seen")
    with command_context("c-2", ""):
        get_logger("stored").info("seen")
    structured, standard, untraced = lines(capsys)
    assert structured["trace_id"] == standard["trace_id"] == TRACE
    assert "trace_id" not in untraced


def test_what_alembic_tells_of_every_look_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "DEBUG", "json")
    logging.getLogger("alembic.runtime.migration").info("Context impl PostgresqlImpl.")
    logging.getLogger("alembic.runtime.migration").warning("something is wrong")
    configure_logging("gateway", "ERROR", "json")
    logging.getLogger("alembic.runtime.migration").warning("something is wrong")
    assert [line["event"] for line in lines(capsys)] == ["something is wrong"]


def test_the_level_filters_both_kinds_of_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "WARNING", "json")
    get_logger("level").info("no")
    logging.getLogger("level").info("no")
    get_logger("level").error("yes")
    logging.getLogger("level").error("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes", "yes"]


def test_loggers_of_the_standard_library_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    access = logging.getLogger("uvicorn.access")
    access.addHandler(logging.StreamHandler())
    access.setLevel(logging.NOTSET)  # a simulated SOVD server in this process has silenced it
    configure_logging("gateway", "INFO", "json")
    with command_context("c-1"):
        access.info('"%s %s" %d', "GET", "/ws/events?ticket=abc&after=3", 101)
    (line,) = lines(capsys)
    assert line["event"] == '"GET /ws/events?ticket=***&after=3" 101'
    assert (line["logger"], line["level"], line["service"]) == ("uvicorn.access", "info", "gateway")
    assert line["command_id"] == "c-1"


def test_exceptions_are_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "INFO", "json")
    try:
        raise ValueError("token=abc")
    except ValueError as error:
        get_logger("exceptions").error("failed", exc_info=error)
        logging.getLogger("exceptions").exception("failed")
    for line in lines(capsys):
        assert "Traceback" in line["exception"]
        assert "ValueError: token=***" in line["exception"]


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ({"password": "hunter2"}, "***"),
        ({"refresh_token": "hunter2"}, "***"),
        ({"headers": {"Authorization": "Bearer hunter2", "accept": "*/*"}}, {"Authorization": "***", "accept": "*/*"}),
        ({"tried": ["token=hunter2", 3]}, ["token=***", 3]),
        ({"url": "/ws/responses/1?after=3&token=hunter2"}, "/ws/responses/1?after=3&token=***"),
        ({"url": "postgresql://sovd:hunter2@db:5432/sovd"}, "postgresql://sovd:***@db:5432/sovd"),
        ({"url": "redis://:hunter2@cache"}, "redis://:***@cache"),
        ({"header": "authorization: Bearer hunter2"}, "authorization: Bearer ***"),
        ({"header": "Bearer hunter2"}, "Bearer ***"),
        ({"body": '{"username": "a", "password": "hunter2"}'}, '{"username": "a", "password": "***"}'),
        ({"note": "of eyJhbGciOi.eyJzdWIi.c2ln, refused"}, "of ***, refused"),
        ({"attempt": 2, "ok": True, "nothing": None}, 2),
        ({"error": ValueError("secret=hunter2")}, "secret=***"),
    ],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_never_reach_a_log(
    capsys: pytest.CaptureFixture[str], field: dict[str, Any], shown: Any, log_format: Any
) -> None:
    configure_logging("gateway", "INFO", log_format)
    get_logger("redaction").info("seen", **field)
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "eyJ" not in written
    if log_format == "json":
        assert json.loads(written)[next(iter(field))] == shown


def test_a_terminal_gets_readable_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    configure_logging("gateway", "INFO", "auto")
    get_logger("terminal").info("ready", port=8000)
    assert "ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_anything_else_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway")
    get_logger("no terminal").info("ready")
    assert lines(capsys)[0]["event"] == "ready"


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "INFO", "json")
    configure_logging("embedded", "INFO", "json")
    logging.getLogger("twice").info("once")
    assert [line["service"] for line in lines(capsys)] == ["embedded"]


def test_a_line_belongs_to_the_service_that_is_entered(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("embedded", "INFO", "json")
    configure_tracing("embedded")
    try:
        get_logger("entered").info("of all")
        enter_service("gateway")
        get_logger("entered").info("of one")
    finally:
        enter_service("")
        shutdown_tracing()
    assert [line["service"] for line in lines(capsys)] == ["embedded", "gateway"]


def test_what_json_does_not_know_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "INFO", "json")
    get_logger("objects").info("seen", kind=ValueError, many={1, 2})
    (line,) = lines(capsys)
    assert line["kind"] == "<class 'ValueError'>"
    assert line["many"] == [1, 2]


def test_a_record_that_cannot_be_formatted_stops_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would raise
    configure_logging("gateway", "INFO", "json")
    logging.getLogger("broken").info("%d items", "many")
    assert "Logging error" in capsys.readouterr().err
