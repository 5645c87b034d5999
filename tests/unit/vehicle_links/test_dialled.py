"""What links that dial out have in common, over a connection that does one command after the other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.support.waiting import until
from vehicle_links.dialled import DialledLink, Execution, Stopped
from vehicle_links.vehicle_link import AttemptKey, End, Finished, Response, Update, VehicleCommand, VehicleLink

READ = VehicleCommand("c1", 1, "ReadDTC", "{}", 60_000, repeatable=True, traceparent="", initial_credit=1)


@dataclass
class HandingOver:
    """A HandOver until it is given up."""

    command: VehicleCommand = READ
    given_up: bool = False
    begun: bool = False

    def begin(self) -> bool:
        self.begun = not self.given_up
        return self.begun


@dataclass
class OneAtATime:
    """A Connection. Each command responds twice and then runs until it is stopped."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    inside: int = 0

    async def execute(self, execution: Execution) -> None:
        self.inside += 1
        try:
            async with self.turn:
                execution.begin()
                await execution.respond({})
                await execution.respond({})
                await execution.stop_requested.wait()
                raise Stopped
        finally:
            self.inside -= 1

    async def lost(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        pass


@dataclass
class Bench:
    connection: OneAtATime
    updates: list[Update] = field(default_factory=list)
    link: DialledLink = field(init=False)

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None:
        self.updates.append(update)

    def on_link_lost(self, link: VehicleLink) -> None:
        raise AssertionError


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(OneAtATime())
    bench.link = DialledLink("doip", "vehicle", 1, bench.connection, bench)
    yield bench
    bench.link.close()
    await until(lambda: not bench.connection.inside)


async def test_a_command_that_comes_again_while_its_older_hand_over_waits_keeps_its_credit_and_its_cancel(
    bench: Bench,
) -> None:
    """The older one waited too long and went back to the queue; the same attempt was dispatched anew."""
    older, newer = HandingOver(), HandingOver()
    async with bench.connection.turn:
        bench.link.execute(older)
        await until(lambda: bench.connection.inside == 1)
        older.given_up = True
        bench.link.execute(newer)
        await until(lambda: bench.connection.inside == 1)  # nothing of the older one is left
    await until(lambda: bench.updates)
    assert (older.begun, newer.begun, bench.link.idle) == (False, True, False)
    bench.link.grant(READ.key, 1, 3)
    await until(lambda: len(bench.updates) == 2)
    bench.link.cancel(READ.key)
    await until(lambda: bench.link.idle)
    assert bench.updates == [
        Response(1, "{}"),
        Response(2, "{}"),
        Finished(3, End.CANCELLED, "CANCELLED", "Stopped as asked.", 0),
    ]
