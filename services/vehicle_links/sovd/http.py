"""HTTP/1.1 to a vehicle's SOVD server: bounded bodies, no retries, no redirects, no host but the vehicle's own.

On httpcore, without httpx above it: what decides here is when exactly a request is written (`before_write`) and which
connection it is written to, and that is what httpcore tells.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

MAX_BODY_BYTES = 4 * 1024 * 1024

_CONNECT_SECONDS = 5.0
# Shorter than servers keep an idle connection (uvicorn: 5 s), so that a request seldom meets one that is just closing:
# what became of it nobody could say.
_KEEP_ALIVE_SECONDS = 3.0
_CONNECTIONS = 32
_END_OF_HEAD = b"\r\n\r\n"
_LARGEST_HEAD = 100 * 1024


class ConnectionLost(Exception):
    """No whole answer came. Whether the request arrived, its caller knows only if it was not written."""


class BadAnswer(Exception):
    """The answer is not what the standard knows; `raw` is what came, as far as it was read."""

    def __init__(self, reason: str, raw: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class SovdHttp:
    """Requests below one base address, e.g. `https://192.0.2.10:8443/vehicle/v1`."""

    def __init__(
        self,
        address: str,
        *,
        tls: ssl.SSLContext | None = None,
        bearer_token: str = "",
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """Raises ValueError for an address that is no http or https URL. A token goes over TLS or loopback only."""
        parts = split_address(address)
        host = parts.netloc.rpartition("@")[2]
        self._origin = f"{parts.scheme}://{host}"
        self.base = parts.path.rstrip("/")
        self._is_closed = False
        self._headers = {"host": host, "accept-encoding": "identity"}
        if bearer_token and (parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")):
            self._headers["authorization"] = f"Bearer {bearer_token}"
        guarded = _OneAnswerBackend(backend or httpcore.AnyIOBackend())
        self._pool = httpcore.AsyncConnectionPool(
            tls, max_connections=_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE_SECONDS, network_backend=guarded
        )
        # Nothing is ever left of an earlier exchange on a new connection.
        self._fresh = httpcore.AsyncConnectionPool(
            tls, max_connections=_CONNECTIONS, max_keepalive_connections=0, network_backend=guarded
        )

    async def close(self) -> None:
        """Every connection: what is under way on it, or is asked later, raises ConnectionLost."""
        self._is_closed = True
        await self._pool.aclose()
        await self._fresh.aclose()

    def own_path(self, reference: object, below: str = "/") -> str | None:
        """The path that an href of the vehicle means; None when it leads to another host, or is no reference."""
        if not isinstance(reference, str) or not reference:
            return None
        try:
            target = urlsplit(urljoin(f"{self._origin}{self.base}{below}", reference))
            same_origin = f"{target.scheme}://{target.netloc}" == self._origin
        except ValueError:
            return None
        fit = same_origin and target.path.isascii() and target.path.isprintable() and " " not in target.path
        return (f"{target.path}?{target.query}" if target.query else target.path) if fit else None

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = None,
        before_write: Callable[[], None] | None = None,
        fresh: bool = False,
    ) -> Answer:
        """Sent at most once; `fresh`: on a connection of its own. `before_write` is called when the connection stands,
        right before the first byte; what it raises comes out here, and then nothing was written. Raises ConnectionLost
        and BadAnswer."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if body is not None or method in ("POST", "PUT"):
            sent |= {"content-type": "application/json", "content-length": str(len(content))}
        pool = self._fresh if fresh else self._pool
        async with self._send(pool, method, path, sent, content, read_seconds, before_write) as response:
            return await _whole_answer(response)

    @asynccontextmanager
    async def open_stream(
        self, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """The beginning of an answer, without its body unless it is no success, and the chunks of the body."""
        sent = {"accept": "text/event-stream", **headers}
        async with self._send(self._fresh, "GET", path, sent, b"", None, None) as response:
            if response.status != 200:
                yield await _whole_answer(response), _no_chunks()
                return
            yield Answer(response.status, _headers(response.headers), b""), _chunks(response)

    @asynccontextmanager
    async def _send(
        self,
        pool: httpcore.AsyncConnectionPool,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        read_seconds: float | None,
        before_write: Callable[[], None] | None,
    ) -> AsyncIterator[httpcore.Response]:
        timeout = {"connect": _CONNECT_SECONDS, "write": _CONNECT_SECONDS, "read": read_seconds, "pool": read_seconds}
        extensions: dict[str, Any] = {"timeout": timeout, "trace": self._right_before_writing(before_write)}
        request_headers = list({"accept": "application/json", **self._headers, **headers}.items())
        try:
            async with pool.stream(
                method, self._origin + path, headers=request_headers, content=content, extensions=extensions
            ) as response:
                yield response
        except httpcore.RemoteProtocolError as error:
            # h11 names the bytes when there are any; otherwise the connection ended before its time.
            if "closed" in str(error) or "disconnected" in str(error):
                raise ConnectionLost(f"the connection ended within the answer: {error}") from error
            raise BadAnswer("no HTTP", str(error).encode(errors="replace")) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.LocalProtocolError, OSError) as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error

    def _right_before_writing(self, call: Callable[[], None] | None) -> Callable[[str, object], Any]:
        """A pool that is closed forgets the connections that are just being made: those end here, unused."""

        async def trace(event: str, info: object) -> None:
            if event == "http11.send_request_headers.started":
                if self._is_closed:
                    raise ConnectionLost("closed")
                if call is not None:
                    call()

        return trace


