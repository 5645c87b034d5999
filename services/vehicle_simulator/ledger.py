"""The execution ledger: what a vehicle was handed and did, on disk, so that it outlives the vehicle.

One JSON line per event, appended before the event has effects. Tests hold the platform's promises against it, and a
command that must not be repeated is refused when it is handed over again, also after a restart.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from sovd_protos.session.v1.session_pb2 import Execute
from vehicle_session.hand_overs import HandOvers

RECEIVED = "received"
EXECUTED = "executed"
FINISHED = "finished"
CANCELLED = "cancelled"
REFUSED_DUPLICATE = "refused_duplicate"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event. `at`: microseconds since the Unix epoch. "received" has the parameters, "finished" the outcome."""

    at: int
    vin: str
    command_id: str
    attempt: int
    command_name: str
    repeatable: bool
    event: str
    command_params: str = ""
    outcome: str = ""


class ExecutionLedger(HandOvers):
    """Append-only, one for all vehicles of a process; several processes may share the file. No path: memory only."""

    def __init__(self, path: Path | None = None, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._once_only: set[str] = set()
        self._file: int | None = None
        if path is not None:
            self._once_only.update(
                entry.command_id for entry in _entries_if_any(path) if entry.event == RECEIVED and not entry.repeatable
            )
            self._file = _open_for_appending(path)

    def admit(self, vin: str, commands: Sequence[Execute]) -> list[bool]:
        """Writes down that the commands were handed over. For each: may it be executed?"""
        admitted = [self._is_new(command) for command in commands]
        lines: list[str] = []
        for command, new in zip(commands, admitted, strict=True):
            lines += (_received(vin, command), _entry(vin, command, EXECUTED if new else REFUSED_DUPLICATE))
        self._write(lines)
        return admitted

    def record(self, vin: str, command: Execute) -> None:
        """It is executed, whatever was before: over HTTP a vehicle does not know which requests are one command."""
        self._write([_received(vin, command), _entry(vin, command, EXECUTED)])

    def refuse(self, vin: str, command: Execute) -> None:
        """A command that the vehicle still works on was handed over again."""
        self._write([_received(vin, command), _entry(vin, command, REFUSED_DUPLICATE)])

    def finish(self, vin: str, command: Execute, outcome: str, *, cancelled: bool = False) -> None:
        self._write([_entry(vin, command, CANCELLED if cancelled else FINISHED, outcome=outcome)])

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_new(self, command: Execute) -> bool:
        if command.repeatable:
            return True
        if command.command_id in self._once_only:
            return False
        self._once_only.add(command.command_id)
        return True

    def _write(self, lines: list[str]) -> None:
        if self._file is None:
            return
        # One call: lines of processes that share the file do not mix.
        data = ("\n".join(lines) + "\n").encode()
        if os.write(self._file, data) != len(data):
            raise OSError("the execution ledger was cut short: is the disk full?")
        if self._fsync:
            os.fsync(self._file)


def read_ledger(path: Path) -> list[LedgerEntry]:
    """All entries, in order. A last line that a crash has cut off is left out."""
    return list(_entries(path.read_text(encoding="utf-8").splitlines()))


def executions(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    """How often each command was executed, over all its attempts."""
    return _count(entries, EXECUTED)


def hand_overs(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    """How often each command was handed over, over all its attempts."""
    return _count(entries, RECEIVED)


def _count(entries: Iterable[LedgerEntry], event: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.event == event:
            counts[entry.command_id] = counts.get(entry.command_id, 0) + 1
    return counts


def _entry(vin: str, command: Execute, event: str, **more: str) -> str:
    return orjson.dumps(
        {
            "at": time.time_ns() // 1000,
            "vin": vin,
            "command_id": command.command_id,
            "attempt": command.attempt,
            "command_name": command.command_name,
            "repeatable": command.repeatable,
            "event": event,
            **more,
        }
    ).decode()


def _received(vin: str, command: Execute) -> str:
    return _entry(vin, command, RECEIVED, command_params=command.command_params)


def _entries_if_any(path: Path) -> Iterator[LedgerEntry]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from _entries(lines)


def _entries(lines: Iterable[str]) -> Iterator[LedgerEntry]:
    for line in lines:
        try:
            yield LedgerEntry(**json.loads(line))
        except (ValueError, TypeError):  # cut off by a crash in mid-write
            continue


def _open_for_appending(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file
