"""How a service starts, runs and stops. The stop order lives here, once:

not ready → stop intake → drain, with a deadline → cancel background parts → close
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast

import uvloop

from service_kit import tracing
from service_kit.errors import LimitExceeded, ServiceError, Unavailable
from service_kit.logging import configure_logging, get_logger
from service_kit.settings import EXIT_BAD_SETTINGS, ServiceSettings
from service_kit.telemetry import Telemetry

# A resource that does not close must not keep a stopped service alive.
CLOSE_SECONDS = 5.0
# Requests come and go by the hundred: with Python's 700 every few of them would set the collector off.
_GC_YOUNG_OBJECTS = 20_000

Hook = Callable[[], Awaitable[object]]
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
Compose = Callable[[SettingsT], AbstractAsyncContextManager["Lifecycle"]]

_log = get_logger(__name__)


class PartFailed(Exception):
    """A background part failed and took the service down; its error is the cause and has been logged."""


class _StartFailed(Exception):
    """In one line, for whoever operates the service."""

    @property
    def exit_code(self) -> int:
        """What was refused is refused again: only other settings help. A disk, a port or a server may come back."""
        may_pass = not isinstance(self.__cause__, ServiceError) or isinstance(
            self.__cause__, Unavailable | LimitExceeded
        )
        return 1 if may_pass else EXIT_BAD_SETTINGS


class Lifecycle:
    """Readiness, background parts and the stop order of one service.

    As an async context manager it stops what was registered, also when composing fails half way:

        async with Lifecycle("gateway", settings.drain_seconds) as lifecycle:
            ...
            yield lifecycle
    """

    def __init__(self, name: str, drain_seconds: float = 20) -> None:
        self.name = name
        self._drain_seconds = drain_seconds
        self._ready = False
        self._ready_listeners: list[Callable[[bool], None]] = []
        self._intakes: list[Hook] = []
        self._drains: list[Hook] = []
        self._closes: list[Hook] = []
        self._parts: set[asyncio.Task[Any]] = set()
        self._stop_requested = asyncio.Event()
        self._failure: BaseException | None = None
        self._included: list[Lifecycle] = []
        self._parent: Lifecycle | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        tracing.enter_service(self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def stopping(self) -> bool:
        return self._stopping is not None

    def set_ready(self, ready: bool) -> None:
        """Once stopping, a service is not ready whatever anybody says."""
        ready = ready and not self.stopping
        if ready == self._ready:
            return
        self._ready = ready
        for listener in self._ready_listeners:
            listener(ready)

    def on_ready_change(self, listener: Callable[[bool], None]) -> None:
        self._ready_listeners.append(listener)

    def on_stop_intake(self, stop: Hook) -> None:
        """Called in the order of registration: take no new work."""
        self._intakes.append(stop)

    def on_drain(self, drain: Hook) -> None:
        """Called in the order of registration, all within `drain_seconds`: finish the work that is there."""
        self._drains.append(drain)

    def on_close(self, close: Hook) -> None:
        """Called in reverse order of registration, whatever came before: let go of what was opened."""
        self._closes.append(close)

    def include(self, other: "Lifecycle") -> None:
        """`other` fails: this one fails. This one stops: `other` stops first, the last included before the others."""
        self._included.append(other)
        other._parent = self

    def background(self, loop: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run `loop` as a part of the service. One that fails stops all; one that returns is done."""
        task = asyncio.create_task(loop, name=name)
        self._parts.add(task)
        task.add_done_callback(self._part_ended)
        return task

    def request_stop(self) -> None:
        """Make run_until_stopped return, as a signal does."""
        self._stop_requested.set()
        if self._parent is not None:
            self._parent.request_stop()

    async def stop(self) -> None:
        """Perform the stop order, once: whoever calls again awaits the same."""
        if self._stopping is None:
            self.set_ready(False)
            self._stopping = asyncio.create_task(self._stop_in_order(), name=f"{self.name} stop")
        await asyncio.shield(self._stopping)

    async def run_until_stopped(self) -> None:
        """Until SIGTERM, SIGINT, request_stop or a failing part, then stop. Raises PartFailed for the latter.

        One place in a process runs this: it takes over the signals.
        """
        with _signals(self.request_stop):
            await self._stop_requested.wait()
            await self.stop()
        if self._failure is not None:
            raise PartFailed(self.name) from self._failure

    def _part_ended(self, task: "asyncio.Task[Any]") -> None:
        self._parts.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if self.stopping:
            _log.warning("part_failed_while_stopping", part=task.get_name(), exc_info=error)
            return
        _log.error("part_failed", part=task.get_name(), exc_info=error)
        self._fail(error)
        self.request_stop()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        if self._parent is not None:
            self._parent._fail(error)

    async def _stop_in_order(self) -> None:
        for other in reversed(self._included):
            await other.stop()
        try:
            async with asyncio.timeout(self._drain_seconds):
                for hook in [*self._intakes, *self._drains]:
                    await self._guarded(hook)
        except TimeoutError:
            _log.warning("drain_deadline_passed", seconds=self._drain_seconds)
        await self._cancel_parts()
        for close in reversed(self._closes):
            await self._guarded(close, CLOSE_SECONDS)

    async def _guarded(self, hook: Hook, deadline: float | None = None) -> None:
        """One hook that fails must not keep the others from running."""
        try:
            async with asyncio.timeout(deadline):
                await hook()
        except Exception as error:
            _log.warning("stop_step_failed", step=getattr(hook, "__qualname__", repr(hook)), exc_info=error)

    async def _cancel_parts(self) -> None:
        parts = list(self._parts)
        for part in parts:
            part.cancel()
        if not parts:
            return
        _, running = await asyncio.wait(parts, timeout=CLOSE_SECONDS)
        if running:
            _log.warning("parts_did_not_end", parts=[part.get_name() for part in running])


