"""Commands that were sent from here: their viewer gets what has happened meanwhile, without asking for it."""

from collections.abc import AsyncIterator

import pytest

from gateway import expected_command
from gateway.live_updates import MAX_EXPECTED
from tests.unit.gateway.live_fakes import CHANNEL, COMMAND, check_whole, response, settle, status
from tests.unit.gateway.live_scene import Scene, a_scene


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        made.hub.expect(COMMAND)
        await settle()
        yield made


async def test_what_happened_before_it_is_watched_is_not_read(scene: Scene) -> None:
    scene.happen(status(1, 0), response(1))
    socket, _ = scene.open()
    await settle()
    scene.happen(response(2), status(2, 2, terminal=True))
    await settle()
    check_whole(socket.events, responses=2)
    assert scene.command.calls == []


async def test_it_may_have_ended_before_it_is_watched(scene: Scene) -> None:
    scene.happen(status(1, 0), response(1), status(2, 1, terminal=True))
    socket, _ = scene.open()
    await settle()
    check_whole(socket.events, responses=1)
    assert scene.ends == [True]
    assert scene.command.calls == []


async def test_a_viewer_gets_what_it_does_not_have(scene: Scene) -> None:
    scene.happen(status(1, 0), response(1), response(2))
    socket, _ = scene.open(after=1)
    await settle()
    assert [event["sequence_number"] for event in socket.events if event["event"] == "response"] == [2]
    assert scene.command.calls == []


async def test_a_second_viewer_reads(scene: Scene) -> None:
    scene.happen(status(1, 0), response(1), status(2, 1, terminal=True))
    scene.open()
    second, _ = scene.open()
    await settle()
    check_whole(second.events, responses=1)
    assert len(scene.command.calls) == 1


async def test_after_a_gap_the_viewer_reads(scene: Scene) -> None:
    scene.happen(response(1), published=False)
    scene.live.gap()
    scene.happen(response(2), status(1, 2, terminal=True))
    socket, _ = scene.open()
    await settle()
    check_whole(socket.events, responses=2)
    assert len(scene.command.calls) == 1


async def test_what_is_too_much_to_keep_is_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_command, "MAX_KEPT_EVENTS", 2)
    scene.happen(*(response(number) for number in range(1, 4)))
    scene.happen(response(4), status(1, 4, terminal=True))
    socket, _ = scene.open()
    await settle()
    check_whole(socket.events, responses=4)
    assert scene.command.calls


async def test_a_viewer_that_is_gone_at_once_gets_nothing(scene: Scene) -> None:
    scene.happen(status(1, 0))
    socket, viewer = scene.open()
    scene.hub.close(viewer)
    await settle()
    assert socket.sent == []


async def test_when_nobody_comes_the_subscription_is_given_up(scene: Scene) -> None:
    for _ in range(expected_command.MAX_ROUNDS):
        await scene.hub.reread_all()
        assert [each.channel for each in scene.live.subscriptions] == [CHANNEL]
    await scene.hub.reread_all()
    await settle()
    assert scene.live.subscriptions == []


async def test_what_was_refused_is_forgotten(scene: Scene) -> None:
    scene.hub.forget(COMMAND)
    await settle()
    assert scene.live.subscriptions == []


async def test_no_more_are_expected_than_there_is_room_for(scene: Scene) -> None:
    for number in range(MAX_EXPECTED + 5):
        scene.hub.expect(f"another {number}")
    await settle()
    assert len(scene.live.subscriptions) == MAX_EXPECTED


async def test_without_live_events_nothing_is_expected() -> None:
    async with a_scene() as scene:
        scene.live.connected = False
        scene.hub.expect(COMMAND)
        await settle()
        assert scene.live.subscriptions == []


async def test_a_status_that_was_lost_comes_with_the_clock(scene: Scene) -> None:
    scene.happen(status(1, 0), published=False)
    socket, _ = scene.open()
    await settle()
    assert socket.events == []
    await scene.hub.reread_all()
    await settle()
    assert [event["revision"] for event in socket.events] == [1]
