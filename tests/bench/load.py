"""The bench's client: closed-loop users of the public API, each with one connection and one WebSocket.

A command counts only when its responses 1..n and its terminal status arrived, in order, over the WebSocket.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

RESPONSES = 3


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
    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
        sockets = [await session.ws_connect(f"/ws/events?token={token}", compress=0) for _ in range(concurrency)]
        started = time.perf_counter()
        users = [
            _User(session, socket, vehicle_ids[index % len(vehicle_ids)], measured).run(started + seconds)
            for index, socket in enumerate(sockets)
        ]
        await asyncio.gather(*users)
        measured.seconds = time.perf_counter() - started
        for socket in sockets:
            await socket.close()
    return measured


class _User:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        socket: "aiohttp.ClientWebSocketResponse[bool]",
        vehicle_id: str,
        measured: Measured,
    ) -> None:
        self._session = session
        self._socket = socket
        self._measured = measured
        command = {"vehicle_id": vehicle_id, "command_name": "ReadDTC", "command_params": {"ecuAddress": "0x10"}}
        self._body = json.dumps(command).encode()

    async def run(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            try:
                async with asyncio.timeout(60):
                    command_id = await self._submit()
                    await self._watch(command_id)
            except (TimeoutError, aiohttp.ClientError, AssertionError) as error:
                self._measured.errors.append(f"{type(error).__name__}: {error}")
                return
            self._measured.latencies.append(time.perf_counter() - now)
            self._measured.command_ids.append(command_id)

    async def _submit(self) -> str:
        headers = {"Content-Type": "application/json"}
        async with self._session.post("/api/v1/commands", data=self._body, headers=headers) as answer:
            body = await answer.read()
            assert answer.status == 201, f"{answer.status} {body.decode(errors='replace')}"
            return str(json.loads(body)["command_id"])

    async def _watch(self, command_id: str) -> None:
        await self._socket.send_str(f'{{"action":"subscribe","command_id":"{command_id}","after":0}}')
        seen = 0
        while True:
            event = json.loads(await self._socket.receive_str())
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
