"""What an agent remembers beyond its end."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute, Finished
from vehicle_agent.journal import Journal

VIN = "WDD1234567890ABCD"
DAY = 86_400.0
Journals = Callable[..., Journal]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    """Opens the journal again, as after a restart."""
    opened: list[Journal] = []

    def reopened(now: float = 1000.0) -> Journal:
        if opened:
            opened[-1].close()
        opened.append(Journal(tmp_path / "state", 30 * DAY, lambda: now))
        return opened[-1]

    yield reopened
    opened[-1].close()


def command(command_id: str = "c1", *, attempt: int = 1, repeatable: bool = False) -> Execute:
    return Execute(command_id=command_id, attempt=attempt, command_name="ClearDTC", repeatable=repeatable)


def update(number: int, **what: object) -> CommandUpdate:
    return CommandUpdate(command_id="c1", attempt=1, number=number, **(what or {"response": "{}"}))  # type: ignore[arg-type]


def test_what_must_not_be_repeated_is_admitted_once_also_after_a_restart(journals: Journals) -> None:
    journal = journals()
    assert journal.admit(VIN, [command(), command("c2", repeatable=True)]) == [True, True]
    for key in (("c1", 1), ("c2", 1)):
        journal.let_go(key)
    journal = journals()
    assert journal.held(VIN) == []
    assert journal.admit(VIN, [command(), command(attempt=2), command("c2", repeatable=True)]) == [False, False, True]


def test_of_two_attempts_in_one_message_the_first_is_admitted(journals: Journals) -> None:
    assert journals().admit(VIN, [command(), command(attempt=2)]) == [True, False]


def test_before_a_change_is_admitted_it_is_on_the_disk(journals: Journals, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own words for it: FULL is an fsync at each commit."""
    journal = journals()
    seen: list[str] = []
    journal._database.set_trace_callback(seen.append)
    journal.admit(VIN, [command("c2", repeatable=True), command()])
    assert seen.index("PRAGMA synchronous = FULL") < seen.index("BEGIN IMMEDIATE") < seen.index("COMMIT")
    assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_was_said_is_held_as_far_as_it_is_not_recorded(journals: Journals) -> None:
    journal = journals()
    journal.admit(VIN, [command()])
    for number in (1, 2):
        journal.keep(update(number))
    journal.keep(update(3, finished=Finished(kind=Finished.COMPLETED)))
    journal.recorded(("c1", 1), 1)
    (held,) = journals().held(VIN)
    assert (held.key, held.recorded, held.finished, held.interrupted) == (("c1", 1), 1, True, False)
    held.resume(2, 10)
    assert [one.number for one in held.take_ready(10_000)[0]] == [2, 3]


def test_what_had_not_ended_was_interrupted(journals: Journals) -> None:
    journal = journals()
    journal.admit(VIN, [command()])
    journal.keep(update(1))
    (held,) = journals().held(VIN)
    assert (held.finished, held.interrupted) == (False, True)


def test_after_a_gap_nothing_counts(journals: Journals) -> None:
    journal = journals()
    journal.admit(VIN, [command()])
    journal.keep(update(1))
    journal.keep(update(3, finished=Finished(kind=Finished.COMPLETED)))
    (held,) = journals().held(VIN)
    held.resume(1, 10)
    assert [one.number for one in held.take_ready(10_000)[0]] == [1]
    assert held.interrupted


def test_another_vehicle_is_not_told(journals: Journals) -> None:
    journals().admit(VIN, [command()])
    assert journals().held("WDD0987654321ZYXW") == []


def test_what_is_older_than_commands_live_is_forgotten(journals: Journals) -> None:
    journal = journals(now=0.0)
    journal.admit(VIN, [command(), command("c2")])
    journal.let_go(("c1", 1))
    journal.keep(update(1))
    journal = journals(now=29 * DAY)
    assert journal.admit(VIN, [command()]) == [False]
    journal = journals(now=31 * DAY)
    journal.admit(VIN, [])
    assert journal.held(VIN) == []
    assert journal._database.execute("SELECT count(*) FROM handed").fetchone() == (0,)
    assert journal._database.execute("SELECT count(*) FROM said").fetchone() == (0,)


def test_a_clock_that_is_behind_makes_nothing_older(journals: Journals) -> None:
    journals(now=100 * DAY).admit(VIN, [command()])
    journals(now=0.0).admit(VIN, [command("c2")])
    assert journals(now=101 * DAY).admit(VIN, [command("c2")]) == [False]


def test_the_file_stays_small(journals: Journals) -> None:
    journal = journals()
    for _ in range(2000):
        journal.admit(VIN, [command("c1", repeatable=True)])
        for said in range(1, 4):
            journal.keep(update(said, response="x" * 500))
        journal.recorded(("c1", 1), 3)
        journal.let_go(("c1", 1))
    size = sum(file.stat().st_size for file in journal.path.parent.iterdir())
    assert size < 6_000_000


def test_two_agents_do_not_share_it(journals: Journals) -> None:
    journal = journals()
    journal.admit(VIN, [command()])
    with pytest.raises(OSError, match=r"another agent uses .*journal\.db: give each a STATE_DIR of its own"):
        Journal(journal.path.parent, DAY)


def test_a_damaged_one_is_not_silently_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"this is no database, and long enough to be none" * 100)
    with pytest.raises(OSError, match=r"is damaged .* might be executed again"):
        Journal(tmp_path, DAY)


@pytest.mark.parametrize("damaged", ["page", "command"])
def test_one_that_is_damaged_further_in_is_named_too(tmp_path: Path, damaged: str) -> None:
    journal = Journal(tmp_path, DAY)
    journal.admit(VIN, [Execute(command_id=f"c{number}", attempt=1, command_name="x" * 500) for number in range(50)])
    journal.close()
    content = bytearray(journal.path.read_bytes())
    at = content.rindex(b"x" * 500)
    if damaged == "page":  # a SQLite page begins with its kind
        content[at // 4096 * 4096] = 0xFF
    else:  # its length, for protobuf
        content[at - 2 : at] = b"\xff\xff"
    journal.path.write_bytes(content)
    again = Journal(tmp_path, DAY)
    with pytest.raises(OSError, match=r"journal\.db is damaged .* might be executed again"):
        again.held(VIN)
    again.close()


def test_one_of_another_version_is_left_alone(tmp_path: Path) -> None:
    Journal(tmp_path, DAY).close()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(OSError, match=r"another version of the agent \(7, this one: 1\)"):
        Journal(tmp_path, DAY)


def test_a_full_disk_refuses_the_hand_over_and_is_told_once(
    journals: Journals, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = journals()
    journal.admit(VIN, [command()])
    (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 20):
        journal.keep(update(number, response="x" * 10_000))
    assert capsys.readouterr().out.count("journal_not_written") == 1
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.admit(VIN, [Execute(command_id="c2", attempt=1, command_params="x" * 10_000)])
    (held,) = journals().held(VIN)
    assert held.interrupted
