"""Wrong requests to a running system: a clear error with a stable code, and the system works as before."""

import asyncio
import base64
import json
from typing import Any

import httpx
import jwt
import pytest

from gateway.tokens import AccessTokens, CurrentUser
from tests.integration.robustness.harness import INTERNALS, MAX_BODY_BYTES, Api, refusal
from tests.support.system import ENGINEER

COMMANDS, VEHICLES = "/api/v1/commands", "/api/v1/vehicles"
JSON = {"content-type": "application/json"}
NOBODY = "01970c3a-6f2e-7d5a-8c1b-000000000000"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"command_name": "Explode"}, (422, "UNKNOWN_COMMAND_NAME")),
        ({"command_name": "DROP TABLE commands"}, (422, "VALIDATION_FAILED")),
        ({"command_params": {}}, (422, "INVALID_PARAMETERS")),
        ({"command_params": {"ecuAddress": "sixteen"}}, (422, "INVALID_PARAMETERS")),
        ({"command_params": {"ecuAddress": "0x10", "colour": "red"}}, (422, "INVALID_PARAMETERS")),
        ({"command_params": {"ecuAddress": "0x10", "statusMask": "\0"}}, (422, "VALIDATION_FAILED")),
        ({"command_params": ["0x10"]}, (422, "VALIDATION_FAILED")),
        ({"vehicle_id": NOBODY}, (404, "UNKNOWN_VEHICLE")),
        ({"vehicle_id": "the red one"}, (422, "VALIDATION_FAILED")),
        ({"timeout_seconds": 0}, (422, "VALIDATION_FAILED")),
        ({"timeout_seconds": 10**20}, (422, "VALIDATION_FAILED")),
        ({"expires_in_seconds": -1}, (422, "VALIDATION_FAILED")),
        ({"priority": 2**40}, (422, "VALIDATION_FAILED")),
        ({"urgent": True}, (422, "VALIDATION_FAILED")),
    ],
)
async def test_a_wrong_command(api: Api, facts: dict[str, Any], expected: tuple[int, str]) -> None:
    assert refusal(await api.http.post(COMMANDS, json=api.command() | facts)) == expected


async def test_parameters_that_are_wrong_are_named(api: Api) -> None:
    answer = await api.http.post(COMMANDS, json=api.command(command_params={"ecuAddress": "sixteen"}))
    assert answer.json()["details"]["errors"][0]["field"] == "command_params.ecuAddress"
    assert "0x and 1 to 8 hexadecimal digits" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"vehicle_id": NaN}',
        b'{"priority": 1e999}',
        b'{"command_name": "\\ud800"}',
        b"\0",
    ],
)
async def test_malformed_json(api: Api, body: bytes) -> None:
    assert refusal(await api.http.post(COMMANDS, content=body, headers=JSON)) == (400, "MALFORMED_JSON")


async def test_a_body_that_is_too_large(api: Api) -> None:
    padded = json.dumps(api.command()).encode() + b" " * MAX_BODY_BYTES

    async def in_chunks() -> Any:
        for start in range(0, len(padded), 10_000):
            yield padded[start : start + 10_000]

    for path in (COMMANDS, "/api/v1/auth/login", VEHICLES):
        assert refusal(await api.http.post(path, content=padded, headers=JSON)) == (413, "BODY_TOO_LARGE")
        assert refusal(await api.http.post(path, content=in_chunks(), headers=JSON)) == (413, "BODY_TOO_LARGE")


