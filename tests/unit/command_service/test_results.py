import pytest

from command_service.domain.command import Command, Status
from command_service.domain.results import Outcome, OutcomeKind, Progress, Receipt, Result, record
from tests.unit.command_service.builders import after, in_progress

LIMIT = 5


def result(
    command: Command, number: int, content: str | Progress | Outcome, *, attempt: int = 1, connector: str = "c1"
) -> Result:
    return Result(command.command_id, attempt, number, content, connector, after(1))


def done(kind: OutcomeKind, **facts: object) -> Outcome:
    return Outcome(kind, **facts)  # type: ignore[arg-type]


def test_results_are_numbered_in_order_and_a_repeat_changes_nothing() -> None:
    command = in_progress()
    first = record(command, result(command, 1, '{"a":1}'), after(1), LIMIT)
    assert first.receipt is Receipt.RECORDED
    assert first.response is not None
    assert (first.response.sequence_number, first.response.body) == (1, '{"a":1}')
    assert record(command, result(command, 1, '{"a":1}'), after(1), LIMIT).receipt is Receipt.REPEATED
    assert record(command, result(command, 3, '{"a":3}'), after(1), LIMIT).receipt is Receipt.TOO_EARLY
    assert record(command, result(command, 2, Progress(0x78)), after(1), LIMIT).receipt is Receipt.RECORDED
    assert command.progress_nrc == 0x78
    ended = record(command, result(command, 3, done(OutcomeKind.COMPLETED)), after(2), LIMIT)
    assert ended.receipt is Receipt.RECORDED
    assert (command.status, command.responses) == (Status.COMPLETED, 1)
    assert record(command, result(command, 3, done(OutcomeKind.COMPLETED)), after(2), LIMIT).receipt is Receipt.REPEATED


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome(OutcomeKind.FAILED, "NEGATIVE_RESPONSE", "no", 0x22), Status.FAILED, "NEGATIVE_RESPONSE"),
        (Outcome(OutcomeKind.FAILED), Status.FAILED, "VEHICLE_FAILURE"),
        (Outcome(OutcomeKind.CANCELLED), Status.FAILED, "CANCELLED_BY_VEHICLE"),
        (Outcome(OutcomeKind.TIMED_OUT), Status.PENDING, ""),
        (Outcome(OutcomeKind.LOST), Status.PENDING, ""),
        (Outcome(OutcomeKind.NOT_HANDED_OVER, dispatch_number=1), Status.PENDING, ""),
    ],
)
def test_outcomes_of_a_repeatable_command(outcome: Outcome, status: Status, code: str) -> None:
    command = in_progress()
    assert record(command, result(command, 1, outcome), after(1), LIMIT).receipt is Receipt.RECORDED
    assert (command.status, command.error_code) == (status, code)
    assert command.attempt == (2 if outcome.kind in (OutcomeKind.TIMED_OUT, OutcomeKind.LOST) else 1)


@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.LOST])
def test_what_nobody_could_read_is_kept_with_the_outcome(kind: OutcomeKind) -> None:
    command = in_progress()
    ended = result(command, 1, done(kind, code="BAD_VEHICLE_RESPONSE", message="no list", unreadable="0x5902"))
    recording = record(command, ended, after(1), LIMIT)
    assert recording.receipt is Receipt.RECORDED
    assert recording.evidence is not None
    kept = recording.evidence
    assert (kept.kind, kept.reason, kept.body, kept.attempt) == ("unreadable", "unreadable", "0x5902", 1)
    assert "0x5902" not in command.error_message


def test_what_comes_after_the_end_is_evidence_and_changes_nothing() -> None:
    command = in_progress(repeatable=False)
    record(command, result(command, 1, done(OutcomeKind.TIMED_OUT)), after(30), LIMIT)
    assert command.error_code == "OUTCOME_UNKNOWN"
    revision = command.revision
    late = record(command, result(command, 2, '{"cleared":true}'), after(31), LIMIT)
    assert late.evidence is not None
    assert (late.evidence.kind, late.evidence.reason, late.evidence.body) == (
        "response",
        "after_end",
        '{"cleared":true}',
    )
    outcome = record(command, result(command, 3, done(OutcomeKind.COMPLETED)), after(31), LIMIT)
    assert outcome.evidence is not None
    assert outcome.evidence.kind == "outcome"
    assert (command.status, command.revision, command.responses) == (Status.FAILED, revision, 0)


def test_a_timeout_takes_no_number_from_the_vehicle() -> None:
    """It comes back, to another connector, and goes on from where it was."""
    command = in_progress(repeatable=False)
    record(command, result(command, 1, '{"a":1}'), after(1), LIMIT)
    timed_out = result(command, 2, done(OutcomeKind.TIMED_OUT))
    assert record(command, timed_out, after(30), LIMIT).receipt is Receipt.RECORDED
    assert record(command, timed_out, after(31), LIMIT).receipt is Receipt.REPEATED
    late = record(command, result(command, 2, done(OutcomeKind.COMPLETED), connector="c2"), after(40), LIMIT)
    assert late.evidence is not None
    assert record(command, result(command, 1, '{"a":1}', connector="c2"), after(40), LIMIT).receipt is Receipt.REPEATED


def test_an_older_attempt_is_evidence() -> None:
    command = in_progress()
    record(command, result(command, 1, done(OutcomeKind.TIMED_OUT)), after(30), LIMIT)
    late = record(command, result(command, 2, Progress(0x78, "busy"), attempt=1), after(31), LIMIT)
    assert late.evidence is not None
    assert (late.evidence.kind, late.evidence.reason) == ("progress", "older_attempt")
    assert "0x78" in late.evidence.body


def test_another_connector_is_not_listened_to() -> None:
    command = in_progress()
    stranger = result(command, 1, done(OutcomeKind.COMPLETED), connector="c2")
    assert record(command, stranger, after(1), LIMIT).receipt is Receipt.NOT_THE_CARRIER
    assert command.status is Status.IN_PROGRESS


def test_not_handed_over_speaks_of_one_dispatch_only() -> None:
    command = in_progress()
    stale = result(command, 1, done(OutcomeKind.NOT_HANDED_OVER, dispatch_number=0))
    assert record(command, stale, after(1), LIMIT).receipt is Receipt.REPEATED
    assert command.status is Status.IN_PROGRESS


def test_too_many_responses_end_the_command() -> None:
    command = in_progress()
    for number in range(1, LIMIT + 1):
        record(command, result(command, number, "{}"), after(1), LIMIT)
    one_more = result(command, LIMIT + 1, '{"count":1}')
    over = record(command, one_more, after(2), LIMIT)
    assert over.response is None
    assert over.evidence is not None
    assert (over.evidence.body, over.evidence.reason) == ('{"count":1}', "after_end")
    assert record(command, one_more, after(3), LIMIT).receipt is Receipt.REPEATED
    assert (command.status, command.error_code, command.responses) == (Status.FAILED, "TOO_MANY_RESPONSES", LIMIT)
