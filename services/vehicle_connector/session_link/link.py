"""A session: the vehicle has dialled in, and commands and updates travel on its one stream."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from sovd_protos.session.v1 import session_pb2 as wire
from vehicle_connector.stream_writer import StreamWriter
from vehicle_links.vehicle_link import AttemptKey, HandOver, VehicleCommand

# A message carries at most about that much of commands.
_MAX_MESSAGE_BYTES = 1024 * 1024
# Long enough for the next command to take it along; until then the vehicle remembers a little more than it need.
_RELEASE_SECONDS = 2.0


class SessionLink:
    """The vehicle_link port over one stream. Kept small: a connector holds thousands of them, nearly all idle."""

    __slots__ = (
        "_cancels",
        "_capabilities",
        "_credits",
        "_held",
        "_max_commands",
        "_move",
        "_release_due",
        "_stop",
        "_waiting",
        "_welcome",
        "_writer",
        "ended",
        "heard_at",
        "reported_at",
        "session_epoch",
        "vehicle_id",
    )

    kind = "session"

    def __init__(
        self,
        vehicle_id: str,
        session_epoch: int,
        *,
        capabilities: frozenset[str],
        max_commands: int,
        write: Callable[[wire.ToVehicle], Awaitable[object]],
        stop: Callable[[], object],
        now: float,
    ) -> None:
        """`stop` ends the stream; empty `capabilities` are all, and `max_commands` 0 is any number."""
        self.vehicle_id = vehicle_id
        self.session_epoch = session_epoch
        self.heard_at = self.reported_at = now
        self.ended = False
        self._capabilities = capabilities
        self._max_commands = max_commands
        self._stop = stop
        self._writer = StreamWriter(write, self._take, self.stop)
        self._held: set[AttemptKey] = set()
        self._welcome: wire.Welcome | None = None
        self._waiting: deque[HandOver] = deque()
        self._cancels: list[wire.Cancel] = []
        self._credits: dict[AttemptKey, wire.Credit] = {}
        self._move: wire.Move | None = None
        self._release_due = False

    # --- the port

    def supports(self, command_name: str) -> bool:
        return not self._capabilities or command_name in self._capabilities

    def execute(self, hand_over: HandOver) -> None:
        self._waiting.append(hand_over)
        self._writer.wake()

    def cancel(self, key: AttemptKey) -> None:
        self._cancels.append(wire.Cancel(command_id=key[0], attempt=key[1]))
        self._writer.wake()

    def grant(self, key: AttemptKey, recorded: int, allowed: int) -> None:
        self._credits[key] = wire.Credit(command_id=key[0], attempt=key[1], recorded=recorded, allowed=allowed)
        self._writer.wake()

    def release(self, key: AttemptKey) -> None:
        """Nobody waits for the vehicle to hear of it: it goes with the next message, or by itself a little later."""
        self._held.discard(key)
        self._credits[key] = wire.Credit(command_id=key[0], attempt=key[1], closed=True)
        if self._waiting:  # there may be room now
            self._writer.wake()
        elif not self._release_due:
            self._release_due = True
            asyncio.get_running_loop().call_later(_RELEASE_SECONDS, self._write_releases)

    # --- of sessions only

    def welcome(self, welcome: wire.Welcome) -> None:
        """The first message, before all that is waiting already."""
        self._held.update((resume.command_id, resume.attempt) for resume in welcome.resume if resume.wanted)
        self._welcome = welcome
        self._writer.wake()

    def move(self, reason: str, reconnect_after_ms: int) -> None:
        self._move = wire.Move(reason=reason, reconnect_after_ms=reconnect_after_ms)
        self._writer.wake()

    def close(self) -> None:
        """Writes nothing more; what waits was not written."""
        self.ended = True
        self._writer.close()

    def stop(self) -> None:
        """Ends the stream; who reads from it notices."""
        self._stop()

    def _write_releases(self) -> None:
        self._release_due = False
        if self._credits:
            self._writer.wake()

    def _take(self) -> wire.ToVehicle | None:
        if self._welcome is not None:
            message, self._welcome = wire.ToVehicle(welcome=self._welcome), None
            return message
        executes = self._take_executes()
        if not (executes or self._cancels or self._credits or self._move):
            return None
        message = wire.ToVehicle(execute=executes, cancel=self._cancels, credit=self._credits.values(), move=self._move)
        self._cancels = []
        self._credits = {}
        self._move = None
        return message

    def _take_executes(self) -> list[wire.Execute]:
        """From `begin` to the write nothing is awaited: what it checked still holds when the command is written."""
        executes: list[wire.Execute] = []
        size = 0
        while self._waiting and self._has_room() and size < _MAX_MESSAGE_BYTES:
            hand_over = self._waiting.popleft()
            if hand_over.begin():
                command = hand_over.command
                self._held.add(command.key)
                size += len(command.command_params)
                executes.append(_execute(command))
        return executes

    def _has_room(self) -> bool:
        return not self._max_commands or len(self._held) < self._max_commands


def _execute(command: VehicleCommand) -> wire.Execute:
    return wire.Execute(
        command_id=command.command_id,
        attempt=command.attempt,
        command_name=command.command_name,
        command_params=command.command_params,
        timeout_ms=command.timeout_ms,
        repeatable=command.repeatable,
        traceparent=command.traceparent,
        initial_credit=command.initial_credit,
    )
