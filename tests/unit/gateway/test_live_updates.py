"""The hub of viewers against live events by hand and a scripted recorded state."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gateway import outlet as outlets
from gateway.live_updates import LiveUpdates
from gateway.outlet import Outlet
from gateway.viewer import events_from
from tests.unit.gateway.live_fakes import (
    CHANNEL,
    COMMAND,
    SlowSocket,
    check_order,
    check_whole,
    live,
    response,
    settle,
    status,
)
from tests.unit.gateway.live_scene import Scene, a_scene


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        yield made


async def test_a_viewer_sees_what_was_recorded_and_then_what_happens(scene: Scene) -> None:
    scene.happen(status(1, 0), response(1), published=False)
    socket, _ = scene.open()
    await settle()
    scene.happen(response(2), status(2, 2, terminal=True))
    await settle()
    check_whole(socket.events, responses=2)
    assert scene.ends == [True]
    assert len(scene.command.calls) == 1, "what comes in order costs no further read"


async def test_events_that_come_before_the_replay_are_neither_lost_nor_repeated(scene: Scene) -> None:
    scene.happen(response(1), response(2), published=False)
    scene.command.hold = True
    socket, _ = scene.open()
    await settle()
    scene.happen(response(3), status(5, 3))
    scene.command.hold = False
    scene.command.release()
    await settle()
    assert [event.get("sequence_number") for event in socket.events] == [1, 2, 3, None]
    assert len(scene.command.calls) == 1, "what waited for the replay needs no second read"


async def test_the_replay_begins_only_when_the_subscription_is_confirmed(scene: Scene) -> None:
    scene.live.confirm.clear()
    socket, _ = scene.open()
    await settle()
    assert scene.command.calls == []
    scene.happen(response(1), published=False)
    scene.live.confirm.set()
    await settle()
    assert len(socket.sent) == 1


async def test_without_live_events_the_clock_brings_everything(scene: Scene) -> None:
    scene.live.confirm.clear()
    scene.live.connected = False
    socket, _ = scene.open()
    await settle()
    scene.happen(response(1), status(2, 1), published=False)
    await scene.hub.reread_all()
    await settle()
    scene.happen(status(3, 1, terminal=True), published=False)
    await scene.hub.reread_all()
    await settle()
    check_whole(socket.events, responses=1)


async def test_a_subscription_that_failed_is_tried_again_by_the_clock(scene: Scene) -> None:
    scene.live.fails = 1
    socket, _ = scene.open()
    await settle()
    assert scene.live.subscriptions == []
    await scene.hub.reread_all()
    await settle()
    scene.happen(response(1))
    await settle()
    assert len(socket.sent) == 1


async def test_a_lost_event_is_read_at_once(scene: Scene) -> None:
    socket, _ = scene.open()
    await settle()
    scene.happen(response(1), published=False)
    scene.happen(response(2))
    await settle()
    check_order(socket.events)
    assert len(socket.sent) == 2


async def test_a_status_waits_for_the_responses_it_counts(scene: Scene) -> None:
    socket, _ = scene.open()
    await settle()
    scene.command.hold = True
    scene.command.record(response(1), status(3, 1, terminal=True))
    scene.live.send(CHANNEL, live(status(3, 1, terminal=True)))
    await settle()
    assert socket.sent == []
    scene.command.release()
    await settle()
    check_whole(socket.events, responses=1)


async def test_a_gap_that_a_read_does_not_fill_is_left_to_the_clock(scene: Scene) -> None:
    _, _ = scene.open()
    await settle()
    scene.live.send(CHANNEL, live(response(7)))
    await settle()
    assert len(scene.command.calls) == 2, "the replay, and one look for what is missing"


async def test_after_a_gap_of_the_live_events_every_viewer_is_read_again(scene: Scene) -> None:
    socket, _ = scene.open()
    other, _ = scene.open(after=1)
    await settle()
    scene.happen(response(1), response(2), status(2, 2), published=False)
    scene.live.gap()
    await settle()
    assert [len(socket.sent), len(other.sent)] == [3, 2]
    assert len(scene.command.calls[-1]) == 2, "both in one call"


async def test_what_was_missed_while_a_read_was_under_way_is_read_again(scene: Scene) -> None:
    scene.command.hold = True
    socket, _ = scene.open()
    await settle()
    scene.happen(response(1), published=False)
    scene.live.gap()
    scene.command.hold = False
    scene.command.release()
    await settle()
    assert len(socket.sent) == 1


async def test_a_long_history_comes_page_by_page(scene: Scene) -> None:
    scene.happen(*(response(number) for number in range(1, 12)), status(9, 11, terminal=True), published=False)
    socket, _ = scene.open()
    await settle()
    check_whole(socket.events, responses=11)
    assert len(scene.command.calls) == 4


async def test_viewers_of_one_command_share_one_subscription(scene: Scene) -> None:
    _, first = scene.open()
    _, second = scene.open()
    await settle()
    assert len(scene.live.subscriptions) == 1
    scene.hub.close(first)
    await settle()
    assert len(scene.live.subscriptions) == 1
    scene.hub.close(second)
    await settle()
    assert scene.live.subscriptions == []


async def test_a_viewer_that_comes_while_the_last_one_leaves_is_fed(scene: Scene) -> None:
    _, first = scene.open()
    await settle()
    scene.hub.close(first)
    socket, _ = scene.open()
    await settle()
    scene.happen(response(1))
    await settle()
    assert len(socket.sent) == 1
    assert len(scene.live.subscriptions) == 1


async def test_viewers_that_leave_while_live_events_are_away_leave_nothing_behind(scene: Scene) -> None:
    scene.live.confirm.clear()
    for _ in range(3):
        _, viewer = scene.open()
        await settle()
        scene.hub.close(viewer)
    await settle()
    assert scene.hub._channels == {}
    socket, viewer = scene.open()
    await settle()
    scene.hub.close(viewer)
    socket, _ = scene.open()
    scene.live.confirm.set()
    await settle()
    scene.happen(response(1))
    await settle()
    assert len(socket.sent) == 1


async def test_a_closed_viewer_gets_nothing_more(scene: Scene) -> None:
    scene.command.hold = True
    socket, viewer = scene.open()
    await settle()
    scene.happen(response(1), published=False)
    scene.hub.close(viewer)
    scene.command.release()
    await settle()
    scene.happen(response(2))
    await settle()
    assert socket.sent == []
    assert scene.ends == []


async def test_an_unknown_command_ends_the_viewer(scene: Scene) -> None:
    scene.command.exists = False
    socket, _ = scene.open()
    await settle()
    assert scene.ends == [False]
    assert socket.sent == []


async def test_a_command_service_that_is_away_is_asked_again_by_the_clock(scene: Scene) -> None:
    scene.happen(response(1), published=False)
    scene.command.failures = 2
    socket, _ = scene.open()
    await settle()
    await scene.hub.reread_all()
    assert socket.sent == []
    await scene.hub.reread_all()
    await settle()
    assert len(socket.sent) == 1


async def test_a_bug_in_reading_does_not_end_a_viewer(scene: Scene) -> None:
    scene.happen(response(1), published=False)
    scene.command.bugs = 1
    socket, _ = scene.open()
    await settle()
    assert socket.sent == []
    await scene.hub.reread_all()
    await settle()
    assert len(socket.sent) == 1


async def test_the_clock_reads_all_viewers_in_one_call(scene: Scene) -> None:
    for _ in range(7):
        scene.open()
    await settle()
    calls = len(scene.command.calls)
    await scene.hub.reread_all()
    assert [len(call) for call in scene.command.calls[calls:]] == [7]


async def test_a_message_that_cannot_be_read_harms_nobody(scene: Scene) -> None:
    socket, _ = scene.open()
    await settle()
    scene.live.send(CHANNEL, b"\xff\xff\xff")
    scene.happen(response(1))
    await settle()
    assert len(socket.sent) == 1


async def test_a_slow_socket_is_not_buffered_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 5)
    socket, viewer = scene.open()
    await settle()
    socket.open_gate.clear()
    for number in range(1, 101):
        scene.happen(response(number))
    await settle()
    calls = len(scene.command.calls)
    assert viewer.sequence <= 10, "the rest stays in the recorded state"
    scene.happen(status(4, 100, terminal=True))
    await scene.hub.reread_all()
    assert len(scene.command.calls) == calls, "who has no room is not read for"
    socket.open_gate.set()
    await until(lambda: bool(scene.ends))
    await settle()
    check_whole(socket.events, responses=100)


async def test_what_a_full_socket_missed_while_it_was_read_comes_when_it_has_drained(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 2)
    socket, _ = scene.open()
    await settle()
    socket.open_gate.clear()
    scene.command.hold = True
    scene.live.gap()
    await settle()
    scene.happen(response(1), response(2), response(3))
    scene.happen(response(4))
    scene.command.hold = False
    socket.open_gate.set()
    await settle()
    scene.command.release()
    await settle()
    assert len(socket.sent) == 4


async def test_nothing_follows_the_terminal_event(scene: Scene) -> None:
    socket, viewer = scene.open()
    await settle()
    scene.live.send(CHANNEL, live(status(2, 0, terminal=True), response(1), status(3, 0)))
    assert viewer.accept(events_from([response(1), status(4, 0)])) == []
    await settle()
    check_whole(socket.events, responses=0)


async def test_a_slow_socket_does_not_slow_another(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 5)
    slow, _ = scene.open()
    fast, _ = scene.open()
    await settle()
    slow.open_gate.clear()
    for number in range(1, 51):
        scene.happen(response(number))
        await settle()
    scene.happen(status(4, 50, terminal=True))
    await settle()
    check_whole(fast.events, responses=50)


async def test_the_events_of_many_viewers_share_the_bound_of_their_socket(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 4)
    socket = SlowSocket()
    outlet = Outlet(socket)
    for after in (0, 1, 2):
        scene.hub.open(COMMAND, after, outlet, scene.ends.append)
    await settle()
    socket.open_gate.clear()
    scene.happen(*(response(number) for number in range(1, 4)))
    scene.happen(*(response(number) for number in range(4, 8)))
    scene.happen(status(3, 7, terminal=True))
    socket.open_gate.set()
    await until(lambda: len(scene.ends) == 3)
    await settle()
    numbers = sorted(event.get("sequence_number", 0) for event in socket.events)
    assert numbers == [0, 0, 0, 1, 2, 2, *(number for number in range(3, 8) for _ in range(3))]


async def test_the_clock_runs_in_the_background() -> None:
    scene = Scene()
    scene.hub = LiveUpdates(scene.live, scene.command.read, reread_seconds=0)
    scene.live.confirm.clear()
    socket, _ = scene.open()
    scene.happen(response(1), published=False)
    clock = asyncio.create_task(scene.hub.run())
    await until(lambda: bool(socket.sent))
    clock.cancel()
    await asyncio.wait([clock])
    await scene.hub.stop()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await settle()
    raise AssertionError("it never came")
