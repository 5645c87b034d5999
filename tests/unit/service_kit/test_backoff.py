"""Pauses between attempts."""

from service_kit.backoff import Backoff


def test_pauses_double_up_to_a_limit_and_are_never_all_the_same() -> None:
    backoff = Backoff(first=1, limit=8)
    for longest in (1, 2, 4, 8, 8, 8):
        assert longest / 2 <= backoff.pause() <= longest
    assert len({backoff.pause() for _ in range(20)}) > 1


def test_after_a_success_it_starts_anew() -> None:
    backoff = Backoff(first=1, limit=8)
    for _ in range(5):
        backoff.pause()
    backoff.reset()
    assert backoff.pause() <= 1
