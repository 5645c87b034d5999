"""What the vehicle was handed and has not yet delivered, on disk: it outlives the agent, and a loss of power.

A command that must not be repeated is on the disk, and not only in its cache, before the vehicle sees anything of it.
What it says is written before it is sent, but may be in the cache for a while: a loss of power makes its fate unknown,
and never something else. What is delivered is forgotten, except that it was there, for as long as commands live.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError

from service_kit.logging import get_logger
from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute
from vehicle_session.hand_overs import HandOvers
from vehicle_session.held_command import Held, Key

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS handed (
    command_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    vin TEXT NOT NULL,
    handed_at REAL NOT NULL,
    once INTEGER NOT NULL,  -- it must not be repeated
    command BLOB,           -- NULL: nothing is held of it any more
    recorded INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (command_id, attempt)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS handed_by_time ON handed (handed_at);
CREATE TABLE IF NOT EXISTS said (
    command_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    said BLOB NOT NULL,
    PRIMARY KEY (command_id, attempt, number)
) WITHOUT ROWID;
"""
_KNOWN = "SELECT 1 FROM handed WHERE command_id = ? LIMIT 1"
_HAND = "INSERT OR REPLACE INTO handed VALUES (?, ?, ?, ?, ?, ?, 0)"
_HELD = "SELECT command, recorded FROM handed WHERE vin = ? AND command IS NOT NULL ORDER BY handed_at"
_RECORD = "UPDATE handed SET recorded = ? WHERE command_id = ? AND attempt = ?"
_LET_GO = "UPDATE handed SET command = NULL WHERE command_id = ? AND attempt = ? AND once"
_FORGET = "DELETE FROM handed WHERE command_id = ? AND attempt = ? AND NOT once"
_FORGET_OLD = "DELETE FROM handed WHERE handed_at < ?"
_SAY = "INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)"
_SAID = "SELECT said FROM said WHERE command_id = ? AND attempt = ? AND number > ? ORDER BY number"
_FORGET_SAID = "DELETE FROM said WHERE command_id = ? AND attempt = ?"
_FORGET_OLD_SAID = (
    "DELETE FROM said WHERE (command_id, attempt) IN (SELECT command_id, attempt FROM handed WHERE handed_at < ?)"
)
_FORGET_SECONDS = 3600.0

_log = get_logger(__name__)


class Journal(HandOvers):
    """`directory` is kept from other agents while it is open. Raises OSError, for people, when it cannot be used.

    `remember_seconds`: what was handed over longer ago is forgotten.
    """

    def __init__(self, directory: Path, remember_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._forget_at = 0.0
        self._failing = False
        self._newest = 0.0
        self.path = directory / "journal.db"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._complaints():
            self._database = self._open()

    def admit(self, vin: str, commands: Sequence[Execute]) -> list[bool]:
        """Raises sqlite3.Error when it cannot be written down: then nothing may be executed."""
        now = self._now()
        admitted: list[bool] = []
        # FULL: on the disk before this returns; NORMAL: when the system finds the time.
        changing = any(not command.repeatable for command in commands)
        self._database.execute(f"PRAGMA synchronous = {'FULL' if changing else 'NORMAL'}")
        with self._transaction():
            self._forget_old(now)
            for command in commands:
                admitted.append(command.repeatable or not self._knows(command.command_id))
                if admitted[-1]:
                    self._write(vin, command, now)
        return admitted

    def keep(self, update: CommandUpdate) -> None:
        with self._if_possible():
            what = update.command_id, update.attempt, update.number, update.SerializeToString()
            self._database.execute(_SAY, what)

    def recorded(self, key: Key, number: int) -> None:
        with self._if_possible():
            self._database.execute(f"{_FORGET_SAID} AND number <= ?", (*key, number))
            self._database.execute(_RECORD, (number, *key))

    def let_go(self, key: Key) -> None:
        with self._if_possible():
            self._database.execute(_FORGET_SAID, key)
            self._database.execute(_FORGET, key)
            self._database.execute(_LET_GO, key)

    def held(self, vin: str) -> list[Held]:
        """Raises OSError, for people, for what cannot be read."""
        with self._complaints():
            rows = self._database.execute(_HELD, (vin,)).fetchall()
            return [self._restored(Execute.FromString(command), recorded) for command, recorded in rows]

    def close(self) -> None:
        self._database.close()

    # --- inside

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        # One process at a time: it holds the lock from the first write to its end, however it ends.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            database.close()
            raise OSError(f"{self.path} was written by another version of the agent ({version}, this one: {_VERSION})")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
        self._newest = database.execute("SELECT coalesce(max(handed_at), 0) FROM handed").fetchone()[0]
        return database

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OSError(f"another agent uses {self.path}: give each a STATE_DIR of its own") from None
            raise OSError(f"STATE_DIR: {self.path}: {error}") from None
        except (sqlite3.DatabaseError, DecodeError) as error:
            raise OSError(
                f"{self.path} is damaged ({error}): once it is moved away, a command that was handed over before "
                "might be executed again"
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # some errors have ended it already
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _if_possible(self) -> Iterator[None]:
        """With what is lost here a restart makes a fate unknown, or says again what is known; nothing is repeated."""
        try:
            with self._transaction():
                yield
            self._failing = False
        except sqlite3.Error as error:
            if not self._failing:
                _log.error("journal_not_written", path=str(self.path), reason=str(error))
            self._failing = True

    def _now(self) -> float:
        """Never before what is written already: a small computer has no clock when it starts."""
        self._newest = max(self._clock(), self._newest)
        return self._newest

    def _knows(self, command_id: str) -> bool:
        return self._database.execute(_KNOWN, (command_id,)).fetchone() is not None

    def _write(self, vin: str, command: Execute, now: float) -> None:
        key = command.command_id, command.attempt
        self._database.execute(_FORGET_SAID, key)
        self._database.execute(_HAND, (*key, vin, now, not command.repeatable, command.SerializeToString()))

    def _forget_old(self, now: float) -> None:
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_SECONDS
            old = (now - self._remember_seconds,)
            self._database.execute(_FORGET_OLD_SAID, old)
            self._database.execute(_FORGET_OLD, old)

    def _restored(self, command: Execute, recorded: int) -> Held:
        said = self._database.execute(_SAID, (command.command_id, command.attempt, recorded))
        return Held.restored(command, recorded, [CommandUpdate.FromString(one) for (one,) in said])
