"""A server that speaks just enough of the public API, on loopback, in a thread of its own."""

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

VEHICLE_ID = "01970c3a-0000-7000-8000-000000000001"
COMMAND_ID = "01970c3a-0000-7000-8000-0000000000c1"
VIN = "WDD1234567890ABCD"

VEHICLE = {
    "vehicle_id": VEHICLE_ID,
    "vin": VIN,
    "make": "Mercedes",
    "model": "E-Class",
    "year": 2024,
    "link": {"kind": "session", "address": None},
    "connection_status": "online",
    "last_seen_at": "2026-01-02T03:04:05.000000Z",
    "ecus": [{"address": "0x10", "name": "Engine"}],
}
CERTIFICATE = {
    "serial": "ab12",
    "fingerprint": "f" * 64,
    "status": "revoked",
    "issued_at": "2026-01-02T03:04:05.000000Z",
    "expires_at": "2026-04-02T03:04:05.000000Z",
    "revoked_at": "2026-02-02T03:04:05.000000Z",
}
READ_DTC = {
    "name": "ReadDTC",
    "description": "Reads the fault memory",
    "parameters_schema": {
        "type": "object",
        "properties": {"ecuAddress": {"type": "string"}, "statusMask": {"type": "integer"}},
        "required": ["ecuAddress"],
        "additionalProperties": False,
    },
    "preconditions": [{"name": "supply voltage", "comparison": ">=", "value": 11.5, "unit": "V", "when": {}}],
}
COMMAND = {
    "command_id": COMMAND_ID,
    "vehicle_id": VEHICLE_ID,
    "vin": VIN,
    "command_name": "ReadDTC",
    "status": "pending",
    "responses": 0,
    "created_at": "2026-01-02T03:04:05.000000Z",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
}


def answer(number: int, **response: Any) -> dict[str, Any]:
    event = {"event": "response", "command_id": COMMAND_ID, "sequence_number": number, "attempt": 1}
    return {**event, "response": response or {"n": number}, "received_at": "2026-01-02T03:04:06Z"}


def status(name: str, **more: Any) -> dict[str, Any]:
    return {"event": "status", "command_id": COMMAND_ID, "status": name, "attempt": 1, "responses": 0, **more}


def error(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"event": "error", "status": name, "code": code, "error_message": "so it is", "responses": 0, **more}


def problem(status_code: int, code: str, detail: str = "as it is") -> web.Response:
    body = {"type": "about:blank", "status": status_code, "code": code, "detail": detail}
    return web.json_response(body, status=status_code, content_type="application/problem+json")


