"""The bench's side of HTTP and WebSocket, bare: on two cores a comfortable client would take from what it measures."""

import asyncio
import base64
import os
from collections import deque
from typing import TypeVar, cast
from urllib.parse import urlsplit

import httptools

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_MASKED = 0x80
# Of zeros, so that masked text is the text (RFC 6455, 5.3, asks for a mask, not for a good one).
_NO_MASK = b"\0\0\0\0"


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _woken(self) -> None:
        if self._lost:
            raise ConnectionError("the gateway closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


Connection = TypeVar("Connection", bound=_Connection)


class HttpConnection(_Connection):
    """One kept-alive connection that sends one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._body = b""
        self._complete = False

    async def request(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._complete = b"", False
        self.transport.write(request)
        while not self._complete:
            await self._woken()
        return self._parser.get_status_code(), self._body

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True
        self._wake()


class WebSocketConnection(_Connection):
    """Texts one way and the other, each in one frame."""

    def __init__(self) -> None:
        super().__init__()
        self._received = b""
        self._open = False
        self._messages: deque[bytes] = deque()

    async def open(self, host: str, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while not self._open:
            await self._woken()

    def send(self, text: bytes) -> None:
        assert len(text) < 126
        self.transport.write(bytes((_TEXT, _MASKED | len(text))) + _NO_MASK + text)

    async def receive(self) -> bytes:
        while not self._messages:
            await self._woken()
        return self._messages.popleft()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._open:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head.decode(errors="replace")
            self._open, self._received = True, rest
        while self._take_frame():
            pass
        self._wake()

    def _take_frame(self) -> bool:
        received = self._received
        if len(received) < 2:
            return False
        start, length = 2, received[1]
        assert length < 127, "no message that the bench knows is longer than 64 KiB"
        if length == 126:
            if len(received) < 4:
                return False
            start, length = 4, int.from_bytes(received[2:4], "big")
        return self._take_payload(start, length)

    def _take_payload(self, start: int, length: int) -> bool:
        received, end = self._received, start + length
        if len(received) < end:
            return False
        self._received = received[end:]
        if received[0] == _TEXT:
            self._messages.append(received[start:end])
        elif received[0] == _PING:
            self.transport.write(bytes((_PING + 1, _MASKED | length)) + _NO_MASK + received[start:end])
        elif received[0] == _CLOSE:
            self.transport.close()
        return True


async def open_http(url: str) -> HttpConnection:
    return await _connected(url, HttpConnection)


async def open_websocket(url: str, path: str) -> WebSocketConnection:
    connection = await _connected(url, WebSocketConnection)
    await connection.open(urlsplit(url).netloc, path)
    return connection


async def _connected(url: str, kind: type[Connection]) -> Connection:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    _, connection = await asyncio.get_running_loop().create_connection(kind, address.hostname, address.port)
    return connection
