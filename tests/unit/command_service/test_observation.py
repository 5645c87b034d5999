"""What became of commands is counted and logged, with their command_id and trace_id."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY

from command_service import observation
from command_service.dispatch import Dispatcher, WokenVehicles
from command_service.domain.command import Command, Status
from command_service.domain.preconditions import PreconditionRules
from command_service.domain.results import Evidence
from command_service.use_cases.dispatch_commands import DispatchCommands
from command_service.use_cases.find_preconditions import FindPreconditions
from command_service.use_cases.ports import Storage
from service_kit.logging import configure_logging
from service_kit.messaging.port import Messaging, OutgoingMessage, PublishError, Unroutable
from service_kit.tracing import configure_tracing, shutdown_tracing
from sovd_protos.connector.v1.connector_pb2 import DispatchedCommands
from tests.support.waiting import until
from tests.unit.command_service.builders import START, VEHICLE, a_command, after, in_progress

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-b7ad6b7169203331-{flags}" for flags in ("01", "00"))

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """What was logged since it was last asked."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("command_service", "INFO", "json")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers, root.level = handlers, level
    logging.getLogger("alembic").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_a_command_that_completed_is_counted_and_not_worth_a_line(lines: Lines) -> None:
    ended = {"command_name": "ReadDTC", "outcome": "completed"}
    before, took = count("sovd_commands_total", **ended), "sovd_command_duration_seconds_sum"
    seconds = count(took, command_name="ReadDTC")
    command = in_progress()
    command.complete(after(2.5))
    observation.status_recorded(command, command.status)
    assert count("sovd_commands_total", **ended) == before + 1
    assert count(took, command_name="ReadDTC") == seconds + 2.5
    assert lines() == []


def test_a_command_that_did_not_complete_is_logged(lines: Lines) -> None:
    command = in_progress(traceparent=UNSAMPLED)
    command.fail(after(1), "NEGATIVE_RESPONSE", "conditions not correct", 0x22)
    observation.status_recorded(command, command.status)
    (line,) = lines()
    assert (
        line.items()
        >= {
            "event": "command_not_completed",
            "level": "info",
            "command_id": command.command_id,
            "trace_id": TRACE,
            "outcome": "failed",
            "code": "NEGATIVE_RESPONSE",
            "attempt": 1,
        }.items()
    )


def test_a_command_that_goes_back_to_the_queue(lines: Lines) -> None:
    before = count("sovd_dispatch_retries_total", command_name="ReadDTC")
    command = a_command(traceparent=SAMPLED)
    command.dispatch("c1", 1, START)
    command.return_to_queue(after(1))
    observation.status_recorded(command, command.status)
    (line,) = lines()
    assert (line["event"], line["command_id"], line["trace_id"]) == ("command_waits_again", command.command_id, TRACE)
    assert (line["attempt"], line["dispatches"]) == (1, 1)
    assert count("sovd_dispatch_retries_total", command_name="ReadDTC") == before + 1


def test_the_wait_ends_with_the_hand_over(lines: Lines) -> None:
    before, dispatched = (count(f"sovd_command_{stage}_seconds_count") for stage in ("queue_wait", "dispatch"))
    command = in_progress()
    observation.status_recorded(command, command.status)
    assert count("sovd_command_queue_wait_seconds_count") == before + 1
    assert count("sovd_command_dispatch_seconds_count") == dispatched + 1
    command.record_progress(0x78)
    command.results_recorded = 1
    observation.status_recorded(command, Status.IN_PROGRESS)
    assert count("sovd_command_queue_wait_seconds_count") == before + 1
    assert lines() == []


@pytest.mark.parametrize(("seconds", "overdue"), [(60, 0), (89, 0), (91, 1)])
def test_a_command_that_ends_long_after_its_time_out_is_overdue(lines: Lines, seconds: float, overdue: int) -> None:
    before = count("sovd_commands_overdue_total", command_name="ReadDTC")
    command = in_progress()
    assert command.timeout_seconds == 30
    command.complete(after(seconds))
    observation.status_recorded(command, command.status)
    assert count("sovd_commands_overdue_total", command_name="ReadDTC") == before + overdue
    assert lines() == []


@pytest.mark.parametrize(("late", "overdue"), [(59, 0), (61, 1)])
def test_a_command_that_expires_long_after_its_expiry_is_overdue(late: float, overdue: int) -> None:
    before = count("sovd_commands_overdue_total", command_name="ReadDTC")
    command = a_command()
    command.expire(command.expires_at + timedelta(seconds=late), "EXPIRED", "never online")
    observation.status_recorded(command, command.status)
    assert count("sovd_commands_overdue_total", command_name="ReadDTC") == before + overdue


