"""Users over HTTP: administrators create, change and reset; what they take away ends at once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.integration.gateway.conftest import Running, StartGateway, bearer, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import LOGIN, me, refresh, refused

USERS = "/api/v1/users"
NEW_USER = {
    "username": "Technician",
    "password": "correct horse battery staple",
    "email": "technician@example.com",
    "full_name": "Téa Technician",
    "role": "engineer",
}


async def create(gateway: Running, **changes: Any) -> dict[str, Any]:
    answer = await gateway.client.post(USERS, json=NEW_USER | changes, headers=await gateway.headers("admin"))
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{USERS}/{created['user_id']}"
    return created


async def log_in(gateway: Running, password: str = NEW_USER["password"]) -> httpx.Response:
    return await gateway.client.post(LOGIN, json={"username": "technician", "password": password})


async def test_a_new_user_logs_in(gateway: Running, command_service: FakeCommandService) -> None:
    created = await create(gateway)
    assert created["last_login_at"] is None
    assert {name: created[name] for name in ("username", "email", "full_name", "role", "is_active")} == {
        "username": "technician",
        "email": "technician@example.com",
        "full_name": "Téa Technician",
        "role": "engineer",
        "is_active": True,
    }
    token = (await log_in(gateway)).json()["access_token"]
    assert (await me(gateway, token)).json()["user_id"] == created["user_id"]
    found = await gateway.client.get(f"{USERS}/{created['user_id'].upper()}", headers=await gateway.headers("admin"))
    assert found.json() == created | {"last_login_at": found.json()["last_login_at"]}
    assert found.json()["last_login_at"] > created["created_at"]
    await eventually(lambda: len(command_service.audited("user.created")) == 3)
    entry = command_service.audited("user.created")[-1]
    assert (entry.actor_name, entry.subject_kind, entry.subject_id) == ("admin", "user", created["user_id"])
    assert entry.details_json == '{"username":"technician","role":"engineer"}'


async def test_a_name_is_taken_once(gateway: Running) -> None:
    await create(gateway)
    again = NEW_USER | {"username": "TECHNICIAN"}
    answer = await gateway.client.post(USERS, json=again, headers=await gateway.headers("admin"))
    refused(answer, 409, "DUPLICATE_USERNAME")


async def test_the_list(gateway: Running) -> None:
    await create(gateway)
    headers = await gateway.headers("admin")

    async def listed(**query: Any) -> Any:
        answer = await gateway.client.get(USERS, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    everybody = await listed()
    assert [user["username"] for user in everybody["items"]] == ["admin", "engineer", "technician"]
    assert everybody["next_cursor"] is None
    assert everybody["items"][0]["last_login_at"] is not None
    first = await listed(limit=2)
    rest = await listed(limit=2, cursor=first["next_cursor"])
    assert (first["items"] + rest["items"], rest["next_cursor"]) == (everybody["items"], None)
    assert [user["username"] for user in (await listed(search="TÉA"))["items"]] == ["technician"]
    assert [user["username"] for user in (await listed(role="admin", is_active="true"))["items"]] == ["admin"]
    assert (await listed(is_active="false"))["items"] == []


async def test_a_change(gateway: Running, command_service: FakeCommandService) -> None:
    user_id = (await create(gateway))["user_id"]
    token = (await log_in(gateway)).json()["access_token"]
    headers = await gateway.headers("admin")
    change = {"email": "tea@example.com", "full_name": "Téa T."}
    changed = await gateway.client.patch(f"{USERS}/{user_id}", json=change, headers=headers)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["email"], changed.json()["full_name"], changed.json()["role"]) == (
        *change.values(),
        "engineer",
    )
    assert (await me(gateway, token)).json()["email"] == "tea@example.com"
    await eventually(lambda: bool(command_service.audited("user.updated")))
    (entry,) = command_service.audited("user.updated")
    assert entry.subject_id == user_id
    assert entry.details_json == '{"username":"technician","email":"tea@example.com","full_name":"Téa T."}'
    nothing: dict[str, Any]
    for nothing in ({}, {"role": None}, {"role": "engineer"}):
        same = await gateway.client.patch(f"{USERS}/{user_id}", json=nothing, headers=headers)
        assert same.json() == changed.json()
    assert (await me(gateway, token)).status_code == 200


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "viewer"}])
async def test_what_takes_rights_away_ends_sessions_and_sockets(gateway: Running, change: dict[str, Any]) -> None:
    user_id = (await create(gateway))["user_id"]
    tokens = (await log_in(gateway)).json()
    url = f"ws://127.0.0.1:{gateway.gateway.port}/ws/events?token={tokens['access_token']}"
    async with connect(url) as websocket:
        await websocket.send('{"action":"ping"}')
        await websocket.recv()
        answer = await gateway.client.patch(f"{USERS}/{user_id}", json=change, headers=await gateway.headers("admin"))
        assert answer.status_code == 200, answer.text
        refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")
        refused(await refresh(gateway, tokens["refresh_token"]), 401, "INVALID_TOKEN")
        async with asyncio.timeout(5):
            await websocket.wait_closed()
        assert websocket.close_code == 4401
    if "role" in change:
        assert (await me(gateway, (await log_in(gateway)).json()["access_token"])).json()["role"] == "viewer"
    else:
        refused(await log_in(gateway), 401, "INVALID_CREDENTIALS")
        headers = await gateway.headers("admin")
        await gateway.client.patch(f"{USERS}/{user_id}", json={"is_active": True}, headers=headers)
        assert (await log_in(gateway)).status_code == 200
        refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")


async def test_a_password_reset(gateway: Running, command_service: FakeCommandService) -> None:
    user_id = (await create(gateway))["user_id"]
    tokens = (await log_in(gateway)).json()
    body, headers = {"new_password": "another long password"}, await gateway.headers("admin")
    answer = await gateway.client.post(f"{USERS}/{user_id}/password", json=body, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")
    refused(await log_in(gateway), 401, "INVALID_CREDENTIALS")
    assert (await log_in(gateway, "another long password")).status_code == 200
    await eventually(lambda: bool(command_service.audited("user.password_reset")))
    (entry,) = command_service.audited("user.password_reset")
    assert (entry.actor_name, entry.subject_id) == ("admin", user_id)
    assert "another long password" not in str(entry)


async def test_nobody_locks_themselves_out(gateway: Running, command_service: FakeCommandService) -> None:
    headers = await gateway.headers("admin")
    own = f"{USERS}/{(await gateway.client.get('/api/v1/auth/me', headers=headers)).json()['user_id']}"
    for change in ({"is_active": False}, {"role": "engineer"}, {"email": "a@example.com", "role": "viewer"}):
        refused(await gateway.client.patch(own, json=change, headers=headers), 409, "OWN_ACCOUNT")
    body = {"new_password": "another long password"}
    refused(await gateway.client.post(f"{own}/password", json=body, headers=headers), 409, "OWN_ACCOUNT")
    harmless = {"full_name": "Ada", "role": "admin", "is_active": True}
    assert (await gateway.client.patch(own, json=harmless, headers=headers)).json()["full_name"] == "Ada"
    assert (await gateway.client.get(own, headers=headers)).status_code == 200


async def test_only_administrators(gateway: Running) -> None:
    headers, one = await gateway.headers("engineer"), f"{USERS}/{uuid4()}"
    refused(await gateway.client.get(USERS, headers=headers), 403, "FORBIDDEN")
    refused(await gateway.client.get(one, headers=headers), 403, "FORBIDDEN")
    refused(await gateway.client.post(USERS, json=NEW_USER, headers=headers), 403, "FORBIDDEN")
    refused(await gateway.client.patch(one, json={"role": "admin"}, headers=headers), 403, "FORBIDDEN")
    body = {"new_password": "another long password"}
    refused(await gateway.client.post(f"{one}/password", json=body, headers=headers), 403, "FORBIDDEN")
    refused(await gateway.client.get(USERS), 401, "INVALID_TOKEN")


async def test_who_is_an_administrator_no_longer(start_gateway: StartGateway) -> None:
    """Found in the transaction: until the session's end is noticed there, another gateway lets the request in."""
    first, second = await start_gateway(), await start_gateway()
    other = await create(first, role="admin")
    headers = bearer((await log_in(second)).json()["access_token"])
    assert (await second.client.get(USERS, headers=headers)).status_code == 200
    admin = await first.headers("admin")
    user_id = (await first.client.get("/api/v1/auth/me", headers=admin)).json()["user_id"]
    demoted = await first.client.patch(f"{USERS}/{other['user_id']}", json={"role": "viewer"}, headers=admin)
    assert demoted.status_code == 200, demoted.text
    refused(await second.client.patch(f"{USERS}/{user_id}", json={"role": "viewer"}, headers=headers), 403, "FORBIDDEN")


