"""What is written to one connection in one round of the event loop leaves in one system call.

A response is written as head and body, a burst of WebSocket events one by one, and every write of its own costs the
kernel, and wakes the client, as much as all of them together.

A transport that is closed sends the rest first, and stays for as long as its client takes none of it: here it does not.
"""

import asyncio
from typing import Any

# A producer that never waits must meet the transport's flow control.
_MOST_GATHERED_BYTES = 64 * 1024
# For which the client of a connection that is being closed may take nothing of what is left. The system takes more only
# when a third of its own buffer is free, which a slow client needs some seconds for; with the 40 s in which a
# WebSocket's ping has to be answered, a socket ends within a minute, whatever its client does.
STUCK_SECONDS = 15.0


class GatheredWrites:
    """An asyncio transport whose writes go out at the end of the loop's round, or at once when they grow large."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _MOST_GATHERED_BYTES:
            self._flush()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + self._size

    def close(self) -> None:
        self._flush()
        self._transport.close()
        self._give_up_when_stuck()

    def _give_up_when_stuck(self, left_before: int = 0) -> None:
        left = self._transport.get_write_buffer_size()
        if left and left == left_before:
            self._transport.abort()
        elif left:
            self._loop.call_later(STUCK_SECONDS, self._give_up_when_stuck, left)

    def _flush(self) -> None:
        if self._gathered:
            data, self._gathered, self._size = b"".join(self._gathered), [], 0
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
