"""The database's clock between two readings of it."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from command_service.storage.command_memory import DatabaseClock

START = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)


class Machine:
    """This machine's monotonic clock, and the database's, which shows START when that shows 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)

    @property
    def database(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def _lag(clock: DatabaseClock, machine: Machine) -> float:
    now = clock.now()
    assert now is not None
    return (machine.database - now).total_seconds()


def _read(clock: DatabaseClock, machine: Machine, seconds_on_the_way: float = 0.0) -> None:
    said = machine.database
    machine.seconds += seconds_on_the_way
    clock.read(said)


def test_it_is_unknown_until_it_was_read() -> None:
    assert DatabaseClock().now() is None


def test_it_goes_on_by_itself(machine: Machine) -> None:
    clock = DatabaseClock()
    _read(clock, machine)
    machine.seconds += 0.75
    assert _lag(clock, machine) == pytest.approx(0, abs=1e-5)


def test_a_reading_that_was_long_on_its_way_does_not_set_it_back(machine: Machine) -> None:
    clock = DatabaseClock()
    _read(clock, machine, 0.001)
    _read(clock, machine, 0.3)
    assert _lag(clock, machine) == pytest.approx(0.001, abs=1e-5)


def test_it_never_goes_back_while_readings_come(machine: Machine) -> None:
    clock = DatabaseClock()
    seen = []
    for number in range(200):
        _read(clock, machine, 0.0004 * (number % 7))
        seen.append(clock.now() or START)
        machine.seconds += 0.01
    assert all(later - earlier > -timedelta(milliseconds=3) for earlier, later in pairwise(seen))
    assert 0 <= _lag(clock, machine) < 0.003


def test_a_database_whose_clock_was_set_back_is_believed_after_a_moment(machine: Machine) -> None:
    clock = DatabaseClock()
    _read(clock, machine)
    for _ in range(30):
        machine.seconds += 0.1
        clock.read(machine.database - timedelta(hours=1))
    assert _lag(clock, machine) == pytest.approx(3600, abs=1e-3)


def test_it_is_unknown_when_it_was_not_read_lately(machine: Machine) -> None:
    clock = DatabaseClock()
    _read(clock, machine)
    machine.seconds += 5
    assert clock.now() is None