@contextmanager
def _signals(request_stop: Callable[[], object]) -> Iterator[None]:
    """The first SIGTERM or SIGINT asks to stop, the next one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def handle(number: int) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run_service(name: str, settings: SettingsT, compose: "Compose[SettingsT]") -> NoReturn:
    """The whole of a service's main: telemetry, event loop, start, run, stop; exits with 0, or after one line why
    with 1, or with 78 where only other settings help."""
    configure_logging(name, settings.log_level, settings.log_format)
    _finish_rounds()
    try:
        with _telemetry(name, settings), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, compose))
    except (asyncio.CancelledError, KeyboardInterrupt):
        _log.info("stopped_while_starting")
        sys.exit(0)
    except _StartFailed as error:
        _log.error("start_failed", reason=str(error))
        sys.exit(error.exit_code)
    except PartFailed:
        pass  # logged when it happened
    except Exception as error:
        _log.error("crashed", exc_info=error)
    else:
        sys.exit(0)
    sys.exit(1)


async def _serve(settings: SettingsT, compose: "Compose[SettingsT]") -> None:
    # As the first process of a container it would not even die of a signal that it does not handle. Held until the
    # running service has taken the signals over: in between, one would end the process at once.
    with _signals(cast("asyncio.Task[None]", asyncio.current_task()).cancel):
        async with AsyncExitStack() as stack:
            try:
                lifecycle = await stack.enter_async_context(compose(settings))
            except (ServiceError, OSError) as error:  # something that an operator can put right: no stack trace
                raise _StartFailed(_one_line(error)) from error
            _leave_the_started_alone()
            await lifecycle.run_until_stopped()


def _leave_the_started_alone() -> None:
    """What is there once a service has started stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG_OBJECTS, 20, 50)


def _finish_rounds() -> None:
    """Whoever is woken by one message does not take the processor from who is about to send the next (sched(7),
    SCHED_BATCH): more goes in one batch, with fewer changes of process. Threads begun later inherit it. Not every
    system knows such a policy."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _telemetry(name: str, settings: ServiceSettings) -> Telemetry:
    try:
        return Telemetry(name, settings.metrics_port)
    except (ServiceError, OSError) as error:
        raise _StartFailed(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
