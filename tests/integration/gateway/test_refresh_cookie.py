"""The refresh token in a cookie: what a browser gets, sends and forgets, and what another site's page cannot do."""

from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from tests.integration.gateway.conftest import PASSWORDS, Running, StartGateway, bearer, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import LOGIN, me, refresh, refused

REFRESH, LOGOUT = "/api/v1/auth/refresh", "/api/v1/auth/logout"
CSRF = {"X-CSRF-Protection": "1"}
FORTNIGHT = "1209600"


async def log_in(gateway: Running, **headers: str) -> httpx.Response:
    body = {"username": "engineer", "password": PASSWORDS["engineer"], "refresh_cookie": True}
    answer = await gateway.client.post(LOGIN, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    # The client must not send it by itself: each test says what is sent.
    gateway.client.cookies.clear()
    return answer


def cookie_of(answer: httpx.Response) -> "Morsel[str]":
    (header,) = answer.headers.get_list("set-cookie")
    return SimpleCookie(header)["sovd_refresh"]


async def send(gateway: Running, path: str, token: str, body: Any = None, **headers: str) -> httpx.Response:
    headers = {"Cookie": f"other=1; sovd_refresh={token}", **headers}
    answer = await gateway.client.post(path, json=body, headers=headers) if body is not None else None
    answer = answer or await gateway.client.post(path, headers=headers)
    gateway.client.cookies.clear()
    return answer


def forgotten(answer: httpx.Response) -> bool:
    cookie = cookie_of(answer)
    return (cookie.value, cookie["max-age"], cookie["path"]) == ("", "0", "/api/v1/auth")


async def test_a_browser_gets_a_cookie_that_scripts_cannot_read(gateway: Running) -> None:
    answer = await log_in(gateway)
    assert answer.json()["refresh_token"] is None
    cookie = cookie_of(answer)
    assert len(cookie.value) > 40
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "strict", "/api/v1/auth")
    assert (cookie["max-age"], cookie["secure"], cookie["domain"]) == (FORTNIGHT, "", "")
    assert (await me(gateway, answer.json()["access_token"])).status_code == 200


async def test_others_get_no_cookie(gateway: Running) -> None:
    for body in ({}, {"refresh_cookie": False}):
        credentials = {"username": "engineer", "password": PASSWORDS["engineer"], **body}
        answer = await gateway.client.post(LOGIN, json=credentials)
        assert "set-cookie" not in answer.headers
        answer = await refresh(gateway, answer.json()["refresh_token"])
        assert answer.json()["refresh_token"]
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1", True), ("", "")])
async def test_over_tls_the_cookie_is_secure(start_gateway: StartGateway, trusted: str, secure: object) -> None:
    gateway = await start_gateway(trusted_proxies=trusted)
    assert cookie_of(await log_in(gateway, **{"X-Forwarded-Proto": "https"}))["secure"] == secure


@pytest.mark.parametrize("body", [None, {}, {"refresh_token": None}])
async def test_the_cookie_rotates(gateway: Running, body: Any) -> None:
    first = cookie_of(await log_in(gateway)).value
    answer = await send(gateway, REFRESH, first, body, **CSRF)
    assert answer.status_code == 200, answer.text
    assert answer.json()["refresh_token"] is None
    assert (await me(gateway, answer.json()["access_token"])).status_code == 200
    second = cookie_of(answer)
    assert second.value not in ("", first)
    assert (second["max-age"], second["httponly"], second["samesite"]) == (FORTNIGHT, True, "strict")
    reused = await send(gateway, REFRESH, first, **CSRF)
    refused(reused, 401, "INVALID_TOKEN")
    assert forgotten(reused)
    refused(await send(gateway, REFRESH, second.value, **CSRF), 401, "INVALID_TOKEN")


async def test_a_token_in_the_body_comes_first(gateway: Running) -> None:
    cookie = cookie_of(await log_in(gateway)).value
    tokens = await gateway.log_in()
    answer = await send(gateway, REFRESH, cookie, {"refresh_token": tokens["refresh_token"]})
    assert answer.json()["refresh_token"]
    assert "set-cookie" not in answer.headers
    assert (await send(gateway, REFRESH, cookie, **CSRF)).status_code == 200


