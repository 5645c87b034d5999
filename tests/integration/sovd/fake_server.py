"""A SOVD server of a few lines that answers exactly what a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]

ECM = "/components/ecm"
COMPONENTS: dict[Key, Any] = {
    ("GET", "/components"): {"items": [{"id": "ecm", "name": "ECM"}]},
    ("GET", ECM): {"id": "ecm", "name": "ECM", "variant": {"logical_address": "0x10"}},
}


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # Instead of all that.
    raw: bytes | None = None

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )
        head = {"content-length": str(len(body)), "content-type": "application/json", **self.headers}
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        return "\r\n".join(lines).encode() + body


@dataclass
class FakeServer:
    """`answers` by method and path (without its query); what is not there is 404."""

    answers: dict[Key, Any]
    requests: list[tuple[str, str, Mapping[str, str], Any]] = field(default_factory=list)
    port: int = 0
    open: int = 0
    """Connections."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str, path: str) -> list[tuple[Mapping[str, str], Any]]:
        """Headers and body of each such request."""
        return [(headers, body) for how, where, headers, body in self.requests if (how, where) == (method, path)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(await self._answer(head.decode(), reader))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader) -> bytes:
        request, *lines = head.split("\r\n")
        method, target, _ = request.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((method, target, headers, json.loads(body) if body else None))
        answer = self.answers.get((method, target.partition("?")[0]), Reply(404))
        if isinstance(answer, list):  # one after the other, the last one again and again
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        reply = answer if isinstance(answer, Reply) else Reply(204 if answer is None else 200, answer)
        return reply.encoded()


@asynccontextmanager
async def fake_server(answers: Mapping[Key, Any]) -> AsyncIterator[FakeServer]:
    """With one component, ECM at 0x10, unless the answers say otherwise."""
    fake = FakeServer({**COMPONENTS, **answers})
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
