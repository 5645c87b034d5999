"""The fleet now and the commands of the last hours, at a glance, however many there are.

Commands that have ended never change: they are folded into counts per hour some time after their end, once each. What
a summary reads are those counts and the few commands that have ended since.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from command_service.domain.durations import NO_CLASS, percentile
from command_service.use_cases.ports import EndedCount, Storage
from service_kit.errors import InvalidInput

MAX_HOURS = 168
HOUR = timedelta(hours=1)
# A command's end has a time that is read in the transaction that records it, which is over long before this.
SETTLED_AFTER = timedelta(minutes=2)
# Of ends in one transaction, so that none takes long.
FOLDED_AT_ONCE = HOUR
KEPT = timedelta(hours=MAX_HOURS + 24)


@dataclass(frozen=True, slots=True)
class Hour:
    """How many of the commands sent within it have ended, by status."""

    start: datetime
    ended: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Summary:
    generated_at: datetime
    vehicles_online: int
    vehicles_offline: int
    by_status: Mapping[str, int]
    waiting_for_offline_vehicles: int
    p50_seconds: float | None
    p95_seconds: float | None
    hours: Sequence[Hour]


class Summarise:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def __call__(self, hours: int) -> Summary:
        """Of the commands sent in the hour that runs and those before it, `hours` in all. Raises InvalidInput."""
        if not 1 <= hours <= MAX_HOURS:
            raise InvalidInput("VALIDATION_FAILED", f"hours must be 1 to {MAX_HOURS}")
        async with self._storage.reading() as uow:
            now = await uow.clock()
            since = now.replace(minute=0, second=0, microsecond=0) - (hours - 1) * HOUR
            ended = await uow.reports.ended_since(since)
            is_open = await uow.reports.open_since(since)
            online, offline = await uow.reports.count_vehicles()
            waiting = await uow.reports.count_waiting_for_offline_vehicles()
        durations = Counter[int]()
        for one in ended:
            if one.duration != NO_CLASS:
                durations[one.duration] += one.count
        return Summary(
            generated_at=now,
            vehicles_online=online,
            vehicles_offline=offline,
            by_status=_by_status(ended) + Counter(is_open),
            waiting_for_offline_vehicles=waiting,
            p50_seconds=percentile(durations, 0.5),
            p95_seconds=percentile(durations, 0.95),
            hours=_by_hour(ended, [since + place * HOUR for place in range(hours)]),
        )


class FoldEndedCommands:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def __call__(self) -> bool:
        """Folds some; whether there may be more."""
        async with self._storage.reading() as uow:
            settled = await uow.clock() - SETTLED_AFTER
            first = await uow.reports.first_unfolded_end(settled)
        if first is None:
            return False
        until = min(first + FOLDED_AT_ONCE, settled)
        async with self._storage.transaction() as uow:
            # Another process may have been here: who comes second finds the mark beyond.
            if await uow.reports.lock_folded_until() < until:
                await uow.reports.fold(until)
                await uow.reports.forget_hours_before(settled - KEPT)
                await uow.commit()
        return until < settled


def _by_status(ended: Sequence[EndedCount]) -> Counter[str]:
    counts = Counter[str]()
    for one in ended:
        counts[one.status] += one.count
    return counts


def _by_hour(ended: Sequence[EndedCount], starts: Sequence[datetime]) -> list[Hour]:
    hours = {start: Counter[str]() for start in starts}
    for one in ended:
        # One that was sent after the clock was read, in an hour that has just begun, is in no hour yet.
        if one.hour in hours:
            hours[one.hour][one.status] += one.count
    return [Hour(start, counts) for start, counts in hours.items()]