async def test_users_who_are_not_there(gateway: Running) -> None:
    headers, nobody = await gateway.headers("admin"), f"{USERS}/{uuid4()}"
    refused(await gateway.client.get(nobody, headers=headers), 404, "UNKNOWN_USER")
    refused(await gateway.client.patch(nobody, json={"role": "viewer"}, headers=headers), 404, "UNKNOWN_USER")
    body = {"new_password": "another long password"}
    refused(await gateway.client.post(f"{nobody}/password", json=body, headers=headers), 404, "UNKNOWN_USER")
    refused(await gateway.client.get(f"{USERS}/7", headers=headers), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    "change",
    [
        {"username": ""},
        {"username": "a b"},
        {"username": "-a"},
        {"username": "a" * 65},
        {"username": "é"},
        {"password": "too short"},
        {"password": "x" * 257},
        {"password": "with \x00 in the middle"},
        {"email": "nobody"},
        {"email": "a@b@c"},
        {"email": "a b@example.com"},
        {"email": "a" * 250 + "@b.example"},
        {"full_name": ""},
        {"full_name": "x" * 201},
        {"role": "root"},
        {"is_active": True},
    ],
)
async def test_users_that_cannot_be(gateway: Running, change: dict[str, Any]) -> None:
    headers = await gateway.headers("admin")
    answer = await gateway.client.post(USERS, json=NEW_USER | change, headers=headers)
    refused(answer, 422, "VALIDATION_FAILED")
    assert str(change.get("password", "no password")) not in answer.text


@pytest.mark.parametrize(
    "query",
    ["limit=0", "role=root", "is_active=1", "is_active=yes", "search=%00", "color=red", "search=" + "x" * 101],
)
async def test_questions_that_make_no_sense(gateway: Running, query: str) -> None:
    headers = await gateway.headers("admin")
    refused(await gateway.client.get(f"{USERS}?{query}", headers=headers), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize("cursor", ["forged", "WzFd", "W10", "WyJcdWQ4MDAiXQ", "WyJcdTAwMDAiXQ", "é"])
async def test_a_cursor_that_no_list_has_given(gateway: Running, cursor: str) -> None:
    headers = await gateway.headers("admin")
    refused(await gateway.client.get(USERS, params={"cursor": cursor}, headers=headers), 422, "INVALID_CURSOR")
