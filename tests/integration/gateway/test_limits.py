"""Rate limits across gateways that share a Redis, and while it is away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from limits import parse

from gateway import rate_limits
from gateway.rate_limits import RateLimit, SharedCounter
from service_kit.errors import LimitExceeded
from tests.integration.gateway.conftest import Running, StartGateway, bearer, eventually
from tests.support.servers import RedisServer

ME = "/api/v1/auth/me"


async def statuses(gateway: Running, path: str, tries: int, **request: Any) -> list[int]:
    return [(await gateway.client.get(path, **request)).status_code for _ in range(tries)]


async def failed_logins(gateway: Running, tries: int) -> list[int]:
    body = {"username": "nobody", "password": "wrong"}
    return [(await gateway.client.post("/api/v1/auth/login", json=body)).status_code for _ in range(tries)]


async def test_log_ins_are_limited_by_address_over_all_gateways(start_gateway: StartGateway, redis_url: str) -> None:
    shared = {"redis_url": redis_url, "login_rate_limit": "5/hour"}
    first, second = await start_gateway(**shared), await start_gateway(**shared)
    assert await failed_logins(first, 3) == [401] * 3
    assert await failed_logins(second, 4) == [401, 401, 429, 429]
    assert await failed_logins(first, 1) == [429]


async def test_users_are_limited_each_by_itself(start_gateway: StartGateway, redis_url: str) -> None:
    shared = {"redis_url": redis_url, "user_rate_limit": "20/hour"}
    first, second = await start_gateway(**shared), await start_gateway(**shared)
    engineer, admin = await first.headers("engineer"), await first.headers("admin")
    assert await statuses(first, ME, 12, headers=engineer) == [200] * 12
    assert await statuses(second, ME, 10, headers=engineer) == [200] * 8 + [429] * 2
    assert await statuses(second, ME, 1, headers=admin) == [200]
    answer = await first.client.get(ME, headers=engineer)
    assert answer.json()["code"] == "RATE_LIMITED"
    assert int(answer.headers["retry-after"]) >= 1


async def test_who_guesses_tokens_is_slowed_down(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(address_rate_limit="5/hour")
    assert await statuses(gateway, ME, 7, headers=bearer("a.b.c")) == [401] * 5 + [429] * 2
    refresh = await gateway.client.post("/api/v1/auth/refresh", json={"refresh_token": "x"})
    assert refresh.status_code == 429
    assert await statuses(gateway, "/health/live", 10) == [200] * 10


async def test_limits_hold_locally_while_redis_is_away_and_are_shared_again_when_it_is_back(
    start_gateway: StartGateway, redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "PROBE_SECONDS", 0.02)
    shared = {"redis_url": redis_url, "login_rate_limit": "3/hour"}
    first, second = await start_gateway(**shared), await start_gateway(**shared)
    assert await failed_logins(first, 4) == [401, 401, 401, 429]
    redis_server.stop()
    assert await failed_logins(second, 4) == [401, 401, 401, 429]  # its own count
    assert await failed_logins(first, 1) in ([401], [429])
    redis_server.start()
    for gateway in (first, second):
        await eventually(lambda gateway=gateway: gateway.gateway.state.rate_limits.shared)  # type: ignore[misc]


@pytest.fixture
async def counters(redis_url: str) -> AsyncIterator[list[SharedCounter]]:
    counters = [SharedCounter(redis_url), SharedCounter(redis_url)]
    yield counters
    for counter in counters:
        await counter.close()


async def test_a_large_limit_is_shared_without_a_round_trip_for_each(counters: list[SharedCounter]) -> None:
    limits = [RateLimit("user", parse("2000/hour"), counter) for counter in counters]
    allowed = 0

    async def spend(limit: RateLimit) -> None:
        nonlocal allowed
        for _ in range(1500):
            try:
                await limit.hit("user-1")
            except LimitExceeded:
                return
            allowed += 1

    await asyncio.gather(*(spend(limit) for limit in limits))
    # What is left of a slice that one replica took and the other one would have needed.
    assert 2000 - 2 * 20 <= allowed <= 2000


async def test_a_redis_that_does_not_answer_delays_one_request_and_no_more(
    counters: list[SharedCounter], redis_server: RedisServer
) -> None:
    limit = RateLimit("user", parse("1000/hour"), counters[0])
    await limit.hit("user-1")
    redis_server.pause()
    try:
        async with asyncio.timeout(rate_limits.REDIS_TIMEOUT_SECONDS * 3):
            for number in range(50):
                await limit.hit(f"user-{number}")
    finally:
        redis_server.resume()
    assert not counters[0].connected