async def test_without_any_token(gateway: Running) -> None:
    refused(await gateway.client.post(REFRESH), 401, "INVALID_TOKEN")
    refused(await gateway.client.post(REFRESH, headers=CSRF), 401, "INVALID_TOKEN")
    refused(await send(gateway, REFRESH, "", **CSRF), 401, "INVALID_TOKEN")
    refused(await send(gateway, REFRESH, "x" * 5000, **CSRF), 401, "INVALID_TOKEN")


@pytest.mark.parametrize("path", [REFRESH, LOGOUT])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Protection": "0"},
        CSRF | {"Origin": "https://evil.example"},
        CSRF | {"Origin": "null"},
        CSRF | {"Origin": "http://127.0.0.1"},
        CSRF | {"Origin": "http://localhost:{port}"},
        {"Origin": "http://127.0.0.1:{port}"},
    ],
)
async def test_another_site_cannot_use_the_cookie(
    gateway: Running, command_service: FakeCommandService, path: str, headers: dict[str, str]
) -> None:
    token = cookie_of(await log_in(gateway)).value
    answer = await send(gateway, path, token, **with_port(headers, gateway))
    refused(answer, 403, "CSRF_CHECK_FAILED")
    assert "set-cookie" not in answer.headers
    assert (await send(gateway, REFRESH, token, **CSRF)).status_code == 200
    await eventually(lambda: bool(command_service.audited("request.refused")))
    (entry,) = command_service.audited("request.refused")
    assert (entry.subject_id, entry.details_json) == (f"POST {path}", '{"reason":"csrf"}')


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:{port}", "HTTPS://127.0.0.1:{port}", "https://diagnostics.example"]
)
async def test_pages_of_ours_can(start_gateway: StartGateway, origin: str) -> None:
    gateway = await start_gateway(cors_origins="https://diagnostics.example")
    token = cookie_of(await log_in(gateway)).value
    answer = await send(gateway, REFRESH, token, **with_port(CSRF | {"Origin": origin}, gateway))
    assert answer.status_code == 200, answer.text


def with_port(headers: dict[str, str], gateway: Running) -> dict[str, str]:
    return {name: value.format(port=gateway.gateway.port) for name, value in headers.items()}


@pytest.mark.parametrize(("origins", "credentials"), [("https://diagnostics.example", "true"), ("*", None)])
async def test_what_other_origins_may_send(start_gateway: StartGateway, origins: str, credentials: str | None) -> None:
    gateway = await start_gateway(cors_origins=origins)
    preflight = {
        "Origin": "https://diagnostics.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-csrf-protection",
    }
    answer = await gateway.client.options(REFRESH, headers=preflight)
    assert answer.status_code == 200
    assert answer.headers.get("access-control-allow-credentials") == credentials


async def test_where_all_origins_may_read_none_may_use_the_cookie(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins="*")
    token = cookie_of(await log_in(gateway)).value
    refused(await send(gateway, REFRESH, token, **CSRF, Origin="https://evil.example"), 403, "CSRF_CHECK_FAILED")


async def test_log_out_with_the_cookie(gateway: Running, command_service: FakeCommandService) -> None:
    answer = await log_in(gateway)
    token = cookie_of(answer).value
    out = await send(gateway, LOGOUT, token, **CSRF)
    assert out.status_code == 204
    assert forgotten(out)
    refused(await me(gateway, answer.json()["access_token"]), 401, "INVALID_TOKEN")
    again = await send(gateway, REFRESH, token, **CSRF)
    refused(again, 401, "INVALID_TOKEN")
    assert forgotten(again)
    await eventually(lambda: bool(command_service.audited("user.logout")))


async def test_log_out_with_the_access_token_forgets_the_cookie_too(gateway: Running) -> None:
    answer = await log_in(gateway)
    headers = bearer(answer.json()["access_token"])
    out = await send(gateway, LOGOUT, cookie_of(answer).value, **headers)
    assert out.status_code == 204
    assert forgotten(out)
    stale = await send(gateway, LOGOUT, "stale", **headers)
    refused(stale, 401, "INVALID_TOKEN")
    assert forgotten(stale)
