"""Counts and logs what became of commands."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import lru_cache

from command_service import metrics
from command_service.domain.command import Command, Status
from command_service.domain.results import Evidence
from service_kit.logging import command_context, get_logger

_log = get_logger(__name__)

# To find a series by its labels costs more than to count on it.
_ended_of = lru_cache(metrics.COMMANDS.labels)
_duration_of = lru_cache(metrics.COMMAND_DURATION.labels)
# What recovery may take: lease, grace, the return of a vehicle.
_SLACK = timedelta(seconds=60)


def status_recorded(command: Command, status: Status) -> None:
    """`status` is the command's, or was on the way there."""
    if status.terminal and command.completed_at is not None:
        _ended(command, status, (command.completed_at - command.created_at).total_seconds())
    elif status is Status.IN_PROGRESS and command.started_at is not None:
        just_handed_over = not command.results_recorded and command.cancel_requested_at is None
        if just_handed_over:
            metrics.QUEUE_WAIT.observe((command.started_at - command.created_at).total_seconds())
            if command.dispatched_at is not None:
                metrics.DISPATCH.observe((command.started_at - command.dispatched_at).total_seconds())
    elif status is Status.PENDING:
        metrics.DISPATCH_RETRIES.labels(command.command_name).inc()
        with _about(command):
            _log.info("command_waits_again", attempt=command.attempt, dispatches=command.dispatch_number)


def not_dispatched(command: Command, error: Exception) -> None:
    """The broker did not take it over."""
    reason = type(error).__name__.lower()
    metrics.UNPUBLISHED.labels(reason).inc()
    with _about(command):
        _log.warning("command_not_dispatched", reason=reason, connector_id=command.connector_id)


def results_came_late(command: Command, evidence: Sequence[Evidence]) -> None:
    metrics.LATE_RESULTS.inc(len(evidence))
    with _about(command):
        _log.info("late_results_kept", results=len(evidence), attempt=evidence[0].attempt, reason=evidence[0].reason)


def _ended(command: Command, status: Status, seconds: float) -> None:
    _ended_of(command.command_name, status.value).inc()
    _duration_of(command.command_name).observe(seconds)
    if _is_overdue(command):
        metrics.OVERDUE.labels(command.command_name).inc()
    if status is not Status.COMPLETED:
        with _about(command):
            _log.info("command_not_completed", outcome=status.value, code=command.error_code, attempt=command.attempt)


def _is_overdue(command: Command) -> bool:
    due = command.expires_at
    if command.started_at is not None and command.status is not Status.EXPIRED:
        due = command.started_at + command.timeout + timedelta(milliseconds=command.stream_duration_ms)
    return command.completed_at is not None and command.completed_at > due + _SLACK


def _about(command: Command) -> AbstractContextManager[None]:
    return command_context(command.command_id, command.traceparent)
