"""A running system as those who try to break it hold it: calls, viewers, and whether every process is still there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.system import System
from tests.support.waiting import until_it

Event = dict[str, Any]
MAX_BODY_BYTES = 64 * 1024
TERMINAL = {"completed", "failed", "timed_out", "expired", "cancelled"}
# What belongs in no answer and no start-up line.
INTERNALS = ("Traceback", "asyncpg", "sqlalchemy", 'File "')


class Api:
    """One user of the API, and the vehicles that are online."""

    def __init__(self, system: System, http: httpx.AsyncClient, token: str, vehicles: list[dict[str, Any]]) -> None:
        self.system = system
        self.http = http
        self.token = token
        self.vehicles = vehicles

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def command(self, name: str = "ReadDTC", *, vehicle: int = 0, **facts: Any) -> dict[str, Any]:
        """The body of a request to send a command."""
        body = {"vehicle_id": self.vehicles[vehicle]["vehicle_id"], "command_name": name}
        return body | {"command_params": {"ecuAddress": "0x10"}} | facts

    async def submit(self, name: str = "ReadDTC", *, vehicle: int = 0, **facts: Any) -> str:
        answer = await self.http.post("/api/v1/commands", json=self.command(name, vehicle=vehicle, **facts))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["command_id"])

    async def get(self, command_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/v1/commands/{command_id}")
        assert answer.status_code == 200, answer.text
        command: dict[str, Any] = answer.json()
        return command

    async def ended(self, command_id: str, seconds: float = 30) -> dict[str, Any]:
        async def has_ended() -> bool:
            return (await self.get(command_id))["status"] in TERMINAL

        await until_it(has_ended, seconds)
        return await self.get(command_id)

    async def works(self, *, vehicle: int = 0) -> None:
        """The main job: a ReadDTC completes, with its three responses."""
        command = await self.ended(await self.submit(vehicle=vehicle))
        assert (command["status"], command["responses"]) == ("completed", 3), command

    async def ready(self) -> tuple[int, dict[str, Any]]:
        answer = await self.http.get("/health/ready")
        return answer.status_code, answer.json()

    async def until_status(self, status: str, seconds: float = 30) -> dict[str, Any]:
        """What the readiness says once it says `status`."""

        async def says_so() -> bool:
            return bool((await self.ready())[1]["status"] == status)

        await until_it(says_so, seconds)
        return (await self.ready())[1]

    async def until_vehicle(self, connection_status: str, *, vehicle: int = 0, seconds: float = 30) -> None:
        path = f"/api/v1/vehicles/{self.vehicles[vehicle]['vehicle_id']}"

        async def is_so() -> bool:
            answer = await self.http.get(path)
            return answer.status_code == 200 and answer.json()["connection_status"] == connection_status

        await until_it(is_so, seconds)

    async def ticket(self) -> str:
        answer = await self.http.post("/api/v1/auth/ws-ticket")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ticket"])

    def socket(self, path: str) -> connect:
        return connect(f"{self.system.ws_url}{path}", proxy=None)


@asynccontextmanager
async def api_of(system: System, token: str, vehicles: list[dict[str, Any]]) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=30, trust_env=False) as http:
        yield Api(system, http, token, vehicles)


def pids(system: System) -> dict[str, int]:
    """Of all that run; a process that was started again has another."""
    return {name: process.pid for name, process in system.processes.items() if process.running}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and stable code of a refusal, which must be problem details and tell nothing internal."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert not any(internal in answer.text for internal in INTERNALS), answer.text
    problem = answer.json()
    assert problem["detail"]
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["code"]


async def events_until_closed(socket: ClientConnection, seconds: float = 30) -> tuple[list[Event], int | None]:
    """All that comes, and the close code."""
    events = []
    async with asyncio.timeout(seconds):
        try:
            while True:
                events.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return events, socket.close_code


async def events_until_end(socket: ClientConnection, command_id: str, seconds: float = 30) -> list[Event]:
    """The events of one command on a socket that watches many, up to its terminal one."""
    events: list[Event] = []
    async with asyncio.timeout(seconds):
        while not events or not is_terminal(events[-1]):
            event = json.loads(await socket.recv())
            if event.get("command_id") == command_id:
                events.append(event)
    return events


def is_terminal(event: Event) -> bool:
    return event["event"] == "error" or event.get("status") in TERMINAL


def check_order(events: list[Event], responses: int) -> None:
    """Every response once and in order, no status before what it counts, and the terminal one last."""
    seen, revision = 0, 0
    for event in events:
        if event["event"] == "response":
            assert event["sequence_number"] == seen + 1, events
            seen += 1
        else:
            assert event["responses"] <= seen, events
            assert event["revision"] > revision, events
            revision = event["revision"]
    assert seen == responses, events
    assert [is_terminal(event) for event in events[-2:]] == [False, True], events
