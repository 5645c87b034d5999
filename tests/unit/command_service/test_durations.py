"""Percentiles from classes of durations."""

from bisect import bisect_right
from collections import Counter

import pytest

from command_service.domain.durations import LONGEST_SECONDS, UPPER_BOUNDS, percentile


def classes(*seconds: float) -> Counter[int]:
    return Counter(bisect_right(UPPER_BOUNDS, one) for one in seconds)


def test_of_nothing_there_is_none() -> None:
    assert percentile({}, 0.5) is None


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
def test_they_are_off_by_less_than_a_tenth(share: float) -> None:
    durations = [0.002 * 1.01**number for number in range(1000)]
    exact = durations[round(share * len(durations)) - 1]
    assert percentile(classes(*durations), share) == pytest.approx(exact, rel=0.1)


def test_of_one_command_all_are_about_the_same() -> None:
    for seconds in (0.01, 1.0, 600.0):
        for share in (0.5, 0.95):
            assert percentile(classes(seconds), share) == pytest.approx(seconds, rel=0.1)


def test_the_ends_of_the_scale() -> None:
    assert 0 < (percentile(classes(0.0), 0.5) or 0) < UPPER_BOUNDS[0]
    assert percentile(classes(1e9), 0.5) == UPPER_BOUNDS[-1] >= LONGEST_SECONDS
