"""A command's way through the connector: claimed, handed over, answered, recorded."""

from typing import Any

import pytest

from service_kit.tracing import ActiveSpan
from sovd_protos.connector.v1 import connector_pb2 as wire
from sovd_protos.connector.v1.connector_pb2 import Outcome
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until, until_it
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import FakeCommandService, dispatched_command
from tests.unit.vehicle_connector.ids import C1, C2, C3, command_id
from tests.unit.vehicle_connector.scripted_vehicle import VIN, finished, hello, response
from vehicle_connector import attempt
from vehicle_connector.executor import Executor


async def test_a_command_runs_and_its_results_are_recorded_in_order(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN, command_params='{"ecuAddress":"0x10"}', repeatable=False, timeout_ms=5000)
    await until(lambda: vehicle.executes)
    execute = vehicle.executes[0]
    assert (execute.command_id, execute.attempt, execute.command_name) == (C1, 1, "ReadDTC")
    assert execute.command_params == '{"ecuAddress":"0x10"}'
    assert (execute.repeatable, execute.timeout_ms, execute.initial_credit) == (False, 5000, 64)

    pending = session_pb2.Pending(nrc=0x78, message="working")
    await vehicle.update(
        session_pb2.CommandUpdate(command_id=C1, attempt=1, number=1, pending=pending),
        response(C1, 2, '{"code": "P0420"}'),
        finished(C1, 3),
    )
    await until(lambda: C1 in vehicle.closed)
    progress, answer, outcome = world.service.results(C1)
    assert (progress.progress.nrc, progress.progress.message) == (0x78, "working")
    assert answer.response == '{"code": "P0420"}'
    assert outcome.outcome.kind == Outcome.COMPLETED
    assert answer.received_at_us > 0


async def test_a_command_is_claimed_before_the_vehicle_sees_it(worlds: Worlds) -> None:
    async with worlds(FakeCommandService(granting=False)) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN, dispatch_number=7)
        await until(lambda: world.service.claims)
        claim = world.service.claims[0]
        assert (claim.command_id, claim.dispatch_number, claim.session_epoch) == (C1, 7, 1)
        # A second command is granted: had the first been written, it would have come before.
        world.service.granting = True
        await world.dispatch.command(C2, VIN)
        await until(lambda: vehicle.executes)
        assert vehicle.handed == [C2]
        world.service.grant(claim)
        await until(lambda: vehicle.handed == [C2, C1])


async def test_a_stale_claim_is_acknowledged_and_the_vehicle_never_sees_the_command(world: World) -> None:
    vehicle = await world.vehicle()
    world.service.refusal = "stale"
    await world.dispatch.command(C1, VIN)
    await until(lambda: world.service.claims)
    world.service.refusal = ""
    await world.dispatch.command(C2, VIN)
    await until(lambda: vehicle.executes)
    assert vehicle.handed == [C2]
    assert await world.dead_letters() == []


async def test_prefetch_bounds_how_many_claims_are_on_their_way(worlds: Worlds) -> None:
    async with worlds(FakeCommandService(granting=False), prefetch=2) as world:
        vehicle = await world.vehicle()
        for number in range(4):
            await world.dispatch.command(command_id(f"c{number}"), VIN)
        await until(lambda: len(world.service.claims) == 2)
        world.service.granting = True
        for claim in list(world.service.claims):
            world.service.grant(claim)
        await until(lambda: vehicle.handed == [command_id(f"c{number}") for number in range(4)])


async def test_a_command_that_is_delivered_twice_is_handed_over_once(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN)
    await world.dispatch.command(C1, VIN)  # claimed twice at once, one answer for both
    await until(lambda: vehicle.executes)
    await world.dispatch.command(C1, VIN)  # claimed again, granted again
    await until(lambda: len(world.service.claims) >= 2)
    await vehicle.finish(C1, 1)
    await until(lambda: C1 in vehicle.closed)
    await world.dispatch.command(C1, VIN)  # and once more when all is over
    await world.dispatch.command(C2, VIN)
    await until(lambda: C2 in vehicle.handed)
    assert vehicle.handed == [C1, C2]
    assert len(world.service.arrived) == 1


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"", b"not protobuf", wire.Claim(command_id="c").SerializeToString()]
)
async def test_a_malformed_message_goes_to_the_dead_letters_and_the_consumer_lives_on(
    world: World, body: bytes
) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.raw(body)
    await world.dispatch.raw(body, "control")
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.executes)
    assert await world.dead_letters() == [body, body]


