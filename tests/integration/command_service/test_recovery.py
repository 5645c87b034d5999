"""Sessions, leases, the watchdog: what becomes of commands when parts go away and come back."""

from uuid import uuid4

import pytest

from command_service.domain.command import MAX_ATTEMPTS, CancelOutcome, Status
from command_service.domain.results import Outcome, OutcomeKind, Receipt
from command_service.use_cases.vehicle_sessions import HeldCommand, Hello, SessionEnd
from service_kit.errors import NotFound
from tests.integration.command_service.world import ADMIN, DONE, ENGINEER, VINS, World, a_submission

NO_GRACE = {"session_grace_seconds": -1.0, "deadline_grace_seconds": -3600.0, "claim_seconds": -1.0}


async def close(world: World, vehicle_id: str, epoch: int = 1, connector: str = "c1") -> None:
    await world.sessions.close([SessionEnd(connector, vehicle_id, epoch)])


class TestSessions:
    async def test_an_unknown_vehicle_is_refused_alone(self, world: World) -> None:
        await world.vehicle()
        await world.sessions.register_connector("c1", "", [], [])
        refused, opened = await world.sessions.open([Hello("c1", "WDDUNKNOWN0000000", []), Hello("c1", VINS[0], [])])
        assert isinstance(refused, NotFound)
        assert not isinstance(opened, NotFound)

    async def test_the_newest_session_wins(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        first = await world.online()
        second = await world.online(connector="c2")
        assert second.session_epoch == first.session_epoch + 1
        await close(world, vehicle_id, first.session_epoch)
        assert (await world.vehicles.get(vehicle_id)).connector_id == "c2"
        await close(world, vehicle_id, second.session_epoch, "c2")
        assert not (await world.vehicles.get(vehicle_id)).reachable

    async def test_heartbeats_move_last_seen(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        before = (await world.vehicles.get(vehicle_id)).last_seen_at
        await world.sessions.seen([(vehicle_id, 1)])
        after = (await world.vehicles.get(vehicle_id)).last_seen_at
        assert before is not None
        assert after is not None
        assert after > before

    async def test_what_was_on_its_way_waits_again_when_the_session_ends(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.submit(vehicle_id)
        await world.dispatch([vehicle_id])
        await close(world, vehicle_id)
        assert await world.statuses(command) == [Status.PENDING]

    async def test_a_vehicle_that_returns_with_its_command_goes_on(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id, "ClearDTC")
        await world.results(command, '{"n":1}')
        await close(world, vehicle_id)
        held = HeldCommand(command.command_id, 1)
        (take_up,) = (await world.online(connector="c2", held=[held])).take_ups
        assert (take_up.wanted, take_up.next_number, take_up.command_name) == (True, 2, "ClearDTC")
        assert 0 < take_up.timeout_ms <= 30_000
        assert (await world.results(command, '{"n":2}', first=2))[0].closed
        await world.results(command, '{"n":2}', DONE, first=2, by="c2")
        assert await world.statuses(command) == [Status.COMPLETED]
        assert await world.with_limits(**NO_GRACE).recover.decide_overdue() == 0

    async def test_one_that_returns_without_it_has_lost_it(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        write = await world.handed_over(vehicle_id, "ClearDTC")
        read = await world.handed_over(vehicle_id, "ReadDataByID")
        await world.online(connector="c2")
        assert await world.statuses(write, read) == [Status.IN_PROGRESS, Status.IN_PROGRESS]
        assert await world.recover.decide_overdue() == 0
        assert await world.with_limits(**NO_GRACE).recover.decide_overdue() == 2
        assert (await world.command(write.command_id)).error_code == "OUTCOME_UNKNOWN"
        retried = await world.command(read.command_id)
        assert (retried.status, retried.attempt) == (Status.PENDING, 2)

    async def test_a_held_command_that_ended_unknown_still_gives_evidence(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id, "ClearDTC")
        await close(world, vehicle_id)
        await world.with_limits(**NO_GRACE).recover.decide_overdue()
        (take_up,) = (await world.online(connector="c2", held=[HeldCommand(command.command_id, 1)])).take_ups
        assert (take_up.wanted, take_up.next_number) == (True, 1)
        await world.results(command, '{"cleared":true}', DONE, by="c2")
        evidence, _ = await world.read.evidence(command.command_id, 10, "")
        assert [one.body for one in evidence] == ['{"cleared":true}', "completed"]
        assert (await world.command(command.command_id)).error_code == "OUTCOME_UNKNOWN"

    async def test_a_held_command_nobody_wants_is_dropped(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.vehicle(VINS[1])
        await world.online()
        done = await world.handed_over(vehicle_id)
        await world.results(done, DONE)
        held = [HeldCommand(done.command_id, 1), HeldCommand(str(uuid4()), 1), HeldCommand("not an id", 1)]
        assert [take_up.wanted for take_up in (await world.online(held=held)).take_ups] == [False, False, False]
        (theirs,) = (await world.online(VINS[1], held=held[:1])).take_ups
        assert not theirs.wanted


class TestConnectors:
    async def test_one_that_attaches_again_keeps_its_sessions_and_commands(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        await world.results(command, '{"n":1}')
        take_ups, superseded = await world.sessions.register_connector(
            "c1", "", [(vehicle_id, 1)], [HeldCommand(command.command_id, 1), HeldCommand(str(uuid4()), 1)]
        )
        assert [(take_up.wanted, take_up.next_number) for take_up in take_ups] == [(True, 2), (False, 1)]
        assert superseded == []

    async def test_a_session_that_is_not_the_newest_is_to_be_closed(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.online(connector="c2")
        _, superseded = await world.sessions.register_connector("c1", "", [(vehicle_id, 1)], [])
        assert superseded == [(vehicle_id, 1)]

    async def test_a_session_that_is_not_presented_has_ended(self, world: World) -> None:
        vehicle_id, other = await world.vehicle(), await world.vehicle(VINS[1])
        await world.online()
        await world.online(VINS[1])
        running = await world.handed_over(vehicle_id, "ClearDTC")
        on_its_way = await world.submit(vehicle_id, "ReadDataByID")
        await world.dispatch([vehicle_id])
        # Its end was reported on a stream that broke before it was recorded.
        await world.sessions.register_connector("c1", "", [(other, 1)], [])
        assert not (await world.vehicles.get(vehicle_id)).reachable
        assert (await world.vehicles.get(other)).reachable
        assert (vehicle_id, "offline") in world.heard.vehicles
        assert await world.statuses(running, on_its_way) == [Status.IN_PROGRESS, Status.PENDING]
        assert await world.with_limits(session_grace_seconds=-1.0).recover.decide_overdue() == 1

    async def test_a_session_whose_opening_was_never_answered_has_ended(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        await world.online()  # the connector never heard of the second one, and presents the first
        _, superseded = await world.sessions.register_connector("c1", "", [(vehicle_id, 1)], [])
        assert superseded == [(vehicle_id, 1)]
        assert not (await world.vehicles.get(vehicle_id)).reachable

    async def test_a_claim_that_is_asked_again_after_a_lapsed_lease_goes_on(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id, "ClearDTC")  # the answer is lost, and with it the lease
        short = world.with_limits(lease_seconds=0.0, lease_grace_seconds=-1.0)
        await short.sessions.renew_leases([("c1", False)])
        assert await short.recover.drop_lapsed_connectors() == 1
        await world.sessions.register_connector("c1", "", [(vehicle_id, 1)], [])
        assert (await world.claim(command)).refusal is None
        assert await world.with_limits(session_grace_seconds=-1.0).recover.decide_overdue() == 0

    async def test_a_lapsed_lease_frees_what_was_on_its_way_and_waits_for_the_rest(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        running = await world.handed_over(vehicle_id, "ClearDTC")
        on_its_way = await world.submit(vehicle_id, "ReadDataByID")
        await world.dispatch([vehicle_id])
        assert await world.recover.drop_lapsed_connectors() == 0
        short = world.with_limits(lease_seconds=0.0, lease_grace_seconds=-1.0)
        assert await short.sessions.renew_leases([("c1", False), ("nobody", False)]) == [True, False]
        assert await short.recover.drop_lapsed_connectors() == 2
        assert await world.statuses(running, on_its_way) == [Status.IN_PROGRESS, Status.PENDING]
        assert not (await world.vehicles.get(vehicle_id)).reachable
        assert await world.sessions.renew_leases([("c1", False)]) == [False]
        # The connector was only cut off: it comes back with its session, which goes on.
        take_ups, superseded = await world.sessions.register_connector(
            "c1", "", [(vehicle_id, 1)], [HeldCommand(running.command_id, 1)]
        )
        assert (take_ups[0].wanted, superseded) == (True, [])
        assert (await world.vehicles.get(vehicle_id)).reachable
        await world.results(running, DONE)
        assert await world.statuses(running) == [Status.COMPLETED]


class TestWatchdog:
    async def test_unclaimed_commands_wait_again(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.submit(vehicle_id)
        await world.dispatch([vehicle_id])
        assert await world.recover.requeue_unclaimed() == 0
        assert await world.with_limits(**NO_GRACE).recover.requeue_unclaimed() == 1
        stored = await world.command(command.command_id)
        assert (stored.status, stored.attempt) == (Status.PENDING, 1)

    async def test_silence_is_tried_again_for_reads_only(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        hasty = world.with_limits(**NO_GRACE)
        read = await world.handed_over(vehicle_id)
        for attempt in range(2, MAX_ATTEMPTS + 1):
            assert await hasty.recover.decide_overdue() == 1
            (dispatched,) = await world.dispatch([vehicle_id])
            assert (await world.claim(dispatched)).attempt == attempt
        assert await hasty.recover.decide_overdue() == 1
        stored = await world.command(read.command_id)
        assert (stored.status, stored.error_code) == (Status.TIMED_OUT, "VEHICLE_TIMEOUT")

    @pytest.mark.parametrize("reason", ["EXPIRED_OFFLINE", "EXPIRED_STARVED", "EXPIRED"])
    async def test_expired_commands_say_why(self, world: World, reason: str) -> None:
        vehicle_id = await world.vehicle()
        if reason != "EXPIRED_OFFLINE":
            await world.online()
        if reason == "EXPIRED_STARVED":
            await world.handed_over(vehicle_id)
        command = await world.submit(vehicle_id, expires_in_seconds=1)
        assert await world.recover.expire_waiting() == 0
        await wait_for_expiry(world, command.command_id)
        stored = await world.command(command.command_id)
        assert (stored.status, stored.error_code) == (Status.EXPIRED, reason)
        assert await world.dispatch([vehicle_id]) == []

    async def test_an_unanswered_cancel_is_asked_again(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id)
        assert (await world.cancel(command.command_id, ENGINEER))[0] is CancelOutcome.REQUESTED
        await world.recover.repeat_cancels()
        assert len(world.heard.cancels) == 1
        eager = world.with_limits(cancel_repeat_seconds=-1.0)
        await eager.recover.repeat_cancels()
        assert eager.heard.cancels == [command.command_id]

    async def test_a_connector_that_certainly_did_not_hand_over_frees_the_lane(self, world: World) -> None:
        vehicle_id = await world.vehicle()
        await world.online()
        command = await world.handed_over(vehicle_id, "ClearDTC")
        refusal = Outcome(OutcomeKind.NOT_HANDED_OVER, "LEASE_LAPSED", dispatch_number=1)
        (ack,) = await world.results(command, refusal)
        assert ack.closed
        (again,) = await world.dispatch([vehicle_id])
        assert (again.command_id, again.attempt, again.dispatch_number) == (command.command_id, 1, 2)
        await world.claim(again)
        await world.results(command, refusal)
        assert await world.statuses(command) == [Status.IN_PROGRESS], Receipt.REPEATED


async def wait_for_expiry(world: World, command_id: str) -> None:
    """The database's clock decides: look until it has."""
    while not await world.recover.expire_waiting():
        assert (await world.command(command_id)).status is Status.PENDING


async def test_a_vehicle_with_open_commands_is_not_deleted(world: World) -> None:
    vehicle_id = await world.vehicle()
    await world.submit_all([a_submission(vehicle_id)])
    assert (await world.vehicles.page("mercedes", "", 10, ""))[0]


async def test_the_session_of_a_deleted_vehicle_ends(world: World) -> None:
    vehicle_id = await world.vehicle()
    session = await world.online()
    await world.vehicles.delete(ADMIN, vehicle_id)
    assert world.heard.superseded == [("c1", vehicle_id, session.session_epoch)]
    assert world.heard.vehicles[-1] == (vehicle_id, "offline")
    successor = await world.vehicle()
    assert (await world.online()).vehicle_id == successor
