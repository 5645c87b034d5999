"""The way out to one WebSocket: a bounded queue and, while there is something in it, one task that sends."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from time import time_ns
from typing import Protocol

from starlette.websockets import WebSocketDisconnect

from gateway.metrics import WEBSOCKET_EVENTS
from service_kit.tracing import SpanKind, is_sampled, record_span

# Beyond this a socket counts as full: what comes then stays in the recorded state until the socket has drained.
MAX_QUEUED_MESSAGES = 256
MAX_QUEUED_CHARACTERS = 512 * 1024


class Socket(Protocol):
    """What an outlet needs of a WebSocket; Starlette's fits."""

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class Outlet:
    """Sends JSON texts in order. An idle outlet has no task; a burst of messages shares one."""

    __slots__ = ("_characters", "_closing", "_context", "_pump", "_queue", "_socket", "_wanting_room")

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._context = copy_context()  # whoever publishes may not be who the socket belongs to
        self._queue: deque[tuple[str, str, str, int]] | None = None
        self._characters = 0
        self._pump: asyncio.Task[None] | None = None
        self._wanting_room: dict[object, Callable[[], None]] | None = None
        self._closing: tuple[int, str] | None = None

    @property
    def full(self) -> bool:
        """No more now; `when_room` tells when there is room again."""
        queued = 0 if self._queue is None else len(self._queue)
        return queued >= MAX_QUEUED_MESSAGES or (queued > 0 and self._characters >= MAX_QUEUED_CHARACTERS)

    def put(self, json: str, traceparent: str = "", command_id: str = "") -> None:
        """Sends this after all that was put before; nothing once the outlet is closing. The rest is for its span."""
        if self._closing is not None:
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append((json, traceparent, command_id, time_ns() if is_sampled(traceparent) else 0))
        self._characters += len(json)
        self._start()

    def when_room(self, who: object, callback: Callable[[], None]) -> None:
        """Calls back once, when all that is queued has been sent, however often the same one asks."""
        if self._wanting_room is None:
            self._wanting_room = {}
        self._wanting_room[who] = callback

    async def room(self) -> None:
        """Returns when the outlet is not full: a client that does not read is not read from either."""
        while self.full:
            has_room = asyncio.Event()
            self.when_room(has_room, has_room.set)
            await has_room.wait()

    def drop(self) -> None:
        """What is queued is not sent."""
        if self._queue:
            self._queue.clear()
            self._characters = 0

    def close(self, code: int, reason: str) -> None:
        """Closes the socket when what is queued has been sent."""
        self._closing = (code, reason)
        self._start()

    def abandon(self) -> None:
        """The client is gone: nothing more can be sent."""
        self._closing = self._closing or (1006, "")
        if self._pump is not None:
            self._pump.cancel()

    def _start(self) -> None:
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._send_all(), context=self._context)

    async def _send_all(self) -> None:
        sent = 0
        try:
            while self._queue:
                await self._send(*self._queue.popleft())
                sent += 1
            if self._closing is not None:
                await self._socket.close(*self._closing)
        except (OSError, RuntimeError, WebSocketDisconnect):
            self._closing = self._closing or (1006, "")  # the client is gone; the reading side notices by itself
        finally:
            self._queue = self._pump = None
            self._characters = 0
            WEBSOCKET_EVENTS.inc(sent)
            self._tell_of_room()

    async def _send(self, json: str, traceparent: str, command_id: str, queued_ns: int) -> None:
        self._characters -= len(json)
        await self._socket.send_text(json)
        if queued_ns:
            record_span("websocket.deliver", traceparent, queued_ns, kind=SpanKind.CONSUMER, command_id=command_id)

    def _tell_of_room(self) -> None:
        callbacks, self._wanting_room = self._wanting_room, None
        for callback in (callbacks or {}).values():
            callback()
