"""The server itself: sizes, headers, proxies, documentation, and what it must never log."""

import asyncio
import contextlib
import json
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from gateway import http_protocol
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from service_kit.logging import configure_logging
from tests.integration.gateway.conftest import PASSWORDS, Running, StartGateway, bearer, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import LOGIN, refused


async def raw(gateway: Running, request: bytes) -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.port)
    writer.write(request)
    await writer.drain()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_body_that_is_announced_too_large_is_not_read(gateway: Running) -> None:
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = await raw(gateway, head + b"Content-Length: 99999999999\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"BODY_TOO_LARGE"' in answer


async def test_a_body_in_chunks_that_grows_too_large(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_body_bytes=2000)
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    answer = await raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"BODY_TOO_LARGE"' in answer
    body = json.dumps({"username": "nobody", "password": "x" * 200}).encode()
    assert (await gateway.client.post(LOGIN, content=body, headers=JSON)).status_code == 401
    assert (await gateway.client.post(LOGIN, content=body + b" " * 2000, headers=JSON)).status_code == 413


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"username": "engineer",}', b"\xff", b'"', b"[" * 50_000])
async def test_malformed_json(gateway: Running, content: bytes) -> None:
    answer = await gateway.client.post(LOGIN, content=content, headers=JSON)
    refused(answer, *((400, "MALFORMED_JSON") if content else (422, "VALIDATION_FAILED")))


async def test_a_body_that_is_not_said_to_be_json(gateway: Running) -> None:
    body = json.dumps({"username": "engineer", "password": PASSWORDS["engineer"]}).encode()
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        refused(await gateway.client.post(LOGIN, content=body, headers=headers), 422, "VALIDATION_FAILED")


async def test_a_wrong_method_is_told_the_right_ones(gateway: Running) -> None:
    answer = await gateway.client.put("/api/v1/vehicles/0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "PATCH", "DELETE"}
    assert (await gateway.client.post("/docs")).headers["allow"] == "GET"


async def test_what_is_not_http(gateway: Running) -> None:
    assert (await raw(gateway, b"\x16\x03\x01\x02\x00garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await gateway.client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("endless", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "])
async def test_a_head_without_end(gateway: Running, endless: bytes) -> None:
    # Cut off while it still sends, a client may find its connection reset before it can read the answer.
    with contextlib.suppress(ConnectionError):
        assert (await raw(gateway, endless + b"x" * 600_000)).startswith(b"HTTP/1.1 400")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 10_000 + b"\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_head_that_does_not_come(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    for beginning in (b"", b"GET / HTTP/1.1\r\nHo"):
        assert await raw(gateway, beginning) == b""
    # A request that takes longer than that is not a head that does not come, nor is a connection between requests.
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.port)
    for _ in range(2):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await reader.readexactly(len(b'{"status":"alive"}'))
        await asyncio.sleep(0.4)
    writer.write(b"GET /health/live HTTP/1.1\r\nHo")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_body_that_does_not_come(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for rest in (
        b"Content-Length: 100\r\n\r\n",
        b"Content-Length: 100\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n{",
    ):
        assert await raw(gateway, head + rest) == b""
    # A WebSocket has none.
    address = f"ws://127.0.0.1:{gateway.gateway.port}/ws/events?token={(await gateway.log_in())['access_token']}"
    async with connect(address) as websocket:
        await asyncio.sleep(0.4)
        await websocket.send('{"action":"ping"}')
        assert await websocket.recv() == '{"event":"pong"}'


async def test_headers_of_every_answer(gateway: Running) -> None:
    for path in ("/health/live", "/nowhere", "/api/v1/vehicles", "/openapi.json"):
        headers = (await gateway.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


async def test_other_origins(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins="https://diagnostics.example, https://other.example")
    preflight = {
        "Origin": "https://diagnostics.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    answer = await gateway.client.options("/api/v1/commands", headers=preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://diagnostics.example"
    evil = {"Origin": "https://evil.example"}
    assert (await gateway.client.options("/api/v1/commands", headers=preflight | evil)).status_code == 400
    assert "access-control-allow-origin" not in (await gateway.client.get("/health/live", headers=evil)).headers
    # A refused body is readable for the page that sent it, too.
    too_large = await gateway.client.post(LOGIN, content=b"x" * (1 << 21), headers=JSON | preflight)
    assert (too_large.status_code, too_large.headers["access-control-allow-origin"]) == (413, preflight["Origin"])


async def test_without_cors_origins_no_other_origin_may_read(gateway: Running) -> None:
    answer = await gateway.client.get("/health/live", headers={"Origin": "https://diagnostics.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("trusted", "address"), [("127.0.0.1", "203.0.113.9"), ("", "127.0.0.1")])
async def test_only_a_trusted_proxy_says_who_is_behind_it(
    start_gateway: StartGateway, command_service: FakeCommandService, trusted: str, address: str
) -> None:
    gateway = await start_gateway(trusted_proxies=trusted)
    body = {"username": "nobody", "password": "wrong"}
    await gateway.client.post(LOGIN, json=body, headers={"X-Forwarded-For": "203.0.113.9"})
    await eventually(lambda: bool(command_service.audited("user.login")))
    assert command_service.audited("user.login")[0].remote_address == address


@pytest.mark.parametrize("trusted", ["192.0.2.1", "192.0.2.0/24"])
async def test_a_proxy_is_known_where_ipv4_comes_over_an_ipv6_socket(settings: dict[str, Any], trusted: str) -> None:
    clients = []

    async def asgi(scope: Any, *_: Any) -> None:
        clients.append(scope["client"][0])

    server = HttpServer(asgi, GatewaySettings(**settings | {"trusted_proxies": trusted}))
    server._server.config.load()
    for seen_as in ("::ffff:192.0.2.1", "::ffff:198.51.100.1"):
        scope: Any = {"type": "http", "client": (seen_as, 4711), "headers": [(b"x-forwarded-for", b"203.0.113.9")]}
        await server._server.config.loaded_app(scope, cast("Any", None), cast("Any", None))
    await server.close()
    assert clients == ["203.0.113.9", "::ffff:198.51.100.1"]


async def test_documentation(gateway: Running) -> None:
    docs = await gateway.client.get("/docs")
    assert docs.status_code == 200
    assert "swagger-ui" in docs.text
    assert "cdn.jsdelivr.net" in docs.headers["content-security-policy"]
    document = (await gateway.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert (await gateway.client.get("/redoc")).status_code == 404


async def test_metrics(gateway: Running) -> None:
    await gateway.log_in()
    answer = await gateway.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'sovd_http_requests_total{method="POST",route="/api/v1/auth/login",status="200"}' in answer.text
    assert 'sovd_logins_total{outcome="success"}' in answer.text
    assert "sovd_websockets_open 0.0" in answer.text


async def test_no_secret_is_ever_logged(start_gateway: StartGateway, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", "DEBUG", "json")
    gateway = await start_gateway()
    tokens = await gateway.log_in()
    access, headers = tokens["access_token"], bearer(tokens["access_token"])
    old = {"refresh_token": tokens["refresh_token"]}
    rotated = (await gateway.client.post("/api/v1/auth/refresh", json=old)).json()
    tickets = [
        (await gateway.client.post("/api/v1/auth/ws-ticket", headers=headers)).json()["ticket"] for _ in range(2)
    ]
    for query in (f"token={access}", f"ticket={tickets[0]}", "token=aaa.bbb.ccc", "ticket=a-made-up-ticket"):
        await open_websocket(gateway, f"/ws/events?{query}")
        await open_websocket(gateway, f"/ws/nowhere?{query}")
        await gateway.client.get(f"/api/v1/nothing?{query}")
    await gateway.client.post(LOGIN, json={"username": "engineer", "password": "not-my-password", "again": "oops"})
    await gateway.client.post("/api/v1/auth/refresh", json=old)
    logged = "".join(capfd.readouterr())
    assert '"path": "/api/v1/auth/login"' in logged
    secrets = [access, tokens["refresh_token"], rotated["access_token"], rotated["refresh_token"], *tickets]
    for secret in (*secrets, PASSWORDS["engineer"], "not-my-password", "aaa.bbb.ccc", "a-made-up-ticket"):
        assert secret not in logged
    configure_logging("tests", "INFO")


async def open_websocket(gateway: Running, path: str) -> None:
    try:
        async with connect(f"ws://127.0.0.1:{gateway.gateway.port}{path}") as websocket:
            await websocket.close()
    except WebSocketException:
        pass


async def test_every_call_has_examples(gateway: Running) -> None:
    document: dict[str, Any] = (await gateway.client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            body = operation.get("requestBody")
            if body is not None:
                assert has_example(body["content"]["application/json"], document), where
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    assert has_example(content, document), f"{where} {status}"
            expected = {"429", "503"} if path.startswith("/api") else set()
            assert expected <= operation["responses"].keys(), where
            assert ("401" in operation["responses"]) == (operation["security"] != [] or path.startswith("/api/v1/auth"))


def has_example(content: dict[str, Any], document: dict[str, Any]) -> bool:
    schema = content["schema"]
    for part in (schema, *schema.get("anyOf", ())):
        name = part.get("$ref", "").rpartition("/")[2]
        resolved = document["components"]["schemas"].get(name, part)
        if "example" in content or "example" in resolved or "examples" in resolved:
            return True
    return False


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/commands"])
async def test_a_client_that_goes_away_harms_nobody(
    gateway: Running, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    authorization = (await gateway.headers())["Authorization"]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n"
    for _ in range(10):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.port)
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
    assert (await gateway.client.get("/health/live")).status_code == 200
    assert "request_failed" not in "".join(capfd.readouterr())