def split_address(address: str) -> SplitResult:
    """Raises ValueError that says what is allowed."""
    with suppress(ValueError):
        parts = urlsplit(address)
        _ = parts.port
        if parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment:
            return parts
    raise ValueError("the address of a SOVD server is http://host:port/path or https://host:port/path")


async def _whole_answer(response: httpcore.Response) -> Answer:
    headers = _headers(response.headers)
    body = bytearray()
    async for chunk in _chunks(response):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadAnswer(f"larger than {MAX_BODY_BYTES} bytes", bytes(body))
    stream = response.extensions.get("network_stream")
    if isinstance(stream, _OneAnswerStream):
        stream.answered(len(body), chunked="transfer-encoding" in headers)
    if headers.get("content-encoding", "identity") != "identity":
        raise BadAnswer(f"encoded as {headers['content-encoding'][:40]!r} though identity was asked for", bytes(body))
    return Answer(response.status, headers, bytes(body))


async def _chunks(response: httpcore.Response) -> AsyncIterator[bytes]:
    async for chunk in response.aiter_stream():
        yield chunk


async def _no_chunks() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class _OneAnswerStream(httpcore.AsyncNetworkStream):
    """Lets a connection be used again only when it carried exactly one answer to the last request. Were there more
    bytes (an answer sent twice), they would be taken for the answer to the next request."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head = b""
        self._received = 0
        self._clean = False

    def answered(self, body_bytes: int, *, chunked: bool) -> None:
        """The body had so many bytes. How many a chunked one took on the wire is not known: better a new connection."""
        end = self._head.find(_END_OF_HEAD)
        self._clean = not chunked and end >= 0 and self._received == end + len(_END_OF_HEAD) + body_bytes

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self._received += len(data)
        if len(self._head) < _LARGEST_HEAD and _END_OF_HEAD not in self._head:
            self._head += data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._head, self._received, self._clean = b"", 0, False
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _OneAnswerStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """The pool closes an idle connection that is readable, instead of using it again."""
        if info == "is_readable" and not self._clean:
            return True
        return self._inner.get_extra_info(info)


class _OneAnswerBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return _OneAnswerStream(await self._inner.connect_tcp(*args, **kwargs))

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return await self._inner.connect_unix_socket(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