async def test_nothing_is_handed_over_after_the_lease_lapsed(worlds: Worlds) -> None:
    service = FakeCommandService(lease_ms=1)
    async with worlds(service) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN, dispatch_number=3)
        await until(lambda: service.outcome(C1))
        outcome = service.outcome(C1)
        assert outcome is not None
        assert (outcome.kind, outcome.code, outcome.dispatch_number) == (Outcome.NOT_HANDED_OVER, "LEASE_LAPSED", 3)
        assert vehicle.handed == []


async def test_a_lease_that_is_not_renewed_lapses(worlds: Worlds) -> None:
    service = FakeCommandService(lease_ms=200, renewing=False)
    async with worlds(service, lease_renewal_seconds=60) as world:
        vehicle = await world.vehicle()
        numbers = iter(range(1, 10_000))

        async def is_refused() -> bool:
            tried = command_id(f"c{next(numbers)}")
            await world.dispatch.command(tried, VIN)
            await until(lambda: tried in vehicle.handed or service.outcome(tried))
            return service.outcome(tried) is not None

        await until_it(is_refused)
        assert await is_refused()


async def test_a_command_that_was_not_handed_over_is_handed_over_when_it_is_dispatched_again(worlds: Worlds) -> None:
    service = FakeCommandService(lease_ms=1)
    async with worlds(service) as world:
        vehicle = await world.vehicle()
        await world.dispatch.command(C1, VIN)
        await until(lambda: service.outcome(C1))
        service.lease_ms = 10_000
        before = len(service.renewals)
        await until(lambda: len(service.renewals) > before + 1)
        # A second delivery of that very dispatch is not handed over, even when the service grants it.
        await world.dispatch.command(C1, VIN)
        await until(lambda: len(service.claims) == 2)
        # The service has taken it back: the same attempt, under the next dispatch number.
        service.recorded.clear()
        await world.dispatch.command(C1, VIN, dispatch_number=2)
        await until(lambda: vehicle.handed)
        await vehicle.update(response(C1, 1), finished(C1, 2))
        await until(lambda: C1 in vehicle.closed)
        assert vehicle.handed == [C1]
        assert [result.number for result in service.results(C1)] == [1, 2]


async def test_a_command_for_a_session_that_is_gone_is_not_handed_over(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN, session_epoch=99)
    await world.dispatch.command(C2, "WDD0000000000NONE")
    await until(lambda: world.service.outcome(C1) and world.service.outcome(C2))
    for lost in (C1, C2):
        outcome = world.service.outcome(lost)
        assert outcome is not None
        assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "SESSION_LOST")
    assert vehicle.handed == []


async def test_what_a_vehicle_cannot_do_is_not_sent_to_it(world: World) -> None:
    vehicle = await world.vehicle(hello(capabilities=["ReadDTC"]))
    await world.dispatch.command(C1, VIN, command_name="ECUReset")
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "UNSUPPORTED_COMMAND")
    await world.dispatch.command(C2, VIN)
    await until(lambda: vehicle.handed == [C2])


async def test_a_vehicle_is_not_handed_more_than_it_can_hold(world: World) -> None:
    vehicle = await world.vehicle(hello(max_commands=1))
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    await world.dispatch.command(C2, VIN)
    await world.dispatch.command(C3, VIN, timeout_ms=50)
    await until(lambda: world.service.outcome(C3))
    outcome = world.service.outcome(C3)
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "VEHICLE_BUSY")
    assert vehicle.handed == [C1]
    await vehicle.finish(C1, 1)
    await until(lambda: vehicle.handed == [C1, C2])