def test_late_results_are_one_line_for_all_that_came_together(lines: Lines) -> None:
    before = count("sovd_late_results_total")
    command = in_progress(traceparent=SAMPLED)
    late = [Evidence(command.command_id, 1, number, "response", "{}", "after_end", START) for number in (4, 5)]
    observation.results_came_late(command, late)
    (line,) = lines()
    assert (line["event"], line["command_id"], line["trace_id"]) == ("late_results_kept", command.command_id, TRACE)
    assert (line["results"], line["attempt"], line["reason"]) == (2, 1, "after_end")
    assert count("sovd_late_results_total") == before + 2


# What the broker does not take over


class Broker:
    """Takes all but the first."""

    connected = True

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishError | None]:
        self.messages += messages
        return [Unroutable("connector.c1"), *[None] * (len(messages) - 1)]


class Dispatch:
    """Gives out its commands once, and is given back what was not published."""

    def __init__(self, commands: list[Command]) -> None:
        self._commands = commands
        self.taken_back: list[tuple[str, int]] = []

    async def __call__(self, vehicle_ids: Sequence[str]) -> list[Command]:
        commands, self._commands = self._commands, []
        return commands

    async def take_back(self, unpublished: Sequence[tuple[str, int]]) -> int:
        self.taken_back += unpublished
        return len(unpublished)


async def dispatched(*commands: Command) -> tuple[Broker, Dispatch]:
    """Each to a connector of its own, but for those that have one."""
    for number, command in enumerate(commands, 1):
        if command.status is Status.PENDING:
            command.dispatch(f"c{number}", 1, START)
    broker, dispatch, woken = Broker(), Dispatch(list(commands)), WokenVehicles()
    nowhere = cast("Storage", None)
    none_needed = FindPreconditions(nowhere, PreconditionRules())
    dispatcher = Dispatcher(cast("DispatchCommands", dispatch), none_needed, nowhere, woken, cast("Messaging", broker))
    running = asyncio.create_task(dispatcher.run())
    woken.wake([VEHICLE])
    await until(lambda: dispatch.taken_back)
    await dispatcher.drain()
    running.cancel()
    return broker, dispatch


async def test_what_the_broker_does_not_take_is_taken_back_and_logged(lines: Lines) -> None:
    before = count("sovd_unpublished_dispatches_total", reason="unroutable")
    lost, taken = a_command(traceparent=UNSAMPLED), a_command()
    _, dispatch = await dispatched(lost, taken)
    assert dispatch.taken_back == [(lost.command_id, 1)]
    (line,) = lines()
    assert (
        line.items()
        >= {
            "event": "command_not_dispatched",
            "level": "warning",
            "command_id": lost.command_id,
            "trace_id": TRACE,
            "reason": "unroutable",
            "connector_id": "c1",
        }.items()
    )
    assert count("sovd_unpublished_dispatches_total", reason="unroutable") == before + 1


async def test_a_dispatch_is_a_span_from_the_publish_to_the_confirm() -> None:
    configure_tracing("command_service", spans := InMemorySpanExporter())
    try:
        lost, taken, unsampled = (a_command(traceparent=trace) for trace in (SAMPLED, SAMPLED, UNSAMPLED))
        broker, _ = await dispatched(lost, taken, unsampled)
    finally:
        shutdown_tracing()
    failed, sent = spans.get_finished_spans()
    assert failed.kind == sent.kind == SpanKind.PRODUCER
    assert (failed.status.status_code, sent.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert sent.attributes is not None
    assert sent.attributes["command_id"] == taken.command_id
    assert sent.context is not None
    on = [f"00-{TRACE}-{span.context.span_id:016x}-01" for span in (failed, sent) if span.context]
    assert [message.headers["traceparent"] for message in broker.messages] == [*on, UNSAMPLED]
    bodies = [DispatchedCommands.FromString(message.body) for message in broker.messages]
    assert [command.traceparent for body in bodies for command in body.commands] == [*on, UNSAMPLED]


async def test_commands_for_one_connector_travel_together() -> None:
    first = [a_command() for _ in range(20)]
    second = [a_command() for _ in range(2)]
    for connector_id, commands in (("c1", first), ("c2", second)):
        for command in commands:
            command.dispatch(connector_id, 1, START)
    broker, dispatch = await dispatched(*first[:10], *second, *first[10:])
    bodies = [DispatchedCommands.FromString(message.body).commands for message in broker.messages]
    travelled = [[command.command_id for command in body] for body in bodies]
    ids = [command.command_id for command in first]
    assert travelled == [ids[:16], ids[16:], [command.command_id for command in second]]
    assert [message.routing_key for message in broker.messages] == ["connector.c1", "connector.c1", "connector.c2"]
    # With a message that is not taken over, all its commands are taken back, and no others.
    assert [command_id for command_id, _ in dispatch.taken_back] == ids[:16]
