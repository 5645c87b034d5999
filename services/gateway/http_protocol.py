"""uvicorn's HTTP protocol with bounds that it has none for: a head's size, and a request's time to arrive.

A connection that becomes a WebSocket keeps its transport.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.gathered_writes import GatheredWrites

# Request line and headers together. What arrives in one piece with their begin is not counted.
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
# A client that has gone without a word sends nothing any more; its request would wait for ever.
BODY_SECONDS = 60.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request head grows too large, or whose request does not come to its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._in_body = False
        self._head_bytes = 0
        self._heads_begun = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(GatheredWrites(transport))  # type: ignore[arg-type]
        self._await_rest(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun_before = self._heads_begun
        super().data_received(data)
        if not (self._in_head or self._in_body) or self.transport.is_closing():
            return
        if self._in_head:
            self._check_head(len(data) if self._heads_begun == begun_before else 0)
        else:
            self._await_rest(BODY_SECONDS)

    def _check_head(self, more_bytes: int) -> None:
        self._head_bytes = self._head_bytes + more_bytes if more_bytes else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request's head is too large.")
        else:
            self._await_rest(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._heads_begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def _await_rest(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
