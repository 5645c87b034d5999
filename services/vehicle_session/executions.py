"""The commands a vehicle was handed: executes them and keeps their updates until those are recorded."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Protocol

from service_kit.logging import command_context, get_logger
from service_kit.tracing import SpanKind, span
from sovd_protos.session.v1.session_pb2 import Cancel, CommandUpdate, Credit, Execute, Finished, HeldCommand, Resume
from vehicle_session.hand_overs import HandOvers
from vehicle_session.held_command import Held, Key, Update

_CANCELLED = Finished(kind=Finished.CANCELLED, code="CANCELLED", message="stopped by the vehicle as asked")
_ALREADY_EXECUTED = Finished(
    kind=Finished.FAILED, code="ALREADY_EXECUTED", message="the vehicle was handed this command before"
)
_BROKEN = Finished(kind=Finished.FAILED, code="VEHICLE_ERROR", message="the vehicle's software failed")
_LOST = Finished(
    kind=Finished.LOST,
    code="VEHICLE_CONNECTION_LOST",
    message="the vehicle's side was restarted before it heard what came of it",
)

_log = get_logger(__name__)


class Executor(Protocol):
    """Executes a command: yields its updates, a Finished last. Without a Finished nothing more is ever said of it.

    When a cancel arrives, and `stop` does not see to it, the iterator is cancelled at its next wait; unless the command
    changes something and has answered already: then its own outcome is the truth.
    """

    def execute(self, command: Execute) -> AsyncGenerator[Update, None]: ...

    def stop(self, command: Execute) -> bool:
        """A cancel has come. True: seen to, and the command says itself what came of it. False: nothing was done."""


class Executions:
    """By command and attempt. `on_ready` is called whenever there is something to send."""

    def __init__(self, vin: str, executor: Executor, hand_overs: HandOvers, on_ready: Callable[[], None]) -> None:
        self._vin = vin
        self._executor = executor
        self._hand_overs = hand_overs
        self._on_ready = on_ready
        self._held: dict[Key, Held] = {held.key: held for held in hand_overs.held(vin)}
        self._ready: dict[Key, Held] = {}

    @property
    def held(self) -> list[Key]:
        """What the vehicle was handed and is not all recorded."""
        return list(self._held)

    def announced(self) -> list[HeldCommand]:
        return [held.as_announced() for held in self._held.values()]

    def is_sent(self, key: Key) -> bool:
        held = self._held.get(key)
        return held is None or held.is_sent

    def suspend(self) -> None:
        """The session is lost: nothing is sent until the next one resumes it."""
        self._ready.clear()
        for held in self._held.values():
            held.suspend()

    def next_updates(self, budget: int) -> list[CommandUpdate]:
        """What may be sent now, of all commands, about so many bytes; it counts as sent."""
        updates: list[CommandUpdate] = []
        ready, self._ready = self._ready, {}
        for key, held in ready.items():
            taken, budget = held.take_ready(budget)
            updates += taken
            if held.has_ready:  # no budget left
                self._ready[key] = held
        return updates

    def take(self, commands: Iterable[Execute]) -> None:
        fresh: dict[Key, Held] = {}
        for execute in commands:
            held = Held(execute)
            if known := self._held.get(held.key) or fresh.get(held.key):
                self._hand_overs.refuse(self._vin, execute)
                self._go_on(known, known.recorded + 1, execute.initial_credit)
                self._mark_ready(known)
            else:
                fresh[held.key] = held
        admitted = self._hand_overs.admit(self._vin, [held.execute for held in fresh.values()])
        self._held.update(fresh)
        for held, may_run in zip(fresh.values(), admitted, strict=True):
            if may_run:
                held.task = asyncio.create_task(self._execute(held))
            else:
                held.add(_ALREADY_EXECUTED)
                self._mark_ready(held)

    def resume(self, resume: Resume) -> None:
        held = self._held.get((resume.command_id, resume.attempt))
        if held is None:
            return
        if not resume.wanted:
            self._drop(held)
            return
        self._go_on(held, resume.next_number, resume.initial_credit)
        self._settle(held)

    def _go_on(self, held: Held, next_number: int, credit: int) -> None:
        held.resume(next_number, credit)
        self._hand_overs.recorded(held.key, held.recorded)
        if held.interrupted:  # not earlier: its number is known only now
            self._add(held, _LOST)

    def credit(self, credit: Credit) -> None:
        held = self._held.get((credit.command_id, credit.attempt))
        if held is None:
            return
        if credit.closed:
            self._drop(held)
            return
        held.record(credit.recorded, credit.allowed)
        self._hand_overs.recorded(held.key, held.recorded)
        self._settle(held)

    def _settle(self, held: Held) -> None:
        if held.is_done:
            self._held.pop(held.key, None)
            self._hand_overs.let_go(held.key)
        elif held.has_ready:
            self._mark_ready(held)

    def cancel(self, request: Cancel) -> None:
        held = self._held.get((request.command_id, request.attempt))
        if held is None or held.task is None or held.task.done() or held.cancelled:
            return
        if held.answered and not held.execute.repeatable:
            return
        if self._executor.stop(held.execute):
            return
        held.cancelled = True
        held.task.cancel()
        if not held.started:  # a task that never ran never sees its cancellation
            self._add(held, _CANCELLED)

    async def _execute(self, held: Held) -> None:
        held.started = True
        command = held.execute
        try:
            with span(
                "vehicle.execute",
                command.traceparent,
                SpanKind.CONSUMER,
                command_id=command.command_id,
                command_name=command.command_name,
                attempt=command.attempt,
                vin=self._vin,
            ) as active:
                async with aclosing(self._executor.execute(command)) as updates:
                    async for update in updates:
                        self._add(held, update)
                        if isinstance(update, Finished):
                            active.set(outcome=update.code or "COMPLETED")
                        if held.is_full:
                            await held.room()
        except asyncio.CancelledError:
            if not held.cancelled:
                raise
            self._add(held, _CANCELLED)
        except Exception as error:
            with command_context(command.command_id, command.traceparent):
                _log.error("execution_failed", vin=self._vin, exc_info=error)
            self._add(held, _BROKEN)

    def _add(self, held: Held, update: Update) -> None:
        if self._held.get(held.key) is not held or held.finished:
            return
        self._hand_overs.keep(held.add(update))
        self._mark_ready(held)
        if isinstance(update, Finished):
            cancelled = update.kind == Finished.CANCELLED
            self._hand_overs.finish(self._vin, held.execute, update.code or "COMPLETED", cancelled=cancelled)

    def _drop(self, held: Held) -> None:
        self._held.pop(held.key, None)
        self._ready.pop(held.key, None)
        self._hand_overs.let_go(held.key)
        if held.task is not None:
            held.task.cancel()

    def forget_all(self) -> None:
        for held in list(self._held.values()):
            self._drop(held)

    def _mark_ready(self, held: Held) -> None:
        self._ready[held.key] = held
        self._on_ready()
