"""What links that dial out have in common. One protocol is one `Dialler`; composition.py names it by its kind.

    class SomeDialler:                                     # a Dialler
        async def dial(self, vehicle) -> Connection: …     # raises Unreachable

    class SomeConnection:                                  # a Connection
        async def execute(self, execution) -> None: …      # runs one command; several at once
        async def lost(self) -> str: …                     # returns why, once it is broken or closed
        async def close(self) -> None: …

A dialled vehicle counts as online while its connection lives: `dialled_vehicles.py` dials those that are assigned to
this connector, opens a session for each connection, and dials again when it is lost.

`execute` asks `execution.begin()` right before the first byte leaves that the vehicle could act on, with no await in
between, and returns when the command is done. It says what came of it by what it raises:

- nothing: completed;
- `CommandFailed`: a known outcome (a negative response, an answer that makes no sense);
- `FateUnknown`: something may have left and no answer will come: a command that is not repeatable ends OUTCOME_UNKNOWN;
- `Stopped`: the command was stopped as asked, and certainly has no effect any more;
- `NotSent`: nothing left, now is not the time: it goes back to the queue;
- `TimedOut`: its timeout is over; the connector says so by itself.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service_kit.logging import command_context, get_logger
from vehicle_links.vehicle_link import (
    AttemptKey,
    End,
    Finished,
    HandOver,
    LinkEvents,
    Progress,
    Response,
    Update,
    VehicleCommand,
)

_log = get_logger(__name__)

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Unreachable(Exception):
    """Nobody answers at the vehicle's address, or not as that vehicle; the message is for people."""


