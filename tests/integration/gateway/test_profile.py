"""One's own password and login sessions, over HTTP."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from websockets.asyncio.client import connect

from gateway.cursors import encode_cursor
from tests.integration.gateway.conftest import PASSWORDS, Running, StartGateway, bearer, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import LOGIN, me, refresh, refused

PASSWORD, SESSIONS = "/api/v1/auth/password", "/api/v1/auth/sessions"
NEW_PASSWORD = "correct horse battery staple"


def sid_of(tokens: dict[str, Any]) -> str:
    return str(jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"])


async def sessions(gateway: Running, token: str, **query: Any) -> dict[str, Any]:
    answer = await gateway.client.get(SESSIONS, params=query, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_new_password_ends_all_other_sessions(gateway: Running, command_service: FakeCommandService) -> None:
    other, tokens = await gateway.log_in(), await gateway.log_in()
    of_somebody_else = await gateway.log_in("admin")
    body = {"current_password": PASSWORDS["engineer"], "new_password": NEW_PASSWORD}
    answer = await gateway.client.post(PASSWORD, json=body, headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.content) == (204, b"")
    refused(await me(gateway, other["access_token"]), 401, "INVALID_TOKEN")
    refused(await refresh(gateway, other["refresh_token"]), 401, "INVALID_TOKEN")
    for still in (tokens, of_somebody_else):
        assert (await me(gateway, still["access_token"])).status_code == 200
    assert (await refresh(gateway, tokens["refresh_token"])).status_code == 200
    for password, status in ((PASSWORDS["engineer"], 401), (NEW_PASSWORD, 200)):
        log_in = await gateway.client.post(LOGIN, json={"username": "engineer", "password": password})
        assert log_in.status_code == status
    await eventually(lambda: bool(command_service.audited("user.password_changed")))
    (entry,) = command_service.audited("user.password_changed")
    assert (entry.outcome, entry.actor_name, entry.subject_kind) == ("success", "engineer", "user")
    assert NEW_PASSWORD not in str(entry)


async def test_the_current_password_has_to_be_known(gateway: Running, command_service: FakeCommandService) -> None:
    tokens = await gateway.log_in()
    body = {"current_password": "a guess", "new_password": NEW_PASSWORD}
    answer = await gateway.client.post(PASSWORD, json=body, headers=bearer(tokens["access_token"]))
    refused(answer, 422, "WRONG_PASSWORD")
    assert (await refresh(gateway, tokens["refresh_token"])).status_code == 200
    await eventually(lambda: bool(command_service.audited("user.password_changed")))
    assert command_service.audited("user.password_changed")[0].outcome == "failure"


async def test_guesses_are_limited_as_log_ins_are(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(login_rate_limit="3/minute")
    headers = bearer((await gateway.log_in())["access_token"])
    body = {"current_password": "a guess", "new_password": NEW_PASSWORD}
    codes = [(await gateway.client.post(PASSWORD, json=body, headers=headers)).json()["code"] for _ in range(3)]
    assert codes == ["WRONG_PASSWORD", "WRONG_PASSWORD", "RATE_LIMITED"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"current_password": "engineer123"},
        {"current_password": "engineer123", "new_password": "short"},
        {"current_password": "engineer123", "new_password": "x" * 257},
        {"current_password": "", "new_password": NEW_PASSWORD},
        {"current_password": "engineer123", "new_password": NEW_PASSWORD, "username": "admin"},
    ],
)
async def test_passwords_that_cannot_be(gateway: Running, body: dict[str, str]) -> None:
    headers = await gateway.headers()
    answer = await gateway.client.post(PASSWORD, json=body, headers=headers)
    refused(answer, 422, "VALIDATION_FAILED")
    assert "engineer123" not in answer.text
    refused(await gateway.client.post(PASSWORD, json=body), 401, "INVALID_TOKEN")


async def test_one_s_own_sessions(gateway: Running) -> None:
    body = {"username": "engineer", "password": PASSWORDS["engineer"]}
    agent = {"User-Agent": "Firefox " + "x" * 300}
    older = (await gateway.client.post(LOGIN, json=body, headers=agent)).json()
    tokens = await gateway.log_in()
    await gateway.log_in("admin")
    await refresh(gateway, older["refresh_token"])
    found = await sessions(gateway, tokens["access_token"])
    assert found["next_cursor"] is None
    current, other = found["items"]
    assert (current["session_id"], current["current"]) == (sid_of(tokens), True)
    assert (other["session_id"], other["current"]) == (sid_of(older), False)
    assert current["address"] == "127.0.0.1"
    assert current["user_agent"].startswith("python-httpx")
    assert other["user_agent"] == ("Firefox " + "x" * 300)[:256]
    assert other["created_at"] < current["created_at"] == current["last_used_at"] < other["last_used_at"]
    assert current["expires_at"] > current["created_at"]


async def test_they_come_page_by_page(gateway: Running) -> None:
    tokens = [await gateway.log_in() for _ in range(5)]
    token, cursor, seen = tokens[0]["access_token"], "", []
    while True:
        page = await sessions(gateway, token, limit=2, cursor=cursor)
        seen += [one["session_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [sid_of(one) for one in reversed(tokens)]


_BEFORE_ALL_TIME = encode_cursor("0001-01-01T00:00:00+14:00", str(UUID(int=1)))


@pytest.mark.parametrize("cursor", ["forged", "WyJhIiwiYiJd", "WyIyMDI2LTAxLTMxIiwiYiJd", _BEFORE_ALL_TIME])
async def test_a_cursor_that_no_list_has_given(gateway: Running, cursor: str) -> None:
    headers = await gateway.headers()
    refused(await gateway.client.get(SESSIONS, params={"cursor": cursor}, headers=headers), 422, "INVALID_CURSOR")


async def test_ending_a_session(gateway: Running, command_service: FakeCommandService) -> None:
    other, tokens = await gateway.log_in(), await gateway.log_in()
    headers = bearer(tokens["access_token"])
    url = f"ws://127.0.0.1:{gateway.gateway.port}/ws/events?token={other['access_token']}"
    async with connect(url) as websocket:
        await websocket.send('{"action":"ping"}')
        await websocket.recv()
        answer = await gateway.client.delete(f"{SESSIONS}/{sid_of(other)}", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        async with asyncio.timeout(5):
            await websocket.wait_closed()
        assert websocket.close_code == 4401
    refused(await me(gateway, other["access_token"]), 401, "INVALID_TOKEN")
    refused(await refresh(gateway, other["refresh_token"]), 401, "INVALID_TOKEN")
    assert [one["current"] for one in (await sessions(gateway, tokens["access_token"]))["items"]] == [True]
    refused(await gateway.client.delete(f"{SESSIONS}/{sid_of(other)}", headers=headers), 404, "UNKNOWN_SESSION")
    await eventually(lambda: bool(command_service.audited("user.session_ended")))
    (entry,) = command_service.audited("user.session_ended")
    assert (entry.actor_name, entry.subject_kind, entry.subject_id) == ("engineer", "login_session", sid_of(other))


async def test_ending_the_session_that_one_is_in(gateway: Running) -> None:
    tokens = await gateway.log_in()
    headers = bearer(tokens["access_token"])
    assert (await gateway.client.delete(f"{SESSIONS}/{sid_of(tokens)}", headers=headers)).status_code == 204
    refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")


async def test_the_sessions_of_others_are_none_of_one_s_own(gateway: Running) -> None:
    admin, headers = await gateway.log_in("admin"), await gateway.headers()
    for sid in (sid_of(admin), str(uuid4())):
        refused(await gateway.client.delete(f"{SESSIONS}/{sid}", headers=headers), 404, "UNKNOWN_SESSION")
    refused(await gateway.client.delete(f"{SESSIONS}/7", headers=headers), 422, "VALIDATION_FAILED")
    assert (await me(gateway, admin["access_token"])).status_code == 200
