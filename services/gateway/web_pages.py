"""The web interface: its built files, and its one page at every address that is nobody else's."""

import asyncio
import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.middleware import COMMON_HEADERS, SCOPE_HEADERS

INDEX = "/index.html"
ASSETS = "/assets/"
_OTHERS = ("/api", "/ws", "/health", "/metrics", "/docs", "/openapi.json")
# With a hash of its content in its name, a file never changes.
_HASHED = re.compile(r"[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")
_FOR_EVER, _ASK_EACH_TIME = "public, max-age=31536000, immutable", "no-cache"

_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".ico": "image/x-icon",
}
_COMPRESSED_ALREADY = {".woff2", ".woff", ".png", ".jpg", ".webp", ".gz", ".br"}
_COMPRESSION_LEVEL = 6

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
# Styles are made while the page runs; scripts only ever come as files, from here.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self'; manifest-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class _Route(NamedTuple):
    """What metrics and spans ask of a route."""

    path_format: str


_PAGE, _FILE = _Route("/"), _Route("/{file}")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file as it is sent: compressed, where that makes it smaller."""

    body: bytes
    compressed: bool
    media_type: str
    etag: str
    caching: str


class WebPages:
    """ASGI: answers GET and HEAD from the built web interface and leaves what is not a page of it to `app`."""

    def __init__(self, app: ASGIApp, directory: Path) -> None:
        self._app = app
        files = (path for path in directory.rglob("*") if path.is_file())
        # What is not here does not exist, whatever a path is made of.
        self._files = {f"/{path.relative_to(directory).as_posix()}": path for path in files}
        self._stored: dict[str, _Stored] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._file_for(scope)
        stored = await self._load(name) if name else None
        if stored is None:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope["route"] = _PAGE if name == INDEX else _FILE
        scope[SCOPE_HEADERS] = [*COMMON_HEADERS, (b"content-security-policy", _policy(scope, headers))]
        await _answer(stored, headers)(scope, receive, send)

    def _file_for(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return None
        path: str = scope["path"]
        if any(path == other or path.startswith(f"{other}/") for other in _OTHERS):
            return None
        if path in self._files:
            return path
        # A file of another release: a page in its place would only confuse who asks for a script.
        return None if path.startswith(ASSETS) else INDEX

    async def _load(self, name: str) -> _Stored | None:
        """Read and compressed once. None: it has gone since the start."""
        if name not in self._stored:
            try:
                self._stored[name] = await asyncio.to_thread(_read, name, self._files[name])
            except FileNotFoundError:
                return None
        return self._stored[name]


def _read(name: str, path: Path) -> _Stored:
    content = path.read_bytes()
    small = content if path.suffix in _COMPRESSED_ALREADY else gzip.compress(content, _COMPRESSION_LEVEL, mtime=0)
    compressed = len(small) < len(content)
    media_type = _MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    hashed = name.startswith(ASSETS) and _HASHED.search(name) is not None
    return _Stored(
        body=small if compressed else content,
        compressed=compressed,
        media_type=media_type,
        etag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
        caching=_FOR_EVER if hashed else _ASK_EACH_TIME,
    )


def _answer(stored: _Stored, asked: Headers) -> Response:
    headers = {"etag": stored.etag, "cache-control": stored.caching, "vary": "accept-encoding"}
    if stored.etag in [one.strip() for one in asked.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    body = stored.body
    if stored.compressed:
        if _accepts_gzip(asked.get("accept-encoding", "")):
            headers["content-encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
    return Response(body, headers=headers | {"content-type": stored.media_type})


def _accepts_gzip(accepted: str) -> bool:
    for one in accepted.split(","):
        name, _, weight = one.strip().lower().partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _policy(scope: Scope, headers: Headers) -> bytes:
    # Older browsers do not take WebSockets of the same host for 'self'.
    host = headers.get("host", "")
    schemes = ("wss",) if scope["scheme"] == "https" else ("ws", "wss")
    sockets = "".join(f" {scheme}://{host}" for scheme in schemes) if _HOST.fullmatch(host) else ""
    return _POLICY.format(sockets=sockets).encode()