async def test_a_wrong_idempotency_key(api: Api) -> None:
    answer = await api.http.post(COMMANDS, json=api.command(), headers={"Idempotency-Key": "x" * 300})
    assert refusal(answer) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{COMMANDS}/7", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}/%00", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}/{NOBODY}", (404, "UNKNOWN_COMMAND")),
        (f"{COMMANDS}/{NOBODY}/responses", (404, "UNKNOWN_COMMAND")),
        (f"{COMMANDS}/{NOBODY}/evidence", (404, "UNKNOWN_COMMAND")),
        (f"{COMMANDS}/{NOBODY}x/responses", (422, "VALIDATION_FAILED")),
        (f"{VEHICLES}/7", (422, "VALIDATION_FAILED")),
        (f"{VEHICLES}/{NOBODY}", (404, "UNKNOWN_VEHICLE")),
        (f"{VEHICLES}?limit=0", (422, "VALIDATION_FAILED")),
        (f"{VEHICLES}?search=%00", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}?vehicle_id=7", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}?status=lost", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}?from=yesterday", (422, "VALIDATION_FAILED")),
        (f"{COMMANDS}?from=9999-12-31T23:59:59-23:00", (422, "VALIDATION_FAILED")),
        ("/api/v1/audit?to=9999-12-31T23:59:59-23:00", (422, "VALIDATION_FAILED")),
        ("/api/v1/nothing", (404, "NOT_FOUND")),
    ],
)
async def test_a_wrong_address(api: Api, path: str, expected: tuple[int, str]) -> None:
    assert refusal(await api.http.get(path)) == expected


def cursor(*key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (COMMANDS, "nonsense"),
        (COMMANDS, cursor("a text")),
        (VEHICLES, cursor("half a pair: \ud800", "x")),
        ("/api/v1/audit", cursor(2**61, "after the calendar")),
        ("/api/v1/audit", cursor(-(2**61), "before the calendar")),
    ],
)
async def test_a_cursor_that_no_list_gave(api: Api, path: str, given: str) -> None:
    assert refusal(await api.http.get(path, params={"cursor": given})) == (422, "INVALID_CURSOR")


async def test_who_is_not_known_or_may_not(api: Api) -> None:
    async with httpx.AsyncClient(base_url=api.system.url, trust_env=False) as stranger:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer x.y.z"}):
            assert refusal(await stranger.post(COMMANDS, json=api.command(), headers=headers)) == (401, "INVALID_TOKEN")
        engineer = await asyncio.to_thread(api.system.token, ENGINEER)
        answer = await stranger.post(VEHICLES, json={}, headers={"Authorization": f"Bearer {engineer}"})
        assert refusal(answer) == (403, "FORBIDDEN")
        wrong = {"username": "admin", "password": "wrong"}
        assert refusal(await stranger.post("/api/v1/auth/login", json=wrong)) == (401, "INVALID_CREDENTIALS")


async def test_tokens_that_are_not_ours_or_no_longer_good(api: Api) -> None:
    claims = jwt.decode(api.token, options={"verify_signature": False})
    user = CurrentUser(claims["sub"], claims["username"], claims["role"], claims["sid"])
    secret = api.system.processes["gateway"].environment["JWT_SECRET"]
    forged = {
        AccessTokens([secret], -10).issue(user): "TOKEN_EXPIRED",
        AccessTokens(["another secret, which is just as long as ours"], 60).issue(user): "INVALID_TOKEN",
        jwt.encode(claims, "", "none"): "INVALID_TOKEN",
        jwt.encode(claims | {"aud": "another-service"}, secret, "HS256"): "INVALID_TOKEN",
        jwt.encode({"sub": claims["sub"]}, secret, "HS256"): "INVALID_TOKEN",
    }
    for forgery, code in forged.items():
        answer = await api.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {forgery}"})
        assert refusal(answer) == (401, code)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"X-Padding: " + b"a" * 500_000 + b"\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"X-Padding: a\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["huge header", "many headers", "huge address", "not HTTP", "negative length", "no chunk"],
)
async def test_what_is_hardly_http(api: Api, request_bytes: bytes) -> None:
    """Refused, or cut off in the middle; never served, and never kept in memory for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.system.http_port)
    try:
        writer.write(request_bytes)
        async with asyncio.timeout(10):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.transport.abort()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert not any(internal.encode() in answer for internal in INTERNALS)


async def test_a_request_that_ends_before_its_body(api: Api) -> None:
    head = f"POST {COMMANDS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\nContent-Length: 100\r\n\r\n{{"
    _, writer = await asyncio.open_connection("127.0.0.1", api.system.http_port)
    writer.write(head.encode())
    await writer.drain()
    writer.transport.abort()
