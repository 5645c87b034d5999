"""When the watchdog may decide about fates: one full lease after the start and after everything that stood still."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from command_service.dispatch import Dispatcher
from command_service.use_cases.assign_vehicles import AssignVehicles
from command_service.use_cases.limits import Limits
from command_service.use_cases.recover_commands import RecoverCommands
from command_service.watchdog import Watchdog
from service_kit.errors import Unavailable

LIMITS = Limits()
PATIENCE = LIMITS.lease_seconds + LIMITS.lease_grace_seconds


class Looks:
    """RecoverCommands, Dispatcher and the clock in one: what was looked at, and how long it took."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looked: list[str] = []
        self.during: dict[str, Callable[[], None]] = {}
        self.swept = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        async def look() -> int:
            self.looked.append(name)
            self.during.pop(name, lambda: None)()
            if name == "sweep":
                self.swept.set()
            return 0

        return look

    def takes(self, seconds: float) -> Callable[[], None]:
        def passes() -> None:
            self.now += seconds

        return passes


def fails() -> None:
    raise Unavailable("DATABASE_UNAVAILABLE", "away")


def a_watchdog(looks: Looks) -> Watchdog:
    assign, dispatcher = cast("AssignVehicles", looks), cast("Dispatcher", looks)
    return Watchdog(cast("RecoverCommands", looks), assign, dispatcher, LIMITS, clock=lambda: looks.now)


async def started(looks: Looks) -> Watchdog:
    """Its first look is done."""
    watchdog = a_watchdog(looks)
    task = asyncio.create_task(watchdog.run())
    await looks.swept.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return watchdog


async def decides(watchdog: Watchdog, looks: Looks) -> bool:
    looks.looked.clear()
    await watchdog.look()
    return "decide_overdue" in looks.looked


async def test_it_is_patient_from_the_moment_that_the_database_is_there() -> None:
    looks = Looks()
    looks.now = 1000.0  # made long ago: the service has waited for its database
    watchdog = await started(looks)
    assert "drop_lapsed_connectors" not in looks.looked
    assert "expire_waiting" in looks.looked
    looks.now += PATIENCE - 0.1
    assert not await decides(watchdog, looks)
    looks.now += 0.1
    assert await decides(watchdog, looks)


async def test_it_is_patient_after_an_outage() -> None:
    looks = Looks()
    watchdog = await started(looks)
    looks.now += PATIENCE
    looks.during["expire_waiting"] = fails
    assert not await decides(watchdog, looks)
    assert not await decides(watchdog, looks)
    looks.now += PATIENCE
    assert await decides(watchdog, looks)


async def test_a_database_that_stood_still_without_a_word_was_away() -> None:
    looks = Looks()
    watchdog = await started(looks)
    looks.now += PATIENCE
    for look in ("expire_waiting", "requeue_unclaimed", "drop_lapsed_connectors"):
        looks.during[look] = looks.takes(LIMITS.lease_seconds)
        assert not await decides(watchdog, looks), look
        looks.now += PATIENCE
    looks.during["sweep"] = looks.takes(LIMITS.lease_seconds)
    assert await decides(watchdog, looks)
    assert not await decides(watchdog, looks)


async def test_a_slow_look_is_no_outage() -> None:
    looks = Looks()
    watchdog = await started(looks)
    looks.now += PATIENCE
    looks.during["requeue_unclaimed"] = looks.takes(LIMITS.lease_seconds / 3)
    assert await decides(watchdog, looks)
