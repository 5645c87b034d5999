"""Users who keep sending commands and watching their answers while parts of the system go away, and who never give up.

Every request carries an idempotency key and is sent again until it is answered; every viewer reconnects with `after`.
What they saw is what the promises are then held against.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from tests.support.system import ENGINEER, System
from vehicle_simulator.ledger import hand_overs, read_ledger

_RETRY_SECONDS = 0.2
_READ = ("ReadDTC", {"ecuAddress": "0x10"})
_MIX: tuple[tuple[str, dict[str, Any]], ...] = (
    _READ,
    ("ReadDataByID", {"ecuAddress": "0x10", "dataId": "0xF190"}),
    ("ReadDTC", {"ecuAddress": "0x18"}),
    ("ClearDTC", {"ecuAddress": "0x18"}),
    ("RoutineControl", {"ecuAddress": "0x10", "routineId": "0x0203", "action": "start"}),
    ("ECUReset", {"ecuAddress": "0x28", "resetType": "soft"}),
)


@dataclass
class Sent:
    """A command that was answered with 201, and what its viewer saw."""

    command_id: str
    vehicle_id: str
    command_name: str
    ecu: str
    repeatable: bool
    order: int
    responses: list[tuple[int, str]] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    end: str = ""


class Traffic:
    def __init__(self, system: System, vehicle_ids: Sequence[str], users: int = 12) -> None:
        self.sent: list[Sent] = []
        self.violations: list[str] = []
        # What others had sent to these vehicles.
        self.handed_over_before = set(hand_overs(read_ledger(system.ledger)))
        self._system = system
        self._vehicle_ids = vehicle_ids
        self._users = users
        self._stop = asyncio.Event()
        self._order = itertools.count()
        self._name = uuid4().hex
        self._token = ""
        self._chance = random.Random(7)

    async def __aenter__(self) -> "Traffic":
        self._session = aiohttp.ClientSession(self._system.url, timeout=aiohttp.ClientTimeout(total=20))
        await self._log_in()
        self._tasks = [asyncio.create_task(self._user(index)) for index in range(self._users)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def send_at_least(self, more: int, seconds: float = 60) -> None:
        """Returns when so many further commands were accepted."""
        goal = len(self.sent) + more
        async with asyncio.timeout(seconds):
            while len(self.sent) < goal:
                self.raise_if_broken()
                await asyncio.sleep(0.02)

    async def finish(self, seconds: float) -> None:
        """No new commands; returns when every viewer saw the end of its command."""
        self._stop.set()
        _, running = await asyncio.wait(self._tasks, timeout=seconds)
        self.raise_if_broken()
        open_ = [one for one in self.sent if not one.end]
        assert not running, f"{len(open_)} of {len(self.sent)} viewers saw no end, such as {open_[:3]}"

    def raise_if_broken(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise AssertionError("a user met what no user should") from task.exception()

    async def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self._request("GET", path)
        return answer

    async def _user(self, index: int) -> None:
        while not self._stop.is_set():
            name, parameters = self._chance.choice(_MIX)
            vehicle_id = self._vehicle_ids[(index + self._chance.randrange(2)) % len(self._vehicle_ids)]
            await self._watch(await self._send(vehicle_id, name, parameters))

    async def _send(self, vehicle_id: str, name: str, parameters: dict[str, Any]) -> Sent:
        order = next(self._order)
        body = {"vehicle_id": vehicle_id, "command_name": name, "command_params": parameters, "timeout_seconds": 10}
        answer = await self._request("POST", "/api/v1/commands", body, {"Idempotency-Key": f"{self._name}-{order}"})
        sent = Sent(answer["command_id"], vehicle_id, name, parameters["ecuAddress"], answer["repeatable"], order)
        self.sent.append(sent)
        return sent

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Until it is answered: a connection that breaks, a 5xx or a 429 is no answer."""
        while True:
            sending = {"Authorization": f"Bearer {self._token}", **(headers or {})}
            try:
                async with self._session.request(method, path, json=body, headers=sending) as answer:
                    text = await answer.text()
                    if answer.status in (200, 201):
                        return json.loads(text)
                    assert answer.status >= 500 or answer.status == 429, f"{method} {path}: {answer.status} {text}"
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            await asyncio.sleep(_RETRY_SECONDS)

    async def _log_in(self) -> None:
        username, password = ENGINEER
        body = {"username": username, "password": password}
        self._token = (await self._request("POST", "/api/v1/auth/login", body))["access_token"]

    async def _watch(self, sent: Sent) -> None:
        while not sent.end:
            path = f"/ws/responses/{sent.command_id}?token={self._token}&after={len(sent.responses)}"
            try:
                async with self._session.ws_connect(path) as socket:
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._take(sent, json.loads(message.data))
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            if not sent.end:
                await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, sent: Sent, event: dict[str, Any]) -> None:
        name = sent.command_id
        if sent.end:
            self.violations.append(f"{name}: {event} came after the end")
        elif event["event"] == "response":
            if event["sequence_number"] != len(sent.responses) + 1:
                self.violations.append(f"{name}: response {event['sequence_number']} after {len(sent.responses)}")
            sent.responses.append((event["sequence_number"], json.dumps(event["response"], sort_keys=True)))
        elif event["event"] in ("status", "error"):
            self._take_status(sent, event)
        elif event["event"] != "problem":
            self.violations.append(f"{name}: {event} is not expected")

    def _take_status(self, sent: Sent, event: dict[str, Any]) -> None:
        if event["responses"] > len(sent.responses):
            self.violations.append(f"{sent.command_id}: {event} before the responses that it counts")
        sent.statuses.append((event["revision"], event["status"]))
        if event["event"] == "error" or event["status"] == "completed":
            sent.end = event["status"]
