"""Random interleavings of everything that can happen to an attempt, against a model of both its neighbours.

The vehicle numbers its updates and sends again what is not credited; the command service records result k only after
k-1; streams and sessions break at any moment, messages in flight are lost with them. Whatever happens: what is
recorded is what the vehicle said, in order, once; nothing is handed over twice; buffers keep to their window.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector.executor import Executor, Limits
from vehicle_connector.lease import Lease
from vehicle_links.vehicle_link import AttemptKey, End, Finished, HandOver, Response

WINDOW = 4
KEY: AttemptKey = ("c1", 1)

Answer = TypeVar("Answer")


class ModelVehicle:
    """Holds the command from its hand-over until it is told that all is recorded."""

    def __init__(self) -> None:
        self.handed_over = 0
        self.said: list[str] = []
        self.finished = False
        self.released = False
        self.sent = 0
        self.recorded = 0
        self.allowed = 0

    @property
    def holds_it(self) -> bool:
        return self.handed_over > 0 and not self.released

    @property
    def has_ready(self) -> bool:
        return self.sent < min(len(self.said), self.allowed)


class ModelLink:
    """A session; what goes either way takes its time, and is lost with it."""

    kind = "model"

    def __init__(self, vehicle: ModelVehicle, session_epoch: int) -> None:
        self.vehicle_id = "v1"
        self.session_epoch = session_epoch
        self.vehicle = vehicle
        self.waiting: deque[HandOver] = deque()
        self.down: deque[tuple[str, int, int]] = deque()

    def supports(self, command_name: str) -> bool:
        return True

    def execute(self, hand_over: HandOver) -> None:
        self.waiting.append(hand_over)

    def cancel(self, key: AttemptKey) -> None:
        pass

    def grant(self, key: AttemptKey, recorded: int, allowed: int) -> None:
        self.down.append(("credit", recorded, allowed))

    def release(self, key: AttemptKey) -> None:
        self.down.append(("release", 0, 0))


class Connector(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = 0.0
        self.lease = Lease(lambda: self.clock)
        self.attached = True
        self.up: deque[wire.Result] = deque()
        self.acks: deque[wire.ResultAck] = deque()
        self.recorded: list[str] = []
        self.ended = False
        self.in_progress = False
        self.dispatch_number = 0
        self.vehicle = ModelVehicle()
        self.epoch = 0
        self.link: ModelLink | None = None
        self.executor = self.run(self.make)
        self.connect()

    def run(self, call: Callable[[], Answer]) -> Answer:
        async def inside() -> Answer:
            return call()

        return self.loop.run_until_complete(inside())

    def make(self) -> Executor:
        return Executor(self.lease, Limits(WINDOW, 60, 60), self.send)

    def send(self, result: wire.Result) -> None:
        if self.attached:
            self.up.append(result)

    # --- the vehicle

    @rule()
    def connect(self) -> None:
        """A vehicle comes (back): its hello goes through the command service, so that has to be there."""
        if not self.attached:
            return
        if self.link is not None:
            self.lose_session()
        self.epoch += 1
        self.link = ModelLink(self.vehicle, self.epoch)
        held = {KEY} if self.vehicle.holds_it else set()
        wanted = self.in_progress and not self.ended
        take_up = wire.TakeUp(
            command_id=KEY[0], attempt=1, wanted=wanted, next_number=len(self.recorded) + 1, timeout_ms=60_000
        )
        link = self.link
        resumed = self.run(lambda: self.executor.link_opened(link, held, [take_up] if held else []))
        for answer, next_number in resumed:
            if answer.wanted:
                assert next_number <= len(self.recorded) + 1, "the vehicle would forget what is not recorded"
                self.vehicle.sent = self.vehicle.recorded = next_number - 1
                self.vehicle.allowed = next_number - 1 + WINDOW
            else:
                self.vehicle.released = True

    @precondition(lambda self: self.link is not None)
    @rule()
    def lose_session(self) -> None:
        link, self.link = self.link, None
        assert link is not None
        self.run(lambda: self.executor.on_link_lost(link))

    @precondition(lambda self: self.link and self.link.waiting)
    @rule()
    def write_to_vehicle(self) -> None:
        assert self.link is not None
        hand_over = self.link.waiting.popleft()
        if self.run(hand_over.begin):
            assert self.lease.may_hand_over()
            self.vehicle.handed_over += 1
            self.vehicle.allowed = hand_over.command.initial_credit

    @precondition(lambda self: self.link and self.link.down)
    @rule()
    def read_by_vehicle(self) -> None:
        assert self.link is not None
        kind, recorded, allowed = self.link.down.popleft()
        if kind == "release":
            assert self.ended, "the vehicle would forget what is not recorded"
            self.vehicle.released = True
        else:
            assert recorded <= len(self.recorded), "the vehicle would forget what is not recorded"
            self.vehicle.recorded = max(self.vehicle.recorded, recorded)
            self.vehicle.allowed = max(self.vehicle.allowed, allowed)

    @precondition(lambda self: self.vehicle.holds_it and not self.vehicle.finished)
    @rule(last=st.sampled_from([False, False, False, True]))
    def say(self, last: bool) -> None:
        self.vehicle.finished = last
        self.vehicle.said.append("finished" if last else f'{{"n":{len(self.vehicle.said)}}}')

    @precondition(lambda self: self.link and self.vehicle.holds_it and self.vehicle.has_ready)
    @rule(again=st.booleans())
    def send_update(self, again: bool) -> None:
        number = self.vehicle.sent + 1
        self.push(number)
        self.vehicle.sent = number
        if again:
            self.push(number)

    def push(self, number: int) -> None:
        text = self.vehicle.said[number - 1]
        update = Finished(number, End.COMPLETED, "", "", 0) if text == "finished" else Response(number, text)
        link = self.link
        assert link is not None
        self.run(lambda: self.executor.on_update(link, KEY, update))

    # --- the command service

    @precondition(lambda self: self.attached and self.link and not self.in_progress and not self.ended)
    @rule()
    def dispatch(self) -> None:
        self.dispatch_number += 1
        self.in_progress = True
        self.grant()

    @precondition(lambda self: self.dispatch_number)
    @rule()
    def grant(self) -> None:
        """Also again: the broker delivers twice, and the service may have granted before it knew better."""
        dispatched = wire.DispatchedCommand(
            command_id=KEY[0],
            dispatch_number=self.dispatch_number,
            vehicle_id="v1",
            session_epoch=self.epoch,
            command_name="ReadDTC",
            timeout_ms=60_000,
        )
        self.run(lambda: self.executor.hand_over(dispatched, 1, None))

    @rule(seconds=st.sampled_from([1, 20]))
    def time_passes(self, seconds: int) -> None:
        self.clock += seconds

    @rule()
    def renew_lease(self) -> None:
        self.lease.granted(self.clock, 10_000)

    @precondition(lambda self: self.attached and self.up)
    @rule()
    def record(self) -> None:
        result = self.up.popleft()
        if self.ended or not self.in_progress:
            pass
        elif result.outcome.kind == wire.Outcome.NOT_HANDED_OVER:
            if result.outcome.dispatch_number == self.dispatch_number and not self.recorded:
                assert self.vehicle.handed_over == 0, "it was handed over"
                self.in_progress = False
        elif result.number == len(self.recorded) + 1:
            self.recorded.append(result.response or "finished")
            self.ended = result.HasField("outcome")
        closed = result.HasField("outcome")
        self.acks.append(wire.ResultAck(command_id=KEY[0], attempt=1, number=result.number, closed=closed))

    @precondition(lambda self: self.attached and self.acks)
    @rule()
    def acknowledge(self) -> None:
        ack = self.acks.popleft()
        self.run(lambda: self.executor.acknowledged([ack]))

    @precondition(lambda self: self.attached)
    @rule()
    def lose_stream(self) -> None:
        self.attached = False
        self.up.clear()
        self.acks.clear()

    @precondition(lambda self: not self.attached)
    @rule()
    def attach_again(self) -> None:
        take_ups = [
            wire.TakeUp(
                command_id=command.command_id,
                attempt=command.attempt,
                wanted=self.in_progress and not self.ended,
                next_number=len(self.recorded) + 1,
                timeout_ms=60_000,
            )
            for command in self.executor.open_commands()
        ]
        results = self.run(lambda: self.executor.taken_up(take_ups))
        self.attached = True
        self.up.extend(results)

    # --- what always holds

    @invariant()
    def it_is_handed_over_at_most_once(self) -> None:
        assert self.vehicle.handed_over <= 1

    @invariant()
    def recorded_is_what_the_vehicle_said(self) -> None:
        assert self.recorded == self.vehicle.said[: len(self.recorded)]

    @invariant()
    def the_buffer_is_bounded(self) -> None:
        assert self.executor.unacknowledged <= WINDOW

    def teardown(self) -> None:
        try:
            self.settle()
            assert self.recorded == self.vehicle.said
        finally:
            self.loop.close()

    def settle(self) -> None:
        """Everything quiet, everybody there."""
        for _ in range(100):
            if not self.attached:
                self.attach_again()
            if self.link is None or (self.vehicle.holds_it and not (self.up or self.acks or self.link.down)):
                self.connect()
            self.renew_lease()
            while self.link and self.link.waiting:
                self.write_to_vehicle()
            while self.vehicle.holds_it and self.vehicle.has_ready:
                self.send_update(again=False)
            while self.up:
                self.record()
            while self.acks:
                self.acknowledge()
            while self.link and self.link.down:
                self.read_by_vehicle()


TestInterleavings = Connector.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
