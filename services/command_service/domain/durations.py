"""How long commands take, counted in classes that grow by a tenth each: a percentile of any number of commands comes
from a few numbers, and is off by less than that tenth."""

from collections.abc import Mapping

SHORTEST_SECONDS, LONGEST_SECONDS, GROWTH = 0.001, 3600.0, 1.1


def _bounds() -> tuple[float, ...]:
    bounds = [SHORTEST_SECONDS]
    while bounds[-1] < LONGEST_SECONDS:
        bounds.append(round(bounds[-1] * GROWTH, 6))
    return tuple(bounds)


# Class k lies below UPPER_BOUNDS[k]; what is longer than all of them is in one more.
UPPER_BOUNDS = _bounds()
# Of what has no duration.
NO_CLASS = -1


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Seconds within which that share of the commands ended; `counts` by class. None when there are none."""
    rank = share * sum(counts.values())
    before = 0
    for place, count in sorted(counts.items()):
        if count and before + count >= rank:
            return _within(place, (rank - before) / count)
        before += count
    return None


def _within(place: int, fraction: float) -> float:
    if place >= len(UPPER_BOUNDS):
        return UPPER_BOUNDS[-1]
    upper = UPPER_BOUNDS[place]
    lower = UPPER_BOUNDS[place - 1] if place else 0.0
    return lower + (upper - lower) * fraction
