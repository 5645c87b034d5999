"""Whatever happens to live events, reads and sockets, in whatever order: every viewer sees the same, once, in order."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import outlet as outlets
from gateway import viewer as views
from gateway.live_updates import LiveUpdates, Viewer
from gateway.outlet import Outlet
from sovd_protos.live.v1.live_pb2 import CommandEvent
from tests.unit.gateway.live_fakes import (
    CHANNEL,
    COMMAND,
    HandLiveEvents,
    RecordedCommand,
    SlowSocket,
    check_order,
    check_whole,
    live,
    response,
    settle,
    status,
)

Action = tuple[str, int]

# What happens, and a number that the action makes of what it needs.
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "respond",
                "respond many",
                "change status",
                "publish next",
                "publish any",
                "publish together",
                "lose",
                "repeat",
                "lose connection",
                "clock",
                "open",
                "reconnect",
                "slow down",
                "speed up",
                "hold reads",
                "release a read",
                "fail a read",
                "confirm later",
                "confirm",
                "run",
            ]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


class Client:
    """A client that reconnects after the last response it has, and remembers all it was sent."""

    def __init__(self, hub: LiveUpdates, after: int) -> None:
        self.hub = hub
        self.after = after
        self.connect()

    def connect(self) -> None:
        self.socket = SlowSocket()
        self.outlet = Outlet(self.socket)
        self.ends: list[bool] = []
        self.viewer: Viewer = self.hub.open(COMMAND, self.after, self.outlet, self.ends.append)

    def disconnect(self) -> None:
        check_order(self.socket.events, self.after)
        self.after += sum(event["event"] == "response" for event in self.socket.events)
        self.hub.close(self.viewer)
        self.socket.gone = True
        self.outlet.abandon()


class World:
    """With `sent_here` the command is expected before it exists, and nobody watches it yet."""

    def __init__(self, *, sent_here: bool) -> None:
        self.live = HandLiveEvents()
        self.command = RecordedCommand()
        self.hub = LiveUpdates(self.live, self.command.read)
        self.clients: list[Client] = []
        if sent_here:
            self.hub.expect(COMMAND)
        else:
            self.clients.append(Client(self.hub, 0))
        self.unpublished: list[CommandEvent] = []
        self.published: list[CommandEvent] = []
        self.revision = 0
        self.clocks: list[asyncio.Task[None]] = []

    def record(self, event: CommandEvent) -> None:
        self.command.record(event)
        self.unpublished.append(event)

    def publish(self, events: Sequence[CommandEvent]) -> None:
        self.published += events
        self.live.send(CHANNEL, live(*events))

    async def act(self, action: str, number: int) -> None:
        client = self.clients[number % len(self.clients)] if self.clients else None
        match action:
            case "respond":
                self.record(response(self.command.responses + 1))
            case "respond many":
                for _ in range(number + 1):
                    self.record(response(self.command.responses + 1))
            case "change status":
                self.change_status()
            case "publish next" if self.unpublished:
                self.publish([self.unpublished.pop(0)])
            case "publish any" if self.unpublished:
                self.publish([self.unpublished.pop(number % len(self.unpublished))])
            case "publish together":
                together, self.unpublished = self.unpublished[:number], self.unpublished[number:]
                self.publish(together)
            case "lose" if self.unpublished:
                self.unpublished.pop(number % len(self.unpublished))
            case "repeat" if self.published:
                self.publish([self.published[-1 - number % len(self.published)]])
            case "lose connection":
                self.unpublished.clear()
                self.live.gap()
            case "clock":
                self.clocks.append(asyncio.create_task(self.hub.reread_all()))
            case "open" if len(self.clients) < 4:
                self.clients.append(Client(self.hub, number % 4))
            case "reconnect" if client and not client.ends:
                client.disconnect()
                client.connect()
            case "slow down" if client:
                client.socket.open_gate.clear()
            case "speed up" if client:
                client.socket.open_gate.set()
            case "hold reads":
                self.command.hold = True
            case "release a read":
                self.command.release()
            case "fail a read":
                self.command.failures = 1
            case "confirm later":
                self.live.confirm.clear()
            case "confirm":
                self.live.confirm.set()
            case "run":
                await settle()
        if number % 2:
            await settle()

    def change_status(self, *, terminal: bool = False) -> None:
        self.revision += 1
        self.record(status(self.revision, self.command.responses, terminal=terminal))

    async def end(self) -> None:
        """The command ends, every socket drains, reads are answered: the clock must bring the rest."""
        self.clients = self.clients or [Client(self.hub, 0)]
        self.change_status(terminal=True)
        self.publish(self.unpublished[-1:])
        for client in self.clients:
            client.socket.open_gate.set()
        self.command.hold, self.command.failures = False, 0
        while self.command.held:
            self.command.release()
            await settle()
        await settle()
        await self.hub.reread_all()
        for _ in range(30):
            await settle()
        await asyncio.gather(*self.clocks)

    async def stop(self) -> None:
        self.live.confirm.set()
        await self.hub.stop()
        await settle()


async def live_through(actions: Sequence[Action], *, sent_here: bool) -> None:
    world = World(sent_here=sent_here)
    await settle()
    for action, number in actions:
        await world.act(action, number)
        for client in world.clients:
            check_order(client.socket.events, client.after)
    await world.end()
    for client in world.clients:
        check_whole(client.socket.events, world.command.responses, client.after)
        assert client.ends == [True]
    await world.stop()
    assert world.live.subscriptions == []


@given(ACTIONS, st.booleans())
@settings(max_examples=400, deadline=None)
def test_every_viewer_sees_every_event_once_and_in_order(actions: list[Action], sent_here: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlets, "MAX_QUEUED_MESSAGES", 4)
        patch.setattr(views, "MAX_HELD_EVENTS", 3)
        asyncio.run(live_through(actions, sent_here=sent_here))


@given(
    st.permutations([*(response(number) for number in range(1, 7)), status(1, 0), status(2, 3), status(3, 5)]),
    st.lists(st.integers(0, 8), max_size=5),
)
def test_one_view_puts_any_order_right(events: list[CommandEvent], repeats: list[int]) -> None:
    """Nothing lost, everything in time: then nothing has to be read again."""
    view = views.View()
    ready = view.accept(views.events_from([*events, *(events[position] for position in repeats)]))
    assert [event.sequence for event in ready if event.sequence] == [1, 2, 3, 4, 5, 6]
    revisions = [event.revision for event in ready if event.revision]
    assert revisions == sorted(set(revisions))
    assert view.revision == 3
    assert not view.has_gap


def test_what_is_held_back_is_bounded() -> None:
    view = views.View()
    view.accept(views.events_from(response(number) for number in range(2, 500)))
    assert len(view.accept(views.events_from([response(1)]))) == views.MAX_HELD_EVENTS + 1
    big = CommandEvent(sequence_number=1000, json="x" * views.MAX_HELD_CHARACTERS)
    view.accept(views.events_from([big] * 5))
    assert view._held_characters <= 2 * views.MAX_HELD_CHARACTERS