class CommandFailed(Exception):
    """The command ends `failed` with this stable code; `nrc` is set when an ECU refused it (ISO 14229-1 Annex A)."""

    def __init__(self, code: str, message: str, nrc: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.nrc = nrc


class BadResponse(CommandFailed):
    """The vehicle's answer makes no sense. The message shows its `beginning`, `unreadable` is all of it, as text."""

    def __init__(self, complaint: str, beginning: str, unreadable: str) -> None:
        super().__init__("BAD_VEHICLE_RESPONSE", f"{complaint}: {beginning}")
        self.complaint = complaint
        self.beginning = beginning
        self.unreadable = unreadable


class FateUnknown(Exception):
    """Something may have reached the vehicle, and nothing more will be heard of it. `unreadable`: what ended it."""

    def __init__(self, message: str, unreadable: str = "") -> None:
        super().__init__(message)
        self.unreadable = unreadable


class Stopped(Exception):
    """Stopped as asked; it has no effect any more."""


class NotSent(Exception):
    """The vehicle has certainly seen nothing of it."""


class TimedOut(Exception):
    """The command's timeout is over."""


LINK_OUTCOMES = (CommandFailed, FateUnknown, Stopped, NotSent, TimedOut)


@dataclass(frozen=True, slots=True)
class DialledVehicle:
    """A vehicle that is assigned to this connector."""

    vehicle_id: str
    vin: str
    link_kind: str
    address: str


class Connection(Protocol):
    """An open connection to one vehicle; see above."""

    async def execute(self, execution: "Execution") -> None: ...

    async def lost(self) -> str: ...

    async def close(self) -> None: ...


class Dialler(Protocol):
    async def dial(self, vehicle: DialledVehicle) -> Connection: ...


class Execution:
    """One command on its way through a link that dials: what its protocol needs to know and may say."""

    def __init__(self, hand_over: HandOver, push: Callable[[AttemptKey, Update], None]) -> None:
        self.command: VehicleCommand = hand_over.command
        self.begun = False
        # Set once a part of it has taken effect: then it cannot be stopped as if nothing had happened.
        self.changed_something = False
        # Set when somebody wants it stopped: by a user, or because its time is over.
        self.stop_requested = asyncio.Event()
        self._hand_over = hand_over
        self._push = push
        self._number = 0
        self._allowed = self.command.initial_credit
        self._more_credit = asyncio.Event()
        self._deadline = 0.0

    @property
    def parameters(self) -> Mapping[str, Any]:
        """They match the catalogue's schema. Raises CommandFailed for what no JSON object is."""
        try:
            parameters = json.loads(self.command.command_params)
        except ValueError:
            parameters = None
        if not isinstance(parameters, dict):
            raise CommandFailed("INVALID_PARAMETERS", "the parameters are no JSON object")
        return parameters

    def begin(self) -> None:
        """Nothing may be awaited between this and the first write. Raises NotSent: do not write."""
        if self.begun:
            return
        if not self._hand_over.begin():
            raise NotSent
        self.begun = True
        self._deadline = time.monotonic() + self.command.timeout_ms / 1000

    @property
    def seconds_left(self) -> float:
        """Of its timeout; all of it before it has begun. A stream's timeout begins anew with each response."""
        return self._deadline - time.monotonic() if self.begun else self.command.timeout_ms / 1000

    async def respond(self, response: Mapping[str, object]) -> None:
        """One response of the catalogue's shape; waits while the command service is behind."""
        await self._say(lambda number: Response(number, _to_json(response)))
        if self.command.command_name == "StreamDataByID":
            self._deadline = time.monotonic() + self.command.timeout_ms / 1000

    async def progress(self, nrc: int, message: str) -> None:
        await self._say(lambda number: Progress(number, nrc, message))

    # --- for the link

    async def finish(self, end: End, code: str = "", message: str = "", nrc: int = 0, unreadable: str = "") -> None:
        await self._say(lambda number: Finished(number, end, code, message, nrc, unreadable))

    def finish_now(self, end: End, code: str, message: str) -> None:
        """Without credit nothing is said, and the command service decides as of a vehicle that is gone."""
        if self._number < self._allowed:
            self._number += 1
            self._push(self.command.key, Finished(self._number, end, code, message, 0))

    def grant(self, allowed: int) -> None:
        self._allowed = max(self._allowed, allowed)
        self._more_credit.set()

    async def _say(self, update: Callable[[int], Update]) -> None:
        while self._number >= self._allowed:
            self._more_credit.clear()
            await self._more_credit.wait()
        self._number += 1
        self._push(self.command.key, update(self._number))


class DialledLink:
    """The vehicle_link port over one Connection: a task for each command."""

    def __init__(
        self, kind: str, vehicle_id: str, session_epoch: int, connection: Connection, events: LinkEvents
    ) -> None:
        self.kind = kind
        self.vehicle_id = vehicle_id
        self.session_epoch = session_epoch
        self.ended = False
        self.reported_at = time.monotonic()
        self._connection = connection
        self._events = events
        self._running: dict[AttemptKey, tuple[Execution, asyncio.Task[None]]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._leaving = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def heard_at(self) -> float:
        """Its connection notices by itself when the vehicle is gone."""
        return time.monotonic()

    @property
    def idle(self) -> bool:
        return self._idle.is_set()

    # --- the port

    def supports(self, command_name: str) -> bool:
        return True

    def execute(self, hand_over: HandOver) -> None:
        if self.ended or self._leaving.is_set():
            return  # it is not handed over, and goes back to the queue when the session ends
        execution = Execution(hand_over, self._push)
        self._idle.clear()
        # Not begun, it went back to the queue, and is dispatched again as the same attempt.
        self.release(execution.command.key)
        self._running[execution.command.key] = execution, asyncio.create_task(self._run(execution))

    def cancel(self, key: AttemptKey) -> None:
        if key in self._running:
            self._running[key][0].stop_requested.set()

    def grant(self, key: AttemptKey, recorded: int, allowed: int) -> None:
        if key in self._running:
            self._running[key][0].grant(allowed)

    def release(self, key: AttemptKey) -> None:
        if key in self._running:
            self._running[key][1].cancel()

    # --- its life

    async def lasts(self) -> str:
        """Until the connection is lost or the link is to leave, and what runs has said what came of it."""
        lost = asyncio.create_task(self._connection.lost())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait([lost, leaving], return_when=asyncio.FIRST_COMPLETED)
            self._leaving.set()
            await self._idle.wait()
            return lost.result() if lost.done() else "moved"
        finally:
            lost.cancel()
            leaving.cancel()

    def move(self, reason: str, reconnect_after_ms: int) -> None:
        """Takes no more; ends once nothing runs."""
        self._leaving.set()

    def close(self) -> None:
        self.ended = True
        for execution, task in list(self._running.values()):
            if execution.begun and execution.seconds_left > 0:
                execution.finish_now(End.LOST, "VEHICLE_CONNECTION_LOST", "The connection to the vehicle was closed.")
            task.cancel()

    def stop(self) -> None:
        self._leaving.set()
        self._closing = asyncio.create_task(self._connection.close())

    async def closed(self) -> None:
        """After `stop`."""
        if self._closing is not None:
            await self._closing

    # --- inside

    def _push(self, key: AttemptKey, update: Update) -> None:
        self._events.on_update(self, key, update)

    async def _run(self, execution: Execution) -> None:
        try:
            await carry_out(self._connection, execution, self.vehicle_id)
        except NotSent:
            pass
        finally:
            key = execution.command.key
            if key in self._running and self._running[key][0] is execution:
                del self._running[key]
            if not self._running:
                self._idle.set()


async def carry_out(connection: Connection, execution: Execution, vehicle: str) -> None:
    """One command from its beginning to its outcome, which is said, or for good reason is not: see above.

    Raises NotSent: the vehicle has certainly seen nothing of it, and nothing was said. `vehicle`: as the log calls it.
    """
    command = execution.command
    with command_context(command.command_id, command.traceparent):
        outcome = await _outcome(connection, execution, vehicle)
    if outcome is not None:
        execution.begin()  # also what fails before anything left has been tried
        await execution.finish(*outcome)


_Outcome = tuple[End, str, str, int, str]


async def _outcome(connection: Connection, execution: Execution, vehicle: str) -> _Outcome | None:
    """None: there is nothing to say, or it is said elsewhere."""
    try:
        await connection.execute(execution)
    except NotSent:
        raise
    except TimedOut:
        return None
    except BadResponse as bad:
        doubt = "; it may or may not have taken effect" if execution.begun and not execution.command.repeatable else ""
        return End.FAILED, bad.code, f"{bad.complaint}{doubt}: {bad.beginning}", 0, bad.unreadable
    except CommandFailed as failure:
        return End.FAILED, failure.code, failure.message, failure.nrc, ""
    except FateUnknown as unknown:
        # That its time is over has been said already.
        settled = not execution.begun or execution.seconds_left <= 0
        return None if settled else (End.LOST, "VEHICLE_CONNECTION_LOST", str(unknown), 0, unknown.unreadable)
    except Stopped:
        return End.CANCELLED, "CANCELLED", "Stopped as asked.", 0, ""
    except Exception as error:
        _log.error("link_failed", vehicle=vehicle, exc_info=error)
        end = End.LOST if execution.begun and not execution.command.repeatable else End.FAILED
        return end, "LINK_ERROR", "The link to the vehicle failed; its log says why.", 0, ""
    return End.COMPLETED, "", "", 0, ""
