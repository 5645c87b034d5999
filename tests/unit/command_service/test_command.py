from datetime import timedelta

import pytest

from command_service.domain.command import (
    MAX_ATTEMPTS,
    CancelOutcome,
    ClaimRefusal,
    IllegalTransition,
    Status,
    UnknownFate,
)
from tests.unit.command_service.builders import START, a_command, after, in_progress


def test_the_straight_life_of_a_command() -> None:
    command = a_command()
    command.dispatch("c1", 1, after(1))
    assert command.claim(1, "c1", 1, after(2)) is None
    assert (command.status, command.started_at, command.deadline_at) == (Status.IN_PROGRESS, after(2), after(32))
    assert [command.record_response(after(3)), command.record_response(after(4))] == [1, 2]
    command.complete(after(5))
    assert (command.status, command.completed_at, command.responses) == (Status.COMPLETED, after(5), 2)
    assert command.revision == 4


@pytest.mark.parametrize("ending", [Status.COMPLETED, Status.FAILED])
def test_a_terminal_state_refuses_every_transition(ending: Status) -> None:
    command = in_progress()
    command.complete(after(1)) if ending is Status.COMPLETED else command.fail(
        after(1), "NEGATIVE_RESPONSE", "no", 0x22
    )
    for transition in (
        lambda: command.dispatch("c2", 2, after(2)),
        lambda: command.return_to_queue(after(2)),
        lambda: command.record_response(after(2)),
        lambda: command.record_progress(0x78),
        lambda: command.complete(after(2)),
        lambda: command.fail(after(2), "X", "x"),
        lambda: command.stopped_by_vehicle(after(2)),
        lambda: command.fate_unknown(UnknownFate.SILENT, after(2)),
        lambda: command.lose_session(after(2)),
        lambda: command.take_up("c2", 2, after(2)),
        lambda: command.expire(after(1000), "EXPIRED", "late"),
    ):
        with pytest.raises(IllegalTransition):
            transition()
    assert command.status is ending
    assert command.cancel("admin", after(3)) is CancelOutcome.TOO_LATE
    assert command.completed_at == after(1)


class TestClaim:
    def test_only_the_latest_dispatch_may_be_claimed(self) -> None:
        command = a_command()
        command.dispatch("c1", 1, START)
        command.return_to_queue(after(10))
        command.dispatch("c1", 1, after(11))
        assert command.claim(1, "c1", 1, after(12)) is ClaimRefusal.STALE
        assert command.claim(2, "c1", 1, after(12)) is None

    def test_another_connector_may_not(self) -> None:
        command = a_command()
        command.dispatch("c1", 1, START)
        assert command.claim(1, "c2", 1, START) is ClaimRefusal.STALE

    def test_nor_an_older_session(self) -> None:
        command = a_command()
        command.dispatch("c1", 2, START)
        assert command.claim(1, "c1", 1, START) is ClaimRefusal.SESSION_SUPERSEDED

    def test_nor_after_the_expiry(self) -> None:
        command = a_command()
        command.dispatch("c1", 1, START)
        assert command.claim(1, "c1", 1, command.expires_at) is ClaimRefusal.EXPIRED
        assert command.status is Status.DISPATCHED

    def test_a_cancelled_one_says_so(self) -> None:
        command = a_command()
        command.dispatch("c1", 1, START)
        command.cancel("engineer", START)
        assert command.claim(1, "c1", 1, START) is ClaimRefusal.CANCELLED

    def test_asking_again_is_answered_the_same_until_something_was_recorded(self) -> None:
        command = in_progress(repeatable=False)
        revision = command.revision
        assert command.claim(1, "c1", 1, after(1)) is None
        assert command.revision == revision
        command.record_response(after(2))
        assert command.claim(1, "c1", 1, after(3)) is ClaimRefusal.STALE


class TestUnknownFate:
    def test_not_repeatable_ends_with_outcome_unknown(self) -> None:
        for cause in UnknownFate:
            command = in_progress(repeatable=False)
            command.fate_unknown(cause, after(30))
            assert (command.status, command.error_code) == (Status.FAILED, "OUTCOME_UNKNOWN")

    @pytest.mark.parametrize(
        ("cause", "ending"),
        [(UnknownFate.SILENT, Status.TIMED_OUT), (UnknownFate.CONNECTION_LOST, Status.FAILED)],
    )
    def test_repeatable_is_tried_again_until_the_attempts_are_used_up(self, cause: UnknownFate, ending: Status) -> None:
        command = in_progress()
        command.record_response(after(1))
        for attempt in range(2, MAX_ATTEMPTS + 1):
            command.fate_unknown(cause, after(30))
            assert (command.status, command.attempt, command.results_recorded) == (Status.PENDING, attempt, 0)
            command.dispatch("c1", 1, after(31))
            assert command.claim(attempt, "c1", 1, after(31)) is None
        command.fate_unknown(cause, after(90))
        assert (command.status, command.error_code) == (ending, cause.value)
        assert command.responses == 1

    def test_not_after_its_expiry(self) -> None:
        command = in_progress(expires_at=after(20))
        command.fate_unknown(UnknownFate.SILENT, after(30))
        assert command.status is Status.TIMED_OUT

    def test_nor_after_a_cancel(self) -> None:
        command = in_progress()
        command.cancel("engineer", after(1))
        command.fate_unknown(UnknownFate.SILENT, after(30))
        assert (command.status, command.cancel_outcome) == (Status.CANCELLED, CancelOutcome.CANCELLED)

    def test_a_cancelled_write_whose_fate_is_unknown_says_unknown(self) -> None:
        command = in_progress(repeatable=False)
        command.cancel("engineer", after(1))
        command.fate_unknown(UnknownFate.SILENT, after(30))
        assert (command.error_code, command.cancel_outcome) == ("OUTCOME_UNKNOWN", CancelOutcome.UNKNOWN)


