"""run_service in a process of its own, as it is in production."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service_kit.settings import EXIT_BAD_SETTINGS

SERVICES = Path(__file__).parents[3] / "services"
PROGRAM = Path(__file__).with_name("sample_service.py")


@contextmanager
def started(behaviour: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "PYTHONPATH": str(SERVICES),
        "SERVICE_TOKEN": "a-service-token-of-32-characters",
        "LOG_FORMAT": "json",
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, PROGRAM, behaviour],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> tuple[int, list[str], list[dict[str, Any]]]:
    """Exit code, what else it printed, and its log lines."""
    out, err = process.communicate(timeout=30)
    return process.returncode, out.splitlines(), [json.loads(text) for text in err.splitlines()]


def test_runs_until_a_signal_and_stops_in_order() -> None:
    with started("serve") as process:
        assert line(process) == "ready on uvloop"
        process.send_signal(signal.SIGTERM)
        assert end(process) == (0, ["drained", "closed"], [])


def test_a_second_signal_ends_it_at_once() -> None:
    with started("hang") as process:
        assert line(process) == "ready on uvloop"
        process.send_signal(signal.SIGTERM)
        assert line(process) == "draining"
        process.send_signal(signal.SIGINT)
        assert end(process) == (128 + signal.SIGINT, [], [])


def test_a_signal_while_starting_stops_the_start() -> None:
    with started("slow start") as process:
        assert line(process) == "starting"
        process.send_signal(signal.SIGTERM)
        code, out, logged = end(process)
        assert (code, out, [entry["event"] for entry in logged]) == (0, ["closed"], ["stopped_while_starting"])


@pytest.mark.parametrize(
    ("behaviour", "reason", "exit_code"),
    [
        ("no database", "DATABASE_URL: the database is not migrated; run `sovd migrate`", 1),
        ("no broker", "[Errno 111] Connection refused by the broker", 1),
        ("refused", "the code is not good", EXIT_BAD_SETTINGS),
        ("no text", "TimeoutError", 1),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(behaviour: str, reason: str, exit_code: int) -> None:
    with started(behaviour) as process:
        code, out, (entry,) = end(process)
    assert (code, out) == (exit_code, ["closed"])
    assert (entry["level"], entry["event"], entry["reason"]) == ("error", "start_failed", reason)
    assert entry["service"] == "sample"
    assert "exception" not in entry


def test_a_part_that_fails_ends_it_with_one_logged_error() -> None:
    with started("failing part") as process:
        code, out, (entry,) = end(process)
    assert (code, out) == (1, ["ready on uvloop", "drained", "closed"])
    assert (entry["event"], entry["part"], entry["service"]) == ("part_failed", "loop", "sample")
    assert "ValueError: broken" in entry["exception"]


def test_a_bug_at_the_start_shows_where_it_is() -> None:
    with started("bug") as process:
        code, _, (entry,) = end(process)
    assert (code, entry["event"]) == (1, "crashed")
    assert "ZeroDivisionError" in entry["exception"]


def test_metrics_are_served_as_long_as_it_runs() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with started("serve", METRICS_PORT=str(port)) as process:
        assert line(process) == "ready on uvloop"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"process_resident_memory_bytes" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert end(process)[0] == 0


def test_a_metrics_port_that_is_taken_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        with started("serve", METRICS_PORT=str(port)) as process:
            code, out, (entry,) = end(process)
    assert (code, out) == (1, [])
    assert entry["reason"] == f"[Errno 98] METRICS_PORT {port}: Address already in use"


def test_bad_settings_end_it_before_anything_else() -> None:
    with started("serve", SERVICE_TOKEN="short", METRICS_PORT="x") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 78
    assert [complaint.split(":")[0] for complaint in err.splitlines()] == ["METRICS_PORT", "SERVICE_TOKEN"]
