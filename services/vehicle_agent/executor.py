"""Executes what the session hands down over the link to the vehicle that is open just then."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

from sovd_protos.session.v1 import session_pb2 as wire
from vehicle_links.dialled import Connection, Execution, NotSent, carry_out
from vehicle_links.vehicle_link import AttemptKey, End, Progress, Response, Update, VehicleCommand
from vehicle_session.held_command import Update as SaidUpdate

# Updates that the link may be ahead of the session, which has a bound of its own for what is not recorded.
_WINDOW = 16
_ENDS = {
    End.COMPLETED: wire.Finished.COMPLETED,
    End.FAILED: wire.Finished.FAILED,
    End.CANCELLED: wire.Finished.CANCELLED,
    End.LOST: wire.Finished.LOST,
}


class HandedDown:
    """A command on its way to the vehicle (the link's HandOver). Written down by the journal before it gets here."""

    def __init__(self, command: wire.Execute) -> None:
        self.command = VehicleCommand(
            command.command_id,
            command.attempt,
            command.command_name,
            command.command_params,
            command.timeout_ms,
            command.repeatable,
            command.traceparent,
            _WINDOW,
        )
        self._too_late_at = time.monotonic() + command.timeout_ms / 1000

    @property
    def seconds_left(self) -> float:
        return self._too_late_at - time.monotonic()

    def begin(self) -> bool:
        """Not after its timeout: by then nobody waits for it, and it counts as unknown elsewhere."""
        return self.seconds_left > 0


class LinkExecutor:
    """The session's Executor over a link's Connection. Between two connections nothing is sent."""

    def __init__(self, vin: str) -> None:
        self._connection: Connection | None = None
        self._vin = vin
        self._running: dict[AttemptKey, Execution] = {}
        # Of these, what was not sent, because the link is lost.
        self._unsent: set[AttemptKey] = set()
        self._idle, self._none_unsent, self._gave_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._gave_up.set()
        self._count()

    @property
    def connection(self) -> Connection | None:
        return self._connection

    @connection.setter
    def connection(self, connection: Connection | None) -> None:
        self._connection = connection
        _set(self._gave_up, connection is None)

    async def execute(self, command: wire.Execute) -> AsyncGenerator[SaidUpdate, None]:
        said: asyncio.Queue[Update | None] = asyncio.Queue()
        hand_over = HandedDown(command)
        execution = Execution(hand_over, lambda _, update: said.put_nowait(update))
        self._running[execution.command.key] = execution
        self._count()
        running = asyncio.create_task(self._run(execution, hand_over, said))
        try:
            while (update := await said.get()) is not None:
                yield _to_session(update)
                execution.grant(update.number + _WINDOW)
        finally:
            running.cancel()
            await asyncio.wait([running])
            del self._running[execution.command.key]
            self._unsent.discard(execution.command.key)
            self._count()

    def stop(self, command: wire.Execute) -> bool:
        """The link knows whether it still can be stopped."""
        execution = self._running.get((command.command_id, command.attempt))
        if execution is not None:
            execution.stop_requested.set()
        return execution is not None

    async def idle(self) -> None:
        """Until nothing is under way."""
        await self._idle.wait()

    async def give_up(self) -> None:
        """No link will come while this session lasts: what was not sent has said so when this returns."""
        self._gave_up.set()
        await self._none_unsent.wait()

    async def _run(self, execution: Execution, hand_over: HandedDown, said: "asyncio.Queue[Update | None]") -> None:
        try:
            if self.connection is None:
                raise NotSent
            await carry_out(self.connection, execution, self._vin)
        except NotSent:
            await self._until_given_up(hand_over)
            # What may be tried again is; of the rest it is known that nothing was done.
            end = End.LOST if execution.command.repeatable else End.FAILED
            await execution.finish(end, "VEHICLE_UNREACHABLE", "The vehicle was not reached: nothing of it was sent.")
        finally:
            said.put_nowait(None)

    async def _until_given_up(self, hand_over: HandedDown) -> None:
        """Said at once, it would be tried again at once, and in vain, until the session ends: readings would use up
        their attempts, and one waiting change after the other would fail."""
        self._unsent.add(hand_over.command.key)
        self._count()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gave_up.wait(), hand_over.seconds_left)

    def _count(self) -> None:
        _set(self._none_unsent, not self._unsent)
        _set(self._idle, len(self._running) == len(self._unsent))


def _set(event: asyncio.Event, holds: bool) -> None:
    if holds:
        event.set()
    else:
        event.clear()


def _to_session(update: Update) -> SaidUpdate:
    if isinstance(update, Response):
        return update.text
    if isinstance(update, Progress):
        return wire.Pending(nrc=update.nrc, message=update.message)
    return wire.Finished(
        kind=_ENDS[update.end],
        code=update.code,
        message=update.message,
        nrc=update.nrc,
        unreadable=update.unreadable,
    )
