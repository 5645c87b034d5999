"""Log-in, refresh, log-out, roles and sessions, over HTTP."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import select, update

from gateway.passwords import _HASHER, Passwords
from gateway.storage.repositories import User, Users
from gateway.storage.tables import SCHEMA, login_sessions, refresh_tokens, users, ws_tickets
from gateway.tokens import ALGORITHM
from service_kit.database import open_engine
from sovd_protos.vehicle.v1.vehicle_pb2 import CreateVehicleRequest
from tests.integration.gateway.conftest import JWT_SECRET, PASSWORDS, Running, StartGateway, bearer, eventually
from tests.integration.gateway.fake_command_service import FakeCommandService

LOGIN = "/api/v1/auth/login"
as_deployed = pytest.mark.parametrize("hasher", [_HASHER], ids=["as-deployed"])
NEW_VEHICLE = {"vin": "WDD1234567890ABCD", "make": "Mercedes", "model": "E-Class", "year": 2024}


async def refresh(gateway: Running, token: str) -> httpx.Response:
    return await gateway.client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def me(gateway: Running, token: str) -> httpx.Response:
    return await gateway.client.get("/api/v1/auth/me", headers=bearer(token))


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def execute(settings: dict[str, Any], statement: Any) -> list[Any]:
    """Directly in the database, past the gateway."""
    engine = open_engine(settings["database_url"], SCHEMA)
    async with engine.begin() as connection:
        result = await connection.execute(statement)
        rows = list(result) if result.returns_rows else []
    await engine.dispose()
    return rows


async def test_log_in_gives_tokens(gateway: Running) -> None:
    tokens = await gateway.log_in()
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
    claims = jwt.decode(tokens["access_token"], JWT_SECRET, [ALGORITHM], audience="sovd-api", issuer="sovd-webapp")
    assert (claims["username"], claims["role"], claims["typ"]) == ("engineer", "engineer", "access")
    answer = await me(gateway, tokens["access_token"])
    assert answer.json() == {
        "user_id": claims["sub"],
        "username": "engineer",
        "email": "engineer@example.com",
        "full_name": "Demo Engineer",
        "role": "engineer",
        "is_active": True,
    }


async def test_the_username_is_not_case_sensitive(gateway: Running) -> None:
    body = {"username": "Engineer", "password": PASSWORDS["engineer"]}
    assert (await gateway.client.post(LOGIN, json=body)).status_code == 200


@pytest.mark.parametrize(
    ("username", "password"), [("engineer", "wrong"), ("nobody", "engineer123"), ("engineer", "Engineer123")]
)
async def test_wrong_credentials(
    gateway: Running, command_service: FakeCommandService, username: str, password: str
) -> None:
    answer = await gateway.client.post(LOGIN, json={"username": username, "password": password})
    refused(answer, 401, "INVALID_CREDENTIALS")
    await eventually(lambda: bool(command_service.audited("user.login")))
    (entry,) = command_service.audited("user.login")
    assert (entry.outcome, entry.actor_name, entry.remote_address) == ("failure", username, "127.0.0.1")
    assert password not in str(entry)


async def test_a_deactivated_user_cannot_log_in(gateway: Running, settings: dict[str, Any]) -> None:
    await execute(settings, update(users).values(is_active=False))
    body = {"username": "engineer", "password": PASSWORDS["engineer"]}
    refused(await gateway.client.post(LOGIN, json=body), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "engineer"},
        {"username": "engineer", "password": ""},
        {"username": "engineer", "password": "x" * 257},
        {"username": "x" * 65, "password": "x"},
        {"username": "engi\x00neer", "password": "x"},
        {"username": "engineer", "password": 5},
        {"username": "engineer", "password": "x", "role": "admin"},
        [],
    ],
)
async def test_a_log_in_that_makes_no_sense(gateway: Running, body: Any) -> None:
    refused(await gateway.client.post(LOGIN, json=body), 422, "VALIDATION_FAILED")


async def test_refresh_tokens_rotate(gateway: Running) -> None:
    first = await gateway.log_in()
    second = (await refresh(gateway, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await me(gateway, second["access_token"])).status_code == 200
    third = await refresh(gateway, second["refresh_token"])
    assert third.status_code == 200
    sids = {
        jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"]
        for tokens in (first, second, third.json())
    }
    assert len(sids) == 1


async def test_reuse_of_a_refresh_token_ends_the_session(gateway: Running, command_service: FakeCommandService) -> None:
    first = await gateway.log_in()
    other = await gateway.log_in()
    second = (await refresh(gateway, first["refresh_token"])).json()
    refused(await refresh(gateway, first["refresh_token"]), 401, "INVALID_TOKEN")
    refused(await refresh(gateway, second["refresh_token"]), 401, "INVALID_TOKEN")
    for token in (first["access_token"], second["access_token"]):
        refused(await me(gateway, token), 401, "INVALID_TOKEN")
    assert (await me(gateway, other["access_token"])).status_code == 200
    await eventually(lambda: bool(command_service.audited("user.token_reuse")))
    assert command_service.audited("user.token_reuse")[0].actor_name == "engineer"


async def test_of_two_who_refresh_at_once_one_wins(gateway: Running) -> None:
    token = (await gateway.log_in())["refresh_token"]
    answers = await asyncio.gather(*(refresh(gateway, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_an_unknown_refresh_token(gateway: Running) -> None:
    refused(await refresh(gateway, "never-issued"), 401, "INVALID_TOKEN")
    access_token = (await gateway.log_in())["access_token"]
    refused(await refresh(gateway, access_token[:128]), 401, "INVALID_TOKEN")


async def test_log_out_ends_the_session(gateway: Running, command_service: FakeCommandService) -> None:
    tokens = await gateway.log_in()
    answer = await gateway.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.content) == (204, b"")
    refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")
    refused(await refresh(gateway, tokens["refresh_token"]), 401, "INVALID_TOKEN")
    await eventually(lambda: bool(command_service.audited("user.logout")))


async def test_log_out_with_the_refresh_token(gateway: Running) -> None:
    tokens = await gateway.log_in()
    body = {"refresh_token": tokens["refresh_token"]}
    assert (await gateway.client.post("/api/v1/auth/logout", json=body)).status_code == 204
    refused(await me(gateway, tokens["access_token"]), 401, "INVALID_TOKEN")
    refused(await gateway.client.post("/api/v1/auth/logout", json={"refresh_token": "unknown"}), 401, "INVALID_TOKEN")
    refused(await gateway.client.post("/api/v1/auth/logout"), 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer x.y.z", "Basic ZW5naW5lZXI6ZW5naW5lZXIxMjM=", "Bearer é", "x" * 5000],
)
async def test_what_is_no_token(gateway: Running, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")}
    refused(await gateway.client.get("/api/v1/auth/me", headers=headers), 401, "INVALID_TOKEN")  # type: ignore[arg-type]


async def test_an_expired_token(gateway: Running) -> None:
    claims = jwt.decode((await gateway.log_in())["access_token"], options={"verify_signature": False})
    expired = jwt.encode(claims | {"exp": int(time.time()) - 1}, JWT_SECRET, ALGORITHM)
    refused(await me(gateway, expired), 401, "TOKEN_EXPIRED")


async def test_a_previous_secret_still_verifies(start_gateway: StartGateway) -> None:
    before = await start_gateway(jwt_secret="an-older-secret-that-signed-tokens-once")
    token = (await before.log_in())["access_token"]
    during = await start_gateway(jwt_previous_secrets="an-older-secret-that-signed-tokens-once")
    assert (await me(during, token)).status_code == 200
    after = await start_gateway()
    refused(await me(after, token), 401, "INVALID_TOKEN")


async def test_roles(gateway: Running, command_service: FakeCommandService) -> None:
    engineer, admin = await gateway.headers("engineer"), await gateway.headers("admin")
    for path in ("/api/v1/audit", "/api/v1/audit/verification"):
        refused(await gateway.client.get(path, headers=engineer), 403, "FORBIDDEN")
        assert (await gateway.client.get(path, headers=admin)).status_code == 200
    refused(await gateway.client.post("/api/v1/vehicles", json=NEW_VEHICLE, headers=engineer), 403, "FORBIDDEN")
    assert not any(isinstance(request, CreateVehicleRequest) for request in command_service.requests)
    await eventually(lambda: len(command_service.audited("request.refused")) == 3)
    assert command_service.audited("request.refused")[-1].subject_id == "POST /api/v1/vehicles"


async def test_a_viewer_only_reads(gateway: Running, settings: dict[str, Any]) -> None:
    await execute(settings, update(users).where(users.c.username == "engineer").values(role="viewer"))
    headers = await gateway.headers("engineer")
    command = {"vehicle_id": "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10", "command_name": "ReadDTC", "command_params": {}}
    refused(await gateway.client.post("/api/v1/commands", json=command, headers=headers), 403, "FORBIDDEN")
    assert (await gateway.client.get("/api/v1/vehicles", headers=headers)).status_code == 200


async def test_a_deactivated_user_s_requests_end(gateway: Running, settings: dict[str, Any]) -> None:
    token = (await gateway.log_in())["access_token"]
    assert (await me(gateway, token)).status_code == 200
    await execute(settings, update(users).where(users.c.username == "engineer").values(is_active=False))
    ended = asyncio.Event()
    sid = jwt.decode(token, options={"verify_signature": False})["sid"]
    gateway.gateway.state.sessions.watch(sid, ended.set)
    await gateway.gateway.state.sessions.check_watched()
    assert ended.is_set()
    refused(await me(gateway, token), 401, "INVALID_TOKEN")


async def test_tickets(gateway: Running) -> None:
    headers = await gateway.headers()
    answer = (await gateway.client.post("/api/v1/auth/ws-ticket", headers=headers)).json()
    assert answer["expires_in"] == 30
    user = await gateway.gateway.state.logins.redeem_ticket(answer["ticket"])
    assert user.username == "engineer"
    refused(await gateway.client.post("/api/v1/auth/ws-ticket"), 401, "INVALID_TOKEN")


async def test_no_token_is_stored(gateway: Running, settings: dict[str, Any]) -> None:
    tokens = await gateway.log_in()
    ticket = (await gateway.client.post("/api/v1/auth/ws-ticket", headers=bearer(tokens["access_token"]))).json()[
        "ticket"
    ]
    stored = ""
    for table in (users, login_sessions, refresh_tokens, ws_tickets):
        stored += str(await execute(settings, select(table)))
    for secret in (tokens["access_token"], tokens["refresh_token"], ticket, PASSWORDS["engineer"]):
        assert secret not in stored


@as_deployed
async def test_an_old_password_hash_is_renewed_at_log_in(gateway: Running, settings: dict[str, Any]) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORDS["engineer"])
    await execute(settings, update(users).where(users.c.username == "engineer").values(password_hash=weak))
    await gateway.log_in()
    ((renewed,),) = await execute(settings, select(users.c.password_hash).where(users.c.username == "engineer"))
    assert renewed != weak
    assert not Passwords().is_outdated(renewed)
    await gateway.log_in()


async def test_the_first_administrator(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    password = "chosen-by-the-operator"
    gateway = await start_gateway(demo_data=False, initial_admin_password=password)
    body = {"username": "admin", "password": password}
    assert (await gateway.client.post(LOGIN, json=body)).status_code == 200
    refused(
        await gateway.client.post(LOGIN, json={"username": "admin", "password": "admin123"}), 401, "INVALID_CREDENTIALS"
    )
    again = await start_gateway(demo_data=False, initial_admin_password="another-password")
    assert (await again.client.post(LOGIN, json=body)).status_code == 200
    assert len(await execute(settings, select(users))) == 1


async def test_without_demo_data_nobody_is_there(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    gateway = await start_gateway(demo_data=False)
    for username, password in PASSWORDS.items():
        answer = await gateway.client.post(LOGIN, json={"username": username, "password": password})
        refused(answer, 401, "INVALID_CREDENTIALS")
    assert await execute(settings, select(users)) == []


async def test_several_gateways_make_the_first_users_once(
    start_gateway: StartGateway, settings: dict[str, Any]
) -> None:
    await asyncio.gather(*(start_gateway() for _ in range(3)))
    assert len(await execute(settings, select(users))) == 2


async def test_a_session_ended_on_one_gateway_ends_on_the_other(start_gateway: StartGateway) -> None:
    first, second = await start_gateway(), await start_gateway()
    token = (await first.log_in())["access_token"]
    assert (await me(second, token)).status_code == 200
    await first.client.post("/api/v1/auth/logout", headers=bearer(token))
    # They share no Redis here: the cache of the second runs out.
    second.gateway.state.sessions._clock = lambda: time.monotonic() + 20
    refused(await me(second, token), 401, "INVALID_TOKEN")


async def test_a_session_ended_on_one_gateway_ends_at_once_on_others_that_share_a_redis(
    start_gateway: StartGateway, redis_url: str
) -> None:
    first, second = await start_gateway(redis_url=redis_url), await start_gateway(redis_url=redis_url)
    token = (await first.log_in())["access_token"]
    sid = jwt.decode(token, options={"verify_signature": False})["sid"]
    ended = asyncio.Event()
    second.gateway.state.sessions.watch(sid, ended.set)
    await eventually(lambda: second.gateway.state.live_events.connected)
    assert (await me(second, token)).status_code == 200
    await first.client.post("/api/v1/auth/logout", headers=bearer(token))
    async with asyncio.timeout(5):
        await ended.wait()
    refused(await me(second, token), 401, "INVALID_TOKEN")


async def test_housekeeping(gateway: Running, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    await gateway.client.post("/api/v1/auth/ws-ticket", headers=await gateway.headers())
    logins = gateway.gateway.state.logins
    monkeypatch.setattr("gateway.logins.HOUSEKEEPING_SECONDS", 0.01)
    monkeypatch.setattr(logins, "_clock", lambda: datetime.now(UTC) + timedelta(days=30))
    housekeeping = asyncio.create_task(logins.run_housekeeping())
    async with asyncio.timeout(10):
        while await execute(settings, select(login_sessions)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await execute(settings, select(refresh_tokens)) == []
    assert await execute(settings, select(ws_tickets)) == []
    housekeeping.cancel()


async def test_users_survive_a_restart(start_gateway: StartGateway, settings: dict[str, Any]) -> None:
    tokens = await (await start_gateway()).log_in()
    assert (await me(await start_gateway(demo_data=False), tokens["access_token"])).status_code == 200
    engine = open_engine(settings["database_url"], SCHEMA)
    user = await Users(engine).find("engineer")
    await engine.dispose()
    assert user is not None
    assert isinstance(user.user, User)


@as_deployed
async def test_the_time_of_a_log_in(gateway: Running) -> None:
    """An unknown name takes as long as a known one: both are compared to a hash."""
    seconds: dict[str, list[float]] = {"engineer": [], "nobody": []}
    for _ in range(10):
        for username, spent in seconds.items():
            started = time.perf_counter()
            await gateway.client.post(LOGIN, json={"username": username, "password": "wrong"})
            spent.append(time.perf_counter() - started)
    assert min(seconds["nobody"]) > min(seconds["engineer"]) / 2
