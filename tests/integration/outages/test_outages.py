"""A part goes away while the system runs: what can go on goes on, what cannot says so, and all is well when it is back.

What was accepted is never lost; nothing is restarted but what a test itself has stopped.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.integration.robustness.harness import (
    Api,
    api_of,
    check_order,
    events_until_closed,
    events_until_end,
    pids,
    refusal,
)
from tests.support.proxy import TcpProxy
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import ADMIN, System, running
from tests.support.waiting import until, until_it
from vehicle_simulator.ledger import hand_overs, read_ledger

# So that a frozen vehicle or connector is noticed in seconds; proportions as in the design.
QUICK = {
    "LEASE_SECONDS": "4",
    "LEASE_RENEWAL_SECONDS": "1",
    "LEASE_GRACE_SECONDS": "0.5",
    "CLAIM_SECONDS": "3",
    "SESSION_GRACE_SECONDS": "6",
    "HEARTBEAT_INTERVAL_SECONDS": "1",
    "HEARTBEAT_TIMEOUT_SECONDS": "3",
}
ADDRESS_LIMIT = 20
# Viewers are then re-read every 2 s; the rest is for a machine that has other things to do.
WITHOUT_REDIS_SECONDS = 10.0


@pytest.fixture(scope="module")
def broker(rabbitmq_server: RabbitServer) -> Iterator[TcpProxy]:
    """The way to RabbitMQ: cutting it is quicker than restarting a broker, which the chaos tests do."""
    rabbitmq_server.ensure_running()
    parts = urlsplit(rabbitmq_server.url)
    assert parts.hostname
    assert parts.port
    with closing(TcpProxy(parts.hostname, parts.port)) as proxy:
        proxy.start()
        yield proxy


@pytest.fixture(scope="module")
def system(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    broker: TcpProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    for server in (postgres_server, redis_server):
        server.ensure_running()
    database_url, vhost_url = postgres_server.new_database(), rabbitmq_server.new_vhost()
    parts = urlsplit(vhost_url)
    through_broker = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{broker.port}").geturl()
    system = System(
        database_url,
        through_broker,
        redis_server.url,
        tmp_path_factory.mktemp("system"),
        vehicles=2,
        settings=QUICK | {"TRUSTED_PROXIES": "127.0.0.1", "ADDRESS_RATE_LIMIT": f"{ADDRESS_LIMIT}/minute"},
    )
    with running(system):
        yield system
    postgres_server.ensure_running()
    postgres_server.drop_database(database_url)
    rabbitmq_server.drop_vhost(vhost_url)


@pytest.fixture(scope="module")
def token(system: System) -> str:
    return system.token(ADMIN)


@pytest.fixture(scope="module")
def vehicles(system: System) -> list[dict[str, Any]]:
    with system.client() as client:
        found: list[dict[str, Any]] = system.wait_for_vehicles(client, 2)
    return found


@pytest.fixture
async def api(
    system: System,
    token: str,
    vehicles: list[dict[str, Any]],
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    broker: TcpProxy,
) -> AsyncIterator[Api]:
    """The system, healthy before and after."""
    async with api_of(system, token, vehicles) as api:
        await api.until_status("healthy")
        try:
            yield api
        finally:
            await off(postgres_server.ensure_running)
            await off(redis_server.ensure_running)
            broker.resume()
            broker.start()
        await api.until_status("healthy")
        for vehicle in range(2):
            await api.until_vehicle("online", vehicle=vehicle)
        await api.works()


async def off(function: Callable[[], object]) -> None:
    """Outside of the event loop."""
    await asyncio.to_thread(function)


async def answers_with(request: Callable[[], Awaitable[httpx.Response]], status: int, code: str) -> None:
    """Until then it may still be answered from what is known."""

    async def does() -> bool:
        answer = await request()
        return answer.status_code == status and refusal(answer) == (status, code)

    await until_it(does)


async def submitted_in_the_end(api: Api) -> str:
    """A submission waits for a database that is away, but one that starts slowly may take longer than that."""
    body, key = api.command(), {"Idempotency-Key": uuid4().hex}
    while (answer := await api.http.post("/api/v1/commands", json=body, headers=key)).status_code != 201:
        assert refusal(answer) == (503, "DATABASE_UNAVAILABLE")
    return str(answer.json()["command_id"])


# --- Redis


async def test_without_redis_commands_run_and_sockets_get_every_event(api: Api, redis_server: RedisServer) -> None:
    before = pids(api.system)
    async with api.socket(f"/ws/events?ticket={await api.ticket()}") as opened_before:
        await off(redis_server.stop)
        assert (await api.until_status("degraded"))["redis"] == "disconnected"
        assert (await api.ready())[0] == 200

        command_id = await api.submit()
        await opened_before.send(json.dumps({"action": "subscribe", "command_id": command_id}))
        async with api.socket(f"/ws/responses/{command_id}?ticket={await api.ticket()}") as opened_now:
            events, close_code = await events_until_closed(opened_now, WITHOUT_REDIS_SECONDS)
        check_order(events, responses=3)
        assert close_code == 1000
        check_order(await events_until_end(opened_before, command_id, WITHOUT_REDIS_SECONDS), responses=3)
        await api.works()

        await off(redis_server.start)
        await api.until_status("healthy")
        later = await api.submit()
        await opened_before.send(json.dumps({"action": "subscribe", "command_id": later}))
        check_order(await events_until_end(opened_before, later), responses=3)
    assert pids(api.system) == before


async def test_redis_goes_away_in_the_middle_of_a_command(api: Api, redis_server: RedisServer) -> None:
    """Both kinds of sockets watch a command of a vehicle that does not answer yet."""
    simulator = api.system.processes["vehicle_simulator"]
    simulator.pause()
    try:
        command_id = await api.submit()
        async with (
            api.socket(f"/ws/responses/{command_id}?ticket={await api.ticket()}") as one,
            api.socket(f"/ws/events?ticket={await api.ticket()}") as many,
        ):
            await many.send(json.dumps({"action": "subscribe", "command_id": command_id}))
            first = [json.loads(await socket.recv()) for socket in (one, many)]
            assert {event["event"] for event in first} == {"status"}
            await off(redis_server.kill)
            simulator.resume()
            rest, close_code = await events_until_closed(one)
            check_order([first[0], *rest], responses=3)
            assert close_code == 1000
            check_order([first[1], *await events_until_end(many, command_id)], responses=3)
    finally:
        simulator.resume()


async def test_without_redis_rate_limits_hold_here(api: Api, redis_server: RedisServer) -> None:
    await off(redis_server.stop)
    await api.until_status("degraded")
    headers = {"Authorization": "Bearer nonsense", "X-Forwarded-For": "203.0.113.7"}
    codes = [refusal(await api.http.get("/api/v1/vehicles", headers=headers))[1] for _ in range(ADDRESS_LIMIT + 2)]
    assert codes == ["INVALID_TOKEN"] * ADDRESS_LIMIT + ["RATE_LIMITED"] * 2


async def test_a_redis_that_hangs_holds_up_nobody(api: Api, redis_server: RedisServer) -> None:
    """It takes connections and answers nothing: worse than one that refuses."""
    await off(redis_server.pause)
    command_id = await api.submit()
    async with (
        api.socket(f"/ws/responses/{command_id}?ticket={await api.ticket()}") as one,
        api.socket(f"/ws/events?ticket={await api.ticket()}") as many,
    ):
        await many.send(json.dumps({"action": "subscribe", "command_id": command_id}))
        events, _ = await events_until_closed(one, WITHOUT_REDIS_SECONDS)
        check_order(events, responses=3)
        check_order(await events_until_end(many, command_id, WITHOUT_REDIS_SECONDS), responses=3)
    await off(redis_server.resume)


# --- the command service


async def test_without_the_command_service_it_is_said_after_some_patience(api: Api) -> None:
    command_service = api.system.processes["command_service"]
    others = {name: pid for name, pid in pids(api.system).items() if name != "command_service"}
    command_service.kill()
    given_up = asyncio.create_task(api.http.post("/api/v1/commands", json=api.command()))
    await answers_with(lambda: api.http.get("/api/v1/commands"), 503, "COMMAND_SERVICE_UNAVAILABLE")
    assert (await api.until_status("unhealthy"))["command_service"] == "disconnected"
    assert (await api.ready())[0] == 503
    assert (await api.http.get("/health/live")).status_code == 200
    assert (await api.http.get("/api/v1/auth/me")).status_code == 200
    answer = await given_up
    assert refusal(answer) == (503, "COMMAND_SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.elapsed.total_seconds() < 15

    patient = asyncio.create_task(api.submit())
    command_service.start()
    assert (await api.ended(await patient))["status"] == "completed"
    assert pids(api.system).items() >= others.items()


# --- PostgreSQL


async def test_without_postgresql_it_is_said_and_nothing_needs_a_restart(
    api: Api, postgres_server: PostgresServer
) -> None:
    before = pids(api.system)
    await off(postgres_server.stop)
    await answers_with(lambda: api.http.get("/api/v1/commands"), 503, "DATABASE_UNAVAILABLE")
    login = {"username": "admin", "password": "admin123"}
    await answers_with(lambda: api.http.post("/api/v1/auth/login", json=login), 503, "DATABASE_UNAVAILABLE")
    assert (await api.until_status("unhealthy"))["database"] == "disconnected"
    assert (await api.ready())[0] == 503
    patient = asyncio.create_task(submitted_in_the_end(api))
    await off(postgres_server.start)
    assert (await api.ended(await patient))["status"] == "completed"
    await api.until_status("healthy")
    assert pids(api.system) == before


async def test_a_postgresql_that_hangs_for_a_while_loses_nothing(api: Api, postgres_server: PostgresServer) -> None:
    before = pids(api.system)
    sent = [await api.submit(vehicle=number % 2) for number in range(20)]
    await off(postgres_server.pause)
    meanwhile = [asyncio.create_task(api.submit(vehicle=number % 2)) for number in range(20)]
    # Two seconds of silence, by the time that the gateway gives its database.
    assert (await api.until_status("unhealthy"))["database"] == "disconnected"
    await off(postgres_server.resume)
    sent += await asyncio.gather(*meanwhile)
    for command_id in sent:
        command = await api.ended(command_id)
        assert (command["status"], command["responses"]) == ("completed", 3)
    assert pids(api.system) == before


# --- RabbitMQ


async def test_without_rabbitmq_commands_are_accepted_and_run_when_it_is_back(api: Api, broker: TcpProxy) -> None:
    before = pids(api.system)
    await off(broker.stop)
    await until(lambda: "rabbitmq_away" in api.system.processes["vehicle_connector"].log_tail(5))
    command_ids = [await api.submit(vehicle=number % 2) for number in range(6)]
    statuses = {(await api.get(command_id))["status"] for command_id in command_ids}
    assert statuses <= {"pending", "dispatched"}
    await off(broker.start)
    for command_id in command_ids:
        assert (await api.ended(command_id))["status"] == "completed"
    assert pids(api.system) == before


async def test_a_rabbitmq_that_hangs_hands_nothing_over_twice(api: Api, broker: TcpProxy) -> None:
    """What it took and did not confirm is dispatched again, under a new number: the first dispatch is stale."""
    params = {"ecuAddress": "0x10", "routineId": "0x0203", "action": "start"}
    broker.pause()
    command_id = await api.submit("RoutineControl", command_params=params)
    first = await api.get(command_id)

    async def was_dispatched_again() -> bool:
        # Taken back, which is one change, and dispatched, which is the next.
        return bool((await api.get(command_id))["revision"] >= first["revision"] + 2)

    await until_it(was_dispatched_again)
    broker.resume()
    assert (await api.ended(command_id))["status"] == "completed"
    await api.works()
    assert hand_overs(read_ledger(api.system.ledger))[command_id] == 1


# --- vehicles


async def test_an_offline_vehicle_gets_its_commands_when_it_returns_and_not_after_their_expiry(api: Api) -> None:
    simulator = api.system.processes["vehicle_simulator"]
    simulator.kill()
    await api.until_vehicle("offline")
    started = {"ecuAddress": "0x10", "routineId": "0x0203", "action": "start"}
    kept = await api.submit("RoutineControl", command_params=started)
    missed = await api.submit("ClearDTC", expires_in_seconds=1)
    expired = await api.ended(missed, seconds=10)
    assert (expired["status"], expired["error_code"]) == ("expired", "EXPIRED_OFFLINE")
    assert (await api.get(kept))["status"] == "pending"
    simulator.start()
    assert (await api.ended(kept))["status"] == "completed"
    handed_over = hand_overs(read_ledger(api.system.ledger))
    assert (handed_over.get(kept), handed_over.get(missed)) == (1, None)
    assert (await api.get(missed)) == expired
