"""The use cases on both databases: accept, dispatch, claim, record, cancel."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from command_service.domain.command import CancelOutcome, ClaimRefusal, Status
from command_service.domain.results import Outcome, OutcomeKind, Progress
from command_service.use_cases.actor import Actor
from command_service.use_cases.claim_commands import ClaimRequest
from command_service.use_cases.ports import CommandFilter
from command_service.use_cases.read_commands import KnownState
from command_service.watchdog import forget_old_responses
from service_kit.errors import Conflict, Forbidden, InvalidInput, LimitExceeded, NotFound, ServiceError
from tests.integration.command_service.world import ADMIN, DONE, ENGINEER, VINS, World, a_submission


class TestSubmit:
    async def test_an_accepted_command_waits_and_wakes_the_dispatcher(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        command = await world.submit(vehicle_id, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
        stored = await world.command(command.command_id)
        assert (stored.status, stored.attempt, stored.timeout_seconds) == (Status.PENDING, 1, 30)
        assert (stored.expires_at - stored.created_at).total_seconds() == 900
        assert stored.traceparent == command.traceparent
        assert world.heard.woken == {vehicle_id}

    @pytest.mark.parametrize(
        ("facts", "code"),
        [
            ({"command_name": "Explode"}, "UNKNOWN_COMMAND_NAME"),
            ({"command_params": "{"}, "INVALID_PARAMETERS"),
            ({"command_params": "{}"}, "INVALID_PARAMETERS"),
            ({"command_params": "[]"}, "INVALID_PARAMETERS"),
            ({"command_params": '{"ecuAddress":"16"}'}, "INVALID_PARAMETERS"),
            ({"command_params": '{"ecuAddress":"0x10","other":1}'}, "INVALID_PARAMETERS"),
            ({"timeout_seconds": 601}, "VALIDATION_FAILED"),
            ({"timeout_seconds": 0}, "VALIDATION_FAILED"),
            ({"expires_in_seconds": 31 * 24 * 3600}, "VALIDATION_FAILED"),
            ({"priority": 101}, "VALIDATION_FAILED"),
            ({"command_params": "[" * 100_000}, "INVALID_PARAMETERS"),
            ({"command_id": "7"}, "VALIDATION_FAILED"),
            ({"command_id": str(uuid4()).upper()}, "VALIDATION_FAILED"),
            ({"idempotency_key": "\0"}, "VALIDATION_FAILED"),
            ({"traceparent": "\0"}, "VALIDATION_FAILED"),
            ({"actor": Actor("\0", "\0", "engineer")}, "VALIDATION_FAILED"),
            ({"vehicle_id": str(uuid4())}, "UNKNOWN_VEHICLE"),
            ({"actor": Actor(str(uuid4()), "viewer", "viewer")}, "FORBIDDEN"),
        ],
    )
    async def test_one_bad_submission_fails_alone(self, world: World, facts: dict[str, object], code: str) -> None:
        vehicle_id = await world.vehicle()
        bad = a_submission(**{"vehicle_id": vehicle_id, **facts})  # type: ignore[arg-type]
        answers = await world.submit_all([a_submission(vehicle_id), bad, a_submission(vehicle_id)])
        assert [isinstance(answer, ServiceError) for answer in answers] == [False, True, False]
        assert isinstance(answers[1], ServiceError)
        assert answers[1].code == code
        assert len((await world.read.page(CommandFilter(), 10, ""))[0]) == 2

    async def test_the_same_submission_twice_in_one_call_is_taken_once(self, world: World) -> None:
        submission = a_submission(await world.vehicle())
        first, second = await world.submit_all([submission, submission])
        assert not isinstance(first, ServiceError)
        assert isinstance(second, InvalidInput)

    async def test_errors_name_the_field_and_what_is_allowed(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        (error,) = await world.submit_all([a_submission(vehicle_id, command_params='{"ecuAddress":"16"}')])
        assert isinstance(error, InvalidInput)
        assert error.details["errors"][0]["field"] == "command_params.ecuAddress"
        assert "0x and 1 to 8 hexadecimal digits" in error.message

    async def test_sent_again_it_is_the_same_command(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        submission = a_submission(vehicle_id)
        (first,) = await world.submit_all([submission])
        again = await world.submit_all([submission, a_submission(vehicle_id)])
        assert not any(isinstance(answer, ServiceError) for answer in (first, *again))
        assert len((await world.read.page(CommandFilter(), 10, ""))[0]) == 2
        (stolen,) = await world.submit_all([a_submission(vehicle_id, command_id=submission.command_id, actor=ADMIN)])
        assert isinstance(stolen, Conflict)

    async def test_a_key_gives_the_same_command_for_the_same_request(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        first = await world.submit(vehicle_id, idempotency_key="k", request_hash=b"1")
        second = await world.submit(vehicle_id, idempotency_key="k", request_hash=b"1")
        assert second.command_id == first.command_id
        (other,) = await world.submit_all([a_submission(vehicle_id, idempotency_key="k", request_hash=b"2")])
        assert isinstance(other, Conflict)
        assert other.code == "IDEMPOTENCY_CONFLICT"
        theirs = await world.submit(vehicle_id, idempotency_key="k", request_hash=b"2", actor=ADMIN)
        assert theirs.command_id != first.command_id

    async def test_twins_in_one_batch_are_one_command(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        keyed: dict[str, Any] = {"idempotency_key": "k", "request_hash": b"1"}
        a, b, c = await world.submit_all(
            [
                a_submission(vehicle_id, **keyed),
                a_submission(vehicle_id, **keyed),
                a_submission(vehicle_id, idempotency_key="k", request_hash=b"2"),
            ]
        )
        assert not isinstance(a, ServiceError)
        assert a == b
        assert isinstance(c, Conflict)

    async def test_a_rejected_request_consumes_no_key(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        bad = a_submission(str(uuid4()), idempotency_key="k", request_hash=b"1")
        assert isinstance((await world.submit_all([bad]))[0], NotFound)
        await world.submit(vehicle_id, idempotency_key="k", request_hash=b"2")

    async def test_the_same_key_at_the_same_time_makes_one_command(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        answers = await asyncio.gather(
            *(world.submit(vehicle_id, idempotency_key="k", request_hash=b"1") for _ in range(8))
        )
        assert len({command.command_id for command in answers}) == 1
        assert len((await world.read.page(CommandFilter(), 10, ""))[0]) == 1

    async def test_a_full_queue_refuses_and_replays_are_still_answered(self, world: World) -> None:
        small = world.with_limits(max_pending_per_vehicle=2)
        vehicle_id = await world.vehicle()
        first = await small.submit(vehicle_id, idempotency_key="k", request_hash=b"1")
        answers = await small.submit_all([last := a_submission(vehicle_id), a_submission(vehicle_id)])
        assert isinstance(answers[1], LimitExceeded)
        assert answers[1].code == "VEHICLE_QUEUE_FULL"
        assert (await small.submit(vehicle_id, idempotency_key="k", request_hash=b"1")).command_id == first.command_id
        assert (await small.submit_all([last]))[0] == answers[0]


class TestDispatchOnAcceptance:
    async def test_what_may_run_is_accepted_as_dispatched(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        session = await world.online()
        world.heard.connected = True
        world.heard.woken.clear()
        answers = await world.submit_all([a_submission(vehicle_id), a_submission(vehicle_id)])
        first, second = (answer[0] for answer in answers if not isinstance(answer, ServiceError))
        stored = await world.command(first.command_id)
        assert (stored.status, stored.dispatch_number, stored.revision) == (Status.DISPATCHED, 1, 2)
        assert (stored.connector_id, stored.session_epoch) == ("c1", session.session_epoch)
        assert stored.dispatched_at is not None
        assert [command.command_id for command in world.heard.published] == [first.command_id]
        assert await world.statuses(second) == [Status.PENDING]
        assert world.heard.woken == {vehicle_id}
        assert (await world.claim(stored)).refusal is None

    async def test_never_ahead_of_what_waits(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        waiting = await world.submit(vehicle_id)
        await world.online()
        world.heard.connected = True
        later = await world.submit(vehicle_id)
        beside = await world.submit(vehicle_id, "ReadDataByID")
        assert await world.statuses(waiting, later, beside) == [Status.PENDING, Status.PENDING, Status.DISPATCHED]
        urgent = await world.submit(vehicle_id, priority=5)
        assert await world.statuses(urgent) == [Status.DISPATCHED]

    async def test_an_offline_vehicle_waits(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        world.heard.connected = True
        assert await world.statuses(await world.submit(vehicle_id)) == [Status.PENDING]
        assert world.heard.published == []


class TestDispatch:
    async def test_only_what_may_run_on_a_vehicle_that_is_there(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        first, second = await world.submit(vehicle_id), await world.submit(vehicle_id)
        beside = await world.submit(vehicle_id, "ReadDataByID")
        assert await world.dispatch([vehicle_id]) == []
        session = await world.online()
        assert world.heard.vehicles == [(vehicle_id, "online")]
        dispatched = await world.dispatch([vehicle_id])
        assert {command.command_id for command in dispatched} == {first.command_id, beside.command_id}
        assert {(c.connector_id, c.session_epoch, c.dispatch_number) for c in dispatched} == {
            ("c1", session.session_epoch, 1)
        }
        assert await world.dispatch([vehicle_id]) == []
        assert await world.statuses(second) == [Status.PENDING]

    async def test_what_the_broker_did_not_take_waits_again_and_its_message_is_fenced(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.submit(vehicle_id)
        (command,) = await world.dispatch([vehicle_id])
        assert await world.dispatch.take_back([(command.command_id, 7)]) == 0
        assert await world.dispatch.take_back([(command.command_id, 1)]) == 1
        (again,) = await world.dispatch([vehicle_id])
        assert (again.dispatch_number, again.attempt) == (2, 1)
        assert (await world.claim(command)).refusal is ClaimRefusal.STALE
        assert (await world.claim(again)).refusal is None

    async def test_two_dispatchers_at_once_dispatch_once(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        for _ in range(3):
            await world.submit(vehicle_id)
        dispatched = await asyncio.gather(*(world.dispatch([vehicle_id]) for _ in range(4)))
        assert sum(map(len, dispatched)) == 1


class TestClaim:
    async def test_the_answers_by_case(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.submit(vehicle_id)
        (command,) = await world.dispatch([vehicle_id])
        unknown = ClaimRequest(str(uuid4()), 1, 1, "c1")
        stranger = ClaimRequest(command.command_id, 1, command.session_epoch, "c2")
        answers = await world.claim_all([unknown, stranger])
        assert [answer.refusal for answer in answers] == [ClaimRefusal.UNKNOWN, ClaimRefusal.SESSION_SUPERSEDED]
        granted = await world.claim(command)
        assert (granted.refusal, granted.attempt) == (None, 1)
        assert (await world.claim(command)).refusal is None
        assert await world.statuses(command) == [Status.IN_PROGRESS]

    async def test_how_long_it_may_still_be_handed_over(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.submit(vehicle_id, expires_in_seconds=600)
        (command,) = await world.dispatch([vehicle_id])
        for _ in range(2):  # the second time, an answer was lost
            assert 500 < (await world.claim(command)).expires_in.total_seconds() < 600

    async def test_a_lapsed_lease_claims_nothing(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.submit(vehicle_id)
        (command,) = await world.dispatch([vehicle_id])
        await world.with_limits(lease_seconds=0.0).sessions.renew_leases([("c1", False)])
        assert (await world.claim(command)).refusal is ClaimRefusal.LEASE_LAPSED
        assert await world.statuses(command) == [Status.DISPATCHED]

    async def test_nor_does_an_older_session(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.submit(vehicle_id)
        (command,) = await world.dispatch([vehicle_id])
        await world.online(connector="c2")
        assert world.heard.superseded == [("c1", vehicle_id, 1)]
        assert (await world.claim(command)).refusal is not None
        assert await world.statuses(command) == [Status.PENDING]


class TestResults:
    async def test_responses_then_the_end(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        world.heard.events.clear()
        world.heard.woken.clear()
        acks = await world.results(command, '{"n":1}', Progress(0x78), '{"n":2}', DONE)
        assert [(ack.number, ack.closed) for ack in acks] == [(1, False), (2, False), (3, False), (4, True)]
        responses, more = await world.read.responses(command.command_id, 0, 10)
        assert [(r.sequence_number, r.body) for r in responses] == [(1, '{"n":1}'), (2, '{"n":2}')]
        assert not more
        assert [(e.sequence_number, e.status) for e in world.heard.events] == [
            (1, None),
            (0, Status.IN_PROGRESS),
            (2, None),
            (0, Status.COMPLETED),
        ]
        assert world.heard.woken == {vehicle_id}

    async def test_a_vehicle_that_says_too_much_is_told_to_stop(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        few = world.with_limits(max_responses_per_command=2)
        acks = await few.results(command, '{"n":1}', '{"n":2}', '{"n":3}')
        assert [ack.closed for ack in acks] == [False, False, True]
        assert (await world.command(command.command_id)).error_code == "TOO_MANY_RESPONSES"

    async def test_a_repeat_is_acknowledged_and_a_gap_is_not(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        await world.results(command, '{"n":1}')
        (repeat,) = await world.results(command, '{"n":1}')
        (gap,) = await world.results(command, '{"n":3}', first=3)
        assert (repeat.number, gap.number, gap.closed) == (1, 1, False)
        assert len((await world.read.responses(command.command_id, 0, 10))[0]) == 1

    async def test_late_results_are_evidence(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id, "ClearDTC")
        (ack,) = await world.results(command, Outcome(OutcomeKind.TIMED_OUT))
        assert not ack.closed
        for _ in range(2):
            acks = await world.results(command, '{"late":true}', DONE, first=2)
        assert [ack.closed for ack in acks] == [False, True]
        stored = await world.command(command.command_id)
        assert (stored.status, stored.error_code, stored.responses) == (Status.FAILED, "OUTCOME_UNKNOWN", 0)
        evidence, cursor = await world.read.evidence(command.command_id, 1, "")
        rest, end = await world.read.evidence(command.command_id, 5, cursor)
        assert [(one.kind, one.reason) for one in evidence + rest] == [
            ("response", "after_end"),
            ("outcome", "after_end"),
        ]
        assert end == ""

    async def test_results_of_an_unknown_command_close_it(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        command = await world.submit(vehicle_id)
        command.command_id = str(uuid4())
        (ack,) = await world.results(command, "{}")
        assert ack.closed


class TestCancel:
    async def test_prevented_requested_too_late(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        running = await world.handed_over(vehicle_id)
        waiting = await world.submit(vehicle_id)
        outcome, command, vin = await world.cancel(waiting.command_id, ENGINEER)
        assert (outcome, command.status, vin) == (CancelOutcome.PREVENTED, Status.CANCELLED, VINS[0])
        assert (await world.cancel(running.command_id, ADMIN))[0] is CancelOutcome.REQUESTED
        assert world.heard.cancels == [running.command_id]
        await world.results(running, Outcome(OutcomeKind.CANCELLED))
        assert (await world.cancel(running.command_id, ADMIN))[0] is CancelOutcome.TOO_LATE

    async def test_only_by_its_sender_or_an_admin(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        command = await world.submit(vehicle_id)
        with pytest.raises(Forbidden):
            await world.cancel(command.command_id, Actor(str(uuid4()), "other", "engineer"))
        with pytest.raises(NotFound):
            await world.cancel(str(uuid4()), ADMIN)


class TestReading:
    async def test_updates_are_what_the_viewer_lacks(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        await world.results(command, *(f'{{"n":{n}}}' for n in range(1, 5)), DONE)
        revision = (await world.command(command.command_id)).revision
        unknown = str(uuid4())
        all_of_it, some, nothing, missing = await world.read.updates(
            [
                KnownState(command.command_id, 0, 0),
                KnownState(command.command_id, 3, revision - 1),
                KnownState(command.command_id, 4, revision),
                KnownState(unknown, 0, 0),
            ]
        )
        assert [event.sequence_number for event in all_of_it.events] == [1, 2, 3, 4, 0]
        assert [event.sequence_number for event in some.events] == [4, 0]
        assert (some.events[-1].terminal, some.has_more) == (True, False)
        assert nothing.events == []
        assert missing.command is None

    async def test_pages_go_on_where_they_ended(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        sent = [await world.submit(vehicle_id) for _ in range(5)]
        first, cursor = await world.read.page(CommandFilter(vehicle_id=vehicle_id), 3, "")
        rest, end = await world.read.page(CommandFilter(vehicle_id=vehicle_id), 3, cursor)
        newest_first = [command.command_id for command in reversed(sent)]
        assert [command.command_id for command, *_ in first + rest] == newest_first
        assert end == ""
        with pytest.raises(InvalidInput):
            await world.read.page(CommandFilter(), 3, "garbage")

    async def test_long_answers_are_cut_and_say_so(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        long = '{"x":"' + "y" * 250_000 + '"}'
        await world.results(command, *[long] * 20, DONE)
        responses, more = await world.read.responses(command.command_id, 0, 100)
        assert more
        assert 0 < len(responses) < 20
        (update,) = await world.read.updates([KnownState(command.command_id, 0, 0)])
        assert update.has_more
        assert not any(event.status for event in update.events)
        # What one viewer fills is not there for the others, who ask again.
        full, empty = await world.read.updates(
            [KnownState(command.command_id, 0, 0), KnownState(command.command_id, 1, 0)]
        )
        assert full.events
        assert (empty.events, empty.has_more) == ([], True)

    async def test_what_retention_took_is_not_waited_for(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        await world.results(command, '{"n":1}', '{"n":2}', DONE)
        assert await forget_old_responses(world.storage, days=-1)
        fresh, behind = await world.read.updates(
            [KnownState(command.command_id, 0, 0), KnownState(command.command_id, 1, 0)]
        )
        for update, after in ((fresh, 0), (behind, 1)):
            (end,) = update.events
            assert (end.terminal, end.responses, update.has_more) == (True, after, False)
            assert '"responses":2' in end.json

    async def test_what_is_not_there(self, world: World) -> None:
        for read in (world.read.get, lambda i: world.read.responses(i, 0, 1), lambda i: world.read.evidence(i, 1, "")):
            with pytest.raises(NotFound):
                await read(str(uuid4()))
