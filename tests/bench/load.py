"""The bench's client: closed-loop users of the public API, each with one connection and one WebSocket.

A command counts only when its responses 1..n and its terminal status arrived, in order, over the WebSocket.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from tests.bench.connections import HttpConnection, WebSocketConnection, open_http, open_websocket

RESPONSES = 3
_KEY = "a key of its own for each"


@dataclass
class Measured:
    """Latencies in seconds of the commands that counted, their ids, and what went wrong."""

    concurrency: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    command_ids: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def drive(url: str, token: str, vehicle_ids: Sequence[str], concurrency: int, seconds: float) -> Measured:
    """`concurrency` users, each with a vehicle of its own as far as there are enough, for `seconds`."""
    measured = Measured(concurrency)
    users = [
        _User(
            await open_http(url),
            await open_websocket(url, f"/ws/events?token={token}"),
            _submission(url, token, vehicle_ids[index % len(vehicle_ids)]),
            measured,
        )
        for index in range(concurrency)
    ]
    started = time.perf_counter()
    await asyncio.gather(*(user.run(started + seconds) for user in users))
    measured.seconds = time.perf_counter() - started
    for user in users:
        user.leave()
    return measured


def _submission(url: str, token: str, vehicle_id: str) -> bytes:
    command = {"vehicle_id": vehicle_id, "command_name": "ReadDTC", "command_params": {"ecuAddress": "0x10"}}
    body = json.dumps(command)
    return (
        f"POST /api/v1/commands HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: {_KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class _User:
    def __init__(
        self, http: HttpConnection, socket: WebSocketConnection, submission: bytes, measured: Measured
    ) -> None:
        self._http = http
        self._socket = socket
        self._submission = submission
        self._measured = measured

    async def run(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            try:
                async with asyncio.timeout(60):
                    command_id = await self._submit()
                    await self._watch(command_id)
            except (TimeoutError, OSError, AssertionError) as error:
                self._measured.errors.append(f"{type(error).__name__}: {error}")
                return
            self._measured.latencies.append(time.perf_counter() - now)
            self._measured.command_ids.append(command_id)

    def leave(self) -> None:
        self._http.transport.close()
        self._socket.transport.close()

    async def _submit(self) -> str:
        request = self._submission.replace(_KEY.encode(), uuid.uuid4().hex.encode(), 1)
        status, body = await self._http.request(request)
        assert status == 201, f"{status} {body.decode(errors='replace')}"
        return str(orjson.loads(body)["command_id"])

    async def _watch(self, command_id: str) -> None:
        self._socket.send(f'{{"action":"subscribe","command_id":"{command_id}","after":0}}'.encode())
        seen = 0
        while True:
            event = orjson.loads(await self._socket.receive())
            if event.get("command_id") != command_id:
                assert event["event"] == "subscribed", event
            elif event["event"] == "response":
                seen += 1
                assert event["sequence_number"] == seen, f"{event['sequence_number']} came where {seen} belongs"
            elif event["event"] in ("problem", "error"):
                raise AssertionError(json.dumps(event))
            elif event.get("status") == "completed":
                assert (seen, event["responses"]) == (RESPONSES, RESPONSES), f"ended after {seen} responses"
                return