class FakeApi:
    """State that tests set before and look at after a call of the program."""

    def __init__(self) -> None:
        self.user, self.password = "engineer", "engineer123"
        self.access, self.refresh = "access-1", "refresh-1"
        self.refreshes = 0
        self.refresh_delay = 0.0
        self.submitted: list[tuple[dict[str, Any], str | None]] = []
        self.calls: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.terms: list[dict[str, Any]] = []
        self.vehicles: list[dict[str, Any]] = [VEHICLE]
        self.certificates: list[dict[str, Any]] = [CERTIFICATE]
        self.revoked: list[str] = []
        self.kinds: list[dict[str, Any]] = [READ_DTC]
        self.commands: list[dict[str, Any]] = [COMMAND]
        self.answers: list[dict[str, Any]] = []
        self.audit: list[dict[str, Any]] = []
        self.verification: dict[str, Any] = {"intact": True, "sealed": 2, "unsealed": 1}
        self.cancel_outcome = "requested"
        self.problems: dict[str, list[Callable[[], web.StreamResponse]]] = {}
        # One script per WebSocket connection: events to send, then how it ends (None: stays open).
        self.connections: list[tuple[list[Any], int | None]] = []
        self.afters: list[int] = []
        self.page_size = 100
        self.on_open: Callable[[], None] | None = None
        self._tickets: set[str] = set()
        self._numbers = itertools.count(1)

    # What the program calls, in the order of design section 3.

    async def login(self, request: web.Request) -> web.Response:
        body = await request.json()
        if (body["username"], body["password"]) != (self.user, self.password):
            return problem(401, "INVALID_CREDENTIALS", "wrong name or password")
        return self._tokens()

    async def refresh_tokens(self, request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(self.refresh_delay)
        if body["refresh_token"] != self.refresh:
            return problem(401, "INVALID_TOKEN", "this refresh token was used before")
        self.refreshes += 1
        self.access, self.refresh = f"access-{self.refreshes + 1}", f"refresh-{self.refreshes + 1}"
        return self._tokens()

    def _tokens(self) -> web.Response:
        tokens = {"access_token": self.access, "refresh_token": self.refresh}
        return web.json_response({**tokens, "token_type": "bearer", "expires_in": 900})

    async def logout(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response({"username": self.user, "role": "engineer"})

    async def ticket(self, request: web.Request) -> web.Response:
        ticket = f"ticket-{next(self._numbers)}"
        self._tickets.add(ticket)
        return web.json_response({"ticket": ticket, "expires_in": 30})

    async def list_vehicles(self, request: web.Request) -> web.Response:
        search = request.query.get("search", "").lower()
        return self._page(request, [vehicle for vehicle in self.vehicles if search in vehicle["vin"].lower()])

    async def get_vehicle(self, request: web.Request) -> web.Response:
        return web.json_response(next(v for v in self.vehicles if v["vehicle_id"] == request.match_info["id"]))

    async def add_vehicle(self, request: web.Request) -> web.Response:
        vehicle = {**await request.json(), "vehicle_id": VEHICLE_ID}
        self.vehicles.append(vehicle)
        return web.json_response(vehicle, status=201)

    async def remove_vehicle(self, request: web.Request) -> web.Response:
        self.vehicles = [v for v in self.vehicles if v["vehicle_id"] != request.match_info["id"]]
        return web.Response(status=204)

    async def take_lock(self, request: web.Request) -> web.Response:
        (vehicle,) = (v for v in self.vehicles if v["vehicle_id"] == request.match_info["id"])
        self.terms.append(await request.json())
        lock = {
            "owner": self.user,
            "owner_id": "u",
            "taken_at": "2026-01-31T12:00:00Z",
            "expires_at": "2026-01-31T12:15:00Z",
        }
        self.vehicles = [{**vehicle, "lock": lock}]
        return web.json_response(lock, status=201)

    async def release_lock(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        self.vehicles = [{**vehicle, "lock": None} for vehicle in self.vehicles]
        return web.Response(status=204)

    async def create_code(self, request: web.Request) -> web.Response:
        code = {"code": "ABCD-EFGH", "vin": VIN, "expires_at": "2026-01-02T03:04:05.000000Z"}
        return web.json_response(code, status=201)

    async def list_certificates(self, request: web.Request) -> web.Response:
        return self._page(request, self.certificates)

    async def revoke_certificates(self, request: web.Request) -> web.Response:
        self.revoked.append(request.match_info.get("serial", ""))
        return web.Response(status=204)

    async def command_types(self, request: web.Request) -> web.Response:
        return self._page(request, self.kinds)

    async def submit(self, request: web.Request) -> web.Response:
        self.submitted.append((await request.json(), request.headers.get("Idempotency-Key")))
        return web.json_response(COMMAND, status=201)

    async def list_commands(self, request: web.Request) -> web.Response:
        return self._page(request, self.commands)

    async def get_command(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != COMMAND_ID:
            return problem(404, "UNKNOWN_COMMAND", "no such command")
        return web.json_response(self.commands[0])

    async def list_answers(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        page = self.answers[after : after + self.page_size]
        return web.json_response({"items": page, "has_more": after + len(page) < len(self.answers)})

    async def list_evidence(self, request: web.Request) -> web.Response:
        return self._page(request, [{"kind": "response", "reason": "after_end", "body": '{"late":true}'}])

    async def cancel(self, request: web.Request) -> web.Response:
        return web.json_response({"outcome": self.cancel_outcome, "command": COMMAND})

    async def list_audit(self, request: web.Request) -> web.Response:
        return self._page(request, self.audit)

    async def verify_audit(self, request: web.Request) -> web.Response:
        return web.json_response(self.verification)

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        start = int(request.query.get("cursor", 0))
        end = start + min(self.page_size, int(request.query["limit"])) if "limit" in request.query else len(items)
        return web.json_response({"items": items[start:end], "next_cursor": str(end) if end < len(items) else None})

    async def responses_socket(self, request: web.Request) -> web.StreamResponse:
        if request.query["ticket"] not in self._tickets:
            return web.Response(status=403)
        self._tickets.remove(request.query["ticket"])
        self.afters.append(int(request.query["after"]))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        events, code = self.connections.pop(0)
        for event in events:
            await socket.send_str(event if isinstance(event, str) else json.dumps(event))
        if self.on_open is not None:
            self.on_open()
        if code is None:
            await _until_closed(socket)
        elif code == WSCloseCode.ABNORMAL_CLOSURE:
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.close(code=code, message=b"because")
        return socket

    @web.middleware
    async def watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        self.queries.append(dict(request.query))
        if prepared := self.problems.get(request.path):
            return prepared.pop(0)()  # once each; then as usual
        if request.path.startswith(("/api/v1/auth/login", "/api/v1/auth/refresh", "/ws/")):
            return await handler(request)
        if request.headers.get("Authorization") != f"Bearer {self.access}":
            return problem(401, "TOKEN_EXPIRED", "the access token has expired")
        return await handler(request)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.watch])
        api = "/api/v1"
        app.add_routes(
            [
                web.post(f"{api}/auth/login", self.login),
                web.post(f"{api}/auth/refresh", self.refresh_tokens),
                web.post(f"{api}/auth/logout", self.logout),
                web.post(f"{api}/auth/ws-ticket", self.ticket),
                web.get(f"{api}/auth/me", self.me),
                web.get(f"{api}/vehicles", self.list_vehicles),
                web.post(f"{api}/vehicles", self.add_vehicle),
                web.get(f"{api}/vehicles/{{id}}", self.get_vehicle),
                web.delete(f"{api}/vehicles/{{id}}", self.remove_vehicle),
                web.post(f"{api}/vehicles/{{id}}/lock", self.take_lock),
                web.delete(f"{api}/vehicles/{{id}}/lock", self.release_lock),
                web.post(f"{api}/vehicles/{{id}}/enrolment-codes", self.create_code),
                web.get(f"{api}/vehicles/{{id}}/certificates", self.list_certificates),
                web.delete(f"{api}/vehicles/{{id}}/certificates", self.revoke_certificates),
                web.delete(f"{api}/vehicles/{{id}}/certificates/{{serial}}", self.revoke_certificates),
                web.get(f"{api}/command-types", self.command_types),
                web.post(f"{api}/commands", self.submit),
                web.get(f"{api}/commands", self.list_commands),
                web.get(f"{api}/commands/{{id}}", self.get_command),
                web.get(f"{api}/commands/{{id}}/responses", self.list_answers),
                web.get(f"{api}/commands/{{id}}/evidence", self.list_evidence),
                web.post(f"{api}/commands/{{id}}/cancel", self.cancel),
                web.get(f"{api}/audit", self.list_audit),
                web.get(f"{api}/audit/verification", self.verify_audit),
                web.get("/ws/responses/{id}", self.responses_socket),
            ]
        )
        return app


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return


class RunningFake:
    """The fake on a port of its own; a with statement starts and stops it."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> str:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return f"http://127.0.0.1:{port}"

    async def _start(self) -> int:
        self._runner = web.AppRunner(self._api.app(), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    def __exit__(self, *_: object) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
