"""The guard of login sessions: how long a session that has ended is still taken for live."""

import asyncio
from collections.abc import Collection

import pytest

from gateway.session_guard import CACHE_SECONDS, CHANNEL, SessionGuard
from service_kit.errors import Unavailable
from tests.unit.gateway.live_fakes import HandLiveEvents, settle


class Sessions:
    """The database's side."""

    def __init__(self) -> None:
        self.live = {"a", "b"}
        self.asked: list[set[str]] = []
        self.away = False

    async def find_live(self, sids: Collection[str]) -> Collection[str]:
        if self.away:
            raise Unavailable("DATABASE_UNAVAILABLE", "away")
        self.asked.append(set(sids))
        return self.live & set(sids)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live_events() -> HandLiveEvents:
    return HandLiveEvents()


@pytest.fixture
def guard(sessions: Sessions, live_events: HandLiveEvents, clock: Clock) -> SessionGuard:
    return SessionGuard(sessions.find_live, live_events, clock)


async def test_a_live_session_is_asked_for_once_in_a_while(
    guard: SessionGuard, sessions: Sessions, clock: Clock
) -> None:
    assert not guard.is_known_live("a")
    assert await guard.is_live("a")
    assert await guard.is_live("a")
    assert guard.is_known_live("a")
    assert sessions.asked == [{"a"}]
    sessions.live.clear()
    clock.now += CACHE_SECONDS
    assert not await guard.is_live("a")


async def test_an_unknown_session_is_not_live(guard: SessionGuard) -> None:
    assert not await guard.is_live("nobody")


async def test_a_database_that_is_away_is_no_answer(guard: SessionGuard, sessions: Sessions) -> None:
    sessions.away = True
    with pytest.raises(Unavailable):
        await guard.is_live("a")


async def test_watchers_learn_of_the_end_from_one_batch(guard: SessionGuard, sessions: Sessions, clock: Clock) -> None:
    ended: list[str] = []
    for sid in ("a", "a", "b"):
        guard.watch(sid, lambda sid=sid: ended.append(sid))  # type: ignore[misc]
    await guard.check_watched()
    assert ended == []
    sessions.live = {"b"}
    sessions.asked.clear()
    await guard.check_watched()
    assert ended == ["a", "a"]
    assert sessions.asked == [{"a", "b"}]
    await guard.check_watched()
    assert ended == ["a", "a"]


async def test_who_stopped_watching_is_not_told(guard: SessionGuard, sessions: Sessions) -> None:
    ended: list[str] = []
    stop = guard.watch("a", lambda: ended.append("a"))
    stop()
    stop()
    sessions.live.clear()
    await guard.check_watched()
    assert ended == []
    assert sessions.asked == []


async def test_the_end_is_announced_here_and_elsewhere(
    guard: SessionGuard, sessions: Sessions, live_events: HandLiveEvents, clock: Clock
) -> None:
    elsewhere = SessionGuard(sessions.find_live, live_events, clock)
    await elsewhere.subscribe()
    ended: list[str] = []
    for each in (guard, elsewhere):
        assert await each.is_live("a")
        each.watch("a", lambda: ended.append("a"))
    sessions.live.clear()
    await guard.announce_end(["a"])
    assert ended == ["a", "a"]
    assert not await guard.is_live("a")
    assert not await elsewhere.is_live("a")
    await elsewhere.close()
    assert live_events.subscriptions == []


async def test_an_answer_under_way_does_not_revive_what_ended_meanwhile(
    guard: SessionGuard, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow(sids: Collection[str]) -> Collection[str]:
        found = sessions.live & set(sids)
        asked.set()
        await answered.wait()
        return found

    monkeypatch.setattr(guard, "_find_live", slow)
    check = asyncio.create_task(guard.is_live("a"))
    await asked.wait()
    await guard.announce_end(["a"])
    answered.set()
    assert not await check
    assert not guard.is_known_live("a")


async def test_a_hint_that_cannot_be_sent_harms_nobody(
    guard: SessionGuard, live_events: HandLiveEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(live_events, "publish", fail)
    await guard.announce_end(["a"])


async def test_after_a_gap_nothing_is_taken_for_known(guard: SessionGuard, live_events: HandLiveEvents) -> None:
    await guard.subscribe()
    assert await guard.is_live("a")
    (subscription,) = live_events.subscriptions
    assert subscription.channel == CHANNEL
    subscription.on_gap()
    assert not guard.is_known_live("a")


async def test_the_background_check_survives_a_database_that_is_away(
    guard: SessionGuard, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.session_guard.WATCH_SECONDS", 0)
    ended: list[str] = []
    guard.watch("a", lambda: ended.append("a"))
    sessions.away = True
    running = asyncio.create_task(guard.run())
    await settle()
    sessions.away = False
    sessions.live.clear()
    while not ended:
        await settle()
    running.cancel()
