"""What must hold of a vehicle before it is handed a command: read from it after the claim, over whatever link it has.

A value is read as any data identifier is, under a key of its own that the command service never hears of. Nothing of
the command has left until all values are there and right, so that a refusal is a certain outcome; what cannot be read
is refused, too. Whatever ends the attempt meanwhile (a cancel, a lost session, a connector that stops) ends it as one
that was not handed over.
"""

import asyncio
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from uuid import uuid4

from sovd_protos.connector.v1.connector_pb2 import Precondition, Reading
from vehicle_connector.attempt import Attempt, Phase
from vehicle_connector.vehicle_response import complaint_about
from vehicle_links.vehicle_link import AttemptKey, End, Finished, Response, Update, VehicleCommand, VehicleLink

# How long the vehicle may take to tell all values, and how old these may be when the command leaves. Together no more
# than any command may wait at its link (HAND_OVER_SECONDS).
READING_SECONDS = 5.0
FRESH_SECONDS = 4.0

_READ = "ReadDataByID"
_RAW = re.compile(r"0x[0-9A-Fa-f]{1,16}")
_COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "=": (math.isclose, "must be"),
    "!=": (lambda one, other: not math.isclose(one, other), "must not be"),
    "<": (operator.lt, "must be less than"),
    "<=": (operator.le, "must be at most"),
    ">": (operator.gt, "must be more than"),
    ">=": (operator.ge, "must be at least"),
}


class PreconditionChecks:
    """Those that are under way at this connector."""

    def __init__(self, window: int, reason_to_hold_back: Callable[[], tuple[str, str] | None]) -> None:
        self._window = window
        self._reason_to_hold_back = reason_to_hold_back
        self._reads: dict[AttemptKey, _Read] = {}

    def start(self, attempt: Attempt, link: VehicleLink, preconditions: Iterable[Precondition]) -> None:
        """The attempt is handed over, or refused, once its vehicle has told what it is asked."""
        attempt.wait_at(link)
        check = _Check(attempt, link)
        for precondition in preconditions:
            read = _Read(check, precondition, self._window, self._reason_to_hold_back)
            check.reads.append(read)
            if not precondition.HasField("reading"):
                read.fail("nobody has said where this vehicle keeps it")
            elif not link.supports(_READ):
                read.fail(f"the vehicle does not support {_READ}")
            else:
                self._reads[read.command.key] = read
        check.timer = asyncio.get_running_loop().call_later(READING_SECONDS, self._decide, check)
        for read in check.reads:
            if read.open:
                link.execute(read)
        self._decide_if_settled(check)

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> bool:
        """False: it is none of theirs."""
        read = self._reads.get(key)
        if read is None or read.check.link is not link:
            return False
        read.take(update)
        if not read.open:
            del self._reads[key]
            link.release(key)
            self._decide_if_settled(read.check)
        return True

    def _decide_if_settled(self, check: "_Check") -> None:
        if not any(read.open for read in check.reads):
            self._decide(check)

    def _decide(self, check: "_Check") -> None:
        if check.decided:
            return
        check.decided = True
        if check.timer is not None:
            check.timer.cancel()
        for read in check.reads:
            if self._reads.pop(read.command.key, None) is not None:
                check.link.cancel(read.command.key)
                check.link.release(read.command.key)
        if check.attempt.phase is not Phase.WAITING:
            return  # its session is lost, it is cancelled, the connector stops: that has been said
        hold_back, refusal = self._reason_to_hold_back(), check.refusal()
        if hold_back is not None:
            check.attempt.not_handed_over(*hold_back)
        elif refusal is not None:
            check.attempt.refuse(*refusal)
        else:
            check.attempt.hand_over_to(check.link, within_seconds=FRESH_SECONDS)


class _Check:
    """The preconditions of one attempt."""

    def __init__(self, attempt: Attempt, link: VehicleLink) -> None:
        self.attempt = attempt
        self.link = link
        self.reads: list[_Read] = []
        self.decided = False
        self.timer: asyncio.TimerHandle | None = None

    def refusal(self) -> tuple[str, str] | None:
        """Code and message; None: all of it holds."""
        complaints = [(read.value is None, text) for read in self.reads if (text := read.complaint())]
        if not complaints:
            return None
        code = "PRECONDITION_UNKNOWN" if all(unknown for unknown, _ in complaints) else "PRECONDITION_FAILED"
        return code, "; ".join(text for _, text in complaints)


class _Read:
    """One value on its way from the vehicle: a HandOver."""

    def __init__(
        self,
        check: _Check,
        precondition: Precondition,
        window: int,
        reason_to_hold_back: Callable[[], tuple[str, str] | None],
    ) -> None:
        self.check = check
        self.open = True
        self.value: float | None = None
        self._precondition = precondition
        self._problem = f"the vehicle did not tell within {READING_SECONDS:g} s"
        self._reason_to_hold_back = reason_to_hold_back
        self.command = VehicleCommand(
            str(uuid4()),
            1,
            _READ,
            _parameters(precondition.reading),
            timeout_ms=int(READING_SECONDS * 1000),
            repeatable=True,
            traceparent=check.attempt.command.traceparent,
            initial_credit=window,
        )

    def begin(self) -> bool:
        return not self.check.decided and self._reason_to_hold_back() is None

    def fail(self, problem: str) -> None:
        self.open = False
        self._problem = problem

    def take(self, update: Update) -> None:
        if isinstance(update, Response):
            self._read(update.text)
        elif isinstance(update, Finished):
            if update.end is End.LOST:
                return  # the session goes with the connection: who lost it says so, or else the time is up
            self.open = False
            if update.end is not End.COMPLETED:
                self._problem = update.message or update.code

    def complaint(self) -> str | None:
        """None: it is as it must be."""
        wanted = self._precondition
        unit = f" {wanted.unit}" if wanted.unit else ""
        if self.value is None:
            return f"{wanted.name} could not be read: {self._problem}"
        if wanted.comparison not in _COMPARISONS:
            return f"{wanted.name} cannot be compared by {wanted.comparison!r}"
        holds, words = _COMPARISONS[wanted.comparison]
        if holds(self.value, wanted.value):
            return None
        return f"{wanted.name} is {self.value:g}{unit}, {words} {wanted.value:g}{unit}"

    def _read(self, text: str) -> None:
        complaint = complaint_about(text)
        if complaint is not None:
            self._problem = f"the vehicle's answer is {complaint}"
            return
        self.value = _physical(self._precondition.reading, json.loads(text))
        if self.value is None:
            self._problem = "the vehicle's answer holds no number"


def _parameters(reading: Reading) -> str:
    return json.dumps({"ecuAddress": f"0x{reading.ecu_address:X}", "dataId": f"0x{reading.data_id:04X}"})


def _physical(reading: Reading, response: Mapping[str, object]) -> float | None:
    """From the raw bytes, which mean the same over every link; where a link has none, its value is physical already."""
    raw, value = response.get("raw"), response.get("value")
    if isinstance(raw, str) and _RAW.fullmatch(raw):
        bits = int(raw, 16)
        return (bits & reading.mask if reading.mask else bits) * reading.scale + reading.offset
    if isinstance(value, str | int | float):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return None