class TestCancel:
    def test_waiting_or_dispatched_it_is_prevented(self) -> None:
        for dispatched in (False, True):
            command = a_command()
            if dispatched:
                command.dispatch("c1", 1, START)
            assert command.cancel("engineer", after(1)) is CancelOutcome.PREVENTED
            assert (command.status, command.error_code) == (Status.CANCELLED, "CANCELLED")

    def test_once_the_vehicle_had_it_nobody_says_that_it_was_prevented(self) -> None:
        command = in_progress()
        command.fate_unknown(UnknownFate.SILENT, after(30))
        assert (command.status, command.attempt) == (Status.PENDING, 2)
        assert command.cancel("engineer", after(31)) is CancelOutcome.CANCELLED
        assert (command.status, command.cancel_outcome) == (Status.CANCELLED, CancelOutcome.CANCELLED)

    def test_in_progress_it_is_up_to_the_vehicle(self) -> None:
        command = in_progress()
        revision = command.revision
        assert command.cancel("engineer", after(1)) is CancelOutcome.REQUESTED
        assert command.cancel("admin", after(2)) is CancelOutcome.REQUESTED
        assert (command.status, command.cancel_requested_by, command.cancel_pending) == (
            Status.IN_PROGRESS,
            "engineer",
            True,
        )
        assert command.revision == revision + 1
        command.stopped_by_vehicle(after(3))
        assert (command.status, command.cancel_outcome) == (Status.CANCELLED, CancelOutcome.CANCELLED)

    def test_a_vehicle_that_was_quicker_makes_it_too_late(self) -> None:
        for end in ("complete", "fail"):
            command = in_progress()
            command.cancel("engineer", after(1))
            command.complete(after(2)) if end == "complete" else command.fail(after(2), "X", "x")
            assert command.cancel_outcome == CancelOutcome.TOO_LATE

    def test_one_that_was_not_handed_over_after_all_is_prevented(self) -> None:
        command = in_progress()
        command.cancel("engineer", after(1))
        command.return_to_queue(after(2))
        assert (command.status, command.cancel_outcome) == (Status.CANCELLED, CancelOutcome.PREVENTED)
        assert command.completed_at == after(2)

    def test_a_vehicle_that_stops_by_itself_has_failed(self) -> None:
        command = in_progress()
        command.stopped_by_vehicle(after(1))
        assert (command.status, command.error_code) == (Status.FAILED, "CANCELLED_BY_VEHICLE")


class TestSession:
    def test_the_time_away_does_not_count(self) -> None:
        command = in_progress()
        command.lose_session(after(10))
        command.lose_session(after(12))
        command.take_up("c2", 2, after(25))
        assert command.deadline_at == after(45)
        assert (command.connector_id, command.session_epoch, command.session_lost_at) == ("c2", 2, None)

    @pytest.mark.parametrize(("timeout", "left"), [(30, 10), (5, 5)])
    def test_whoever_comes_back_has_time_to_send_what_it_has(self, timeout: int, left: int) -> None:
        """Its connector was killed: nobody noted since when its session is gone."""
        command = in_progress(timeout_seconds=timeout)
        command.take_up("c2", 2, after(29))
        assert command.deadline_at == after(29 + left)

    def test_the_gap_of_a_stream_begins_anew(self) -> None:
        stream = in_progress(stream=True, stream_duration_ms=60_000)
        stream.take_up("c2", 2, after(29))
        assert stream.deadline_at == after(59)

    def test_a_connector_that_is_back_with_its_session_gets_no_more_time(self) -> None:
        command = in_progress()
        command.take_up("c1", 1, after(29))
        assert command.deadline_at == after(30)

    def test_a_claim_whose_answer_was_lost_begins_anew(self) -> None:
        """The connector was cut off, and dropped: it hands over only now."""
        command = in_progress()
        command.lose_session(after(12))
        assert command.claim(1, "c1", 1, after(25)) is None
        assert (command.session_lost_at, command.deadline_at) == (None, after(55))


class TestExpiry:
    def test_waiting_and_dispatched_expire_but_not_before_their_time(self) -> None:
        command = a_command()
        with pytest.raises(IllegalTransition):
            command.expire(command.expires_at - timedelta(seconds=1), "EXPIRED", "late")
        command.dispatch("c1", 1, START)
        command.expire(command.expires_at, "EXPIRED_OFFLINE", "offline")
        assert (command.status, command.error_code) == (Status.EXPIRED, "EXPIRED_OFFLINE")
        assert command.claim(1, "c1", 1, command.expires_at) is ClaimRefusal.STALE

    def test_in_progress_does_not(self) -> None:
        with pytest.raises(IllegalTransition):
            in_progress().expire(after(1000), "EXPIRED", "late")


def test_an_answer_of_a_stream_moves_its_deadline() -> None:
    stream = in_progress(stream=True, stream_duration_ms=60_000)
    stream.record_response(after(20))
    assert stream.deadline_at == after(50)
    plain = in_progress()
    plain.record_response(after(20))
    assert plain.deadline_at == after(30)