async def test_what_waits_for_room_goes_back_before_the_service_gives_it_up_and_comes_again_as_the_same_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when its own timeout is over: the service counts that from the claim, the vehicle from the hand-over."""
    vehicle = await world.vehicle(hello(max_commands=1))
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    with monkeypatch.context() as impatient:
        impatient.setattr(attempt, "HAND_OVER_SECONDS", 0.05)
        await world.dispatch.command(C2, VIN, timeout_ms=600_000)
        await until(lambda: world.service.outcome(C2))
    outcome = world.service.outcome(C2)
    assert outcome is not None
    assert (outcome.kind, outcome.code, outcome.dispatch_number) == (Outcome.NOT_HANDED_OVER, "VEHICLE_BUSY", 1)
    world.service.recorded.clear()
    await world.dispatch.command(C2, VIN, timeout_ms=600_000, dispatch_number=2)
    await until(lambda: len(world.service.claims) == 3)
    await vehicle.finish(C1, 1)
    await until(lambda: vehicle.handed == [C1, C2])
    assert (vehicle.executes[1].attempt, vehicle.executes[1].timeout_ms) == (1, 600_000)
    await vehicle.finish(C2, 1)
    await until(lambda: C2 in vehicle.closed)
    assert world.service.results(C2)[-1].outcome.kind == Outcome.COMPLETED


async def test_what_expires_while_it_waits_for_room_is_not_handed_over(world: World) -> None:
    vehicle = await world.vehicle(hello(max_commands=1))
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    world.service.expires_in_ms = 50
    await world.dispatch.command(C2, VIN)
    await until(lambda: len(world.service.claims) == 2)
    world.service.expires_in_ms = 60_000
    await world.dispatch.command(C3, VIN)
    await until(lambda: len(world.service.claims) == 3)
    expired = world.service.clock() + 0.1
    await until(lambda: world.service.clock() > expired)
    await vehicle.finish(C1, 1)
    await until(lambda: len(vehicle.handed) > 1)
    assert vehicle.handed == [C1, C3]
    await until(lambda: world.service.outcome(C2))
    outcome = world.service.outcome(C2)
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "EXPIRED")


async def test_a_slow_command_does_not_hold_up_the_others_of_its_session(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN)
    await world.dispatch.command(C2, VIN)
    await until(lambda: len(vehicle.handed) == 2)
    await vehicle.respond(C1, 1)
    await vehicle.update(response(C2, 1), finished(C2, 2))
    await until(lambda: C2 in vehicle.closed)
    assert world.service.outcome(C1) is None


async def test_a_command_that_may_have_been_written_is_never_called_not_handed_over(world: World) -> None:
    vehicle = await world.vehicle()
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    vehicle.break_off()
    await until(lambda: world.service.closed)
    await world.dispatch.command(C2, VIN)  # this one certainly was not
    await until(lambda: world.service.outcome(C2))
    assert world.service.results(C1) == []


async def test_a_session_lost_while_a_command_waits_for_room_gives_it_back(world: World) -> None:
    vehicle = await world.vehicle(hello(max_commands=1))
    await world.dispatch.command(C1, VIN)
    await until(lambda: vehicle.handed == [C1])
    await world.dispatch.command(C2, VIN)
    await world.dispatch.command(C3, "WDD0000000000NONE")  # a round trip later c2 is granted, too
    await until(lambda: world.service.outcome(C3))
    vehicle.break_off()
    await until(lambda: world.service.outcome(C2))
    outcome = world.service.outcome(C2)
    assert outcome is not None
    assert (outcome.kind, outcome.code) == (Outcome.NOT_HANDED_OVER, "SESSION_LOST")
    assert world.service.outcome(C1) is None


async def test_a_command_that_nobody_knows_goes_to_the_dead_letters(world: World) -> None:
    vehicle = await world.vehicle()
    world.service.refusal = "unknown"
    await world.dispatch.command(C1, VIN)
    await until(lambda: world.service.claims)
    world.service.refusal = ""
    await world.dispatch.command(C2, VIN)
    await until(lambda: vehicle.executes)
    assert vehicle.handed == [C2]
    assert len(await world.dead_letters()) == 1


async def test_commands_of_one_message_are_claimed_together_and_decided_each_by_itself(world: World) -> None:
    vehicle = await world.vehicle()
    world.service.refusals = {C2: "stale"}
    await world.dispatch.together(*(dispatched_command(each, VIN) for each in (C1, C2, C3)))
    await until(lambda: len(vehicle.executes) == 2)
    assert vehicle.handed == [C1, C3]
    assert [claim.command_id for claim in world.service.claims] == [C1, C2, C3]
    assert await world.dead_letters() == []


async def test_a_message_with_a_command_that_nobody_knows_is_a_dead_letter_whose_others_run(world: World) -> None:
    vehicle = await world.vehicle()
    world.service.refusals = {C1: "unknown"}
    await world.dispatch.together(dispatched_command(C1, VIN), dispatched_command(C2, VIN))
    await until(lambda: vehicle.handed == [C2])
    assert len(await world.dead_letters()) == 1


async def test_a_command_that_cannot_be_handled_here_does_not_stop_the_others_of_its_message(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_over = Executor.hand_over

    def failing(
        executor: Executor, dispatched: wire.DispatchedCommand, attempt: int, span: ActiveSpan | None, **facts: Any
    ) -> None:
        if dispatched.command_id == C1:
            raise RuntimeError("a bug")
        hand_over(executor, dispatched, attempt, span, **facts)

    monkeypatch.setattr(Executor, "hand_over", failing)
    vehicle = await world.vehicle()
    await world.dispatch.together(dispatched_command(C1, VIN), dispatched_command(C2, VIN))
    await until(lambda: vehicle.handed == [C2])
    assert len(await world.dead_letters()) == 1
    logged = "".join(capsys.readouterr())
    assert "command_not_handled" in logged
    assert "malformed_message" not in logged
