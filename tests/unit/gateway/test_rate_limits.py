"""Rate limits with the local count; tests/integration/gateway has them on Redis."""

import asyncio
import contextlib

import pytest
from limits import RateLimitItem, parse

from gateway.rate_limits import RateLimit, RateLimits, SharedCounter
from service_kit.errors import LimitExceeded


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class CountingCounter(SharedCounter):
    def __init__(self) -> None:
        super().__init__(None)
        self.costs: list[int] = []

    async def hit(self, item: RateLimitItem, key: str, cost: int) -> bool:
        self.costs.append(cost)
        return await super().hit(item, key, cost)


@pytest.fixture
def counter() -> CountingCounter:
    return CountingCounter()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def allowed(limit: RateLimit, key: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        with contextlib.suppress(LimitExceeded):
            await limit.hit(key)
            count += 1
    return count


async def test_a_small_limit_is_counted_hit_by_hit(counter: CountingCounter, clock: Clock) -> None:
    limit = RateLimit("login", parse("5/minute"), counter, clock)
    assert await allowed(limit, "10.0.0.1", 8) == 5
    assert await allowed(limit, "10.0.0.2", 3) == 3
    assert set(counter.costs) == {1}


async def test_limits_do_not_share_their_keys(counter: CountingCounter, clock: Clock) -> None:
    first, second = (RateLimit(name, parse("2/minute"), counter, clock) for name in ("login", "address"))
    assert await allowed(first, "10.0.0.1", 3) == 2
    assert await allowed(second, "10.0.0.1", 3) == 2


async def test_a_large_limit_is_exact_and_asks_seldom(counter: CountingCounter, clock: Clock) -> None:
    limit = RateLimit("user", parse("6000/minute"), counter, clock)
    assert await allowed(limit, "user-1", 6200) == 6000
    assert max(counter.costs) == 60
    assert len(counter.costs) < 150


async def test_a_slice_goes_stale(counter: CountingCounter, clock: Clock) -> None:
    limit = RateLimit("user", parse("6000/minute"), counter, clock)
    for _ in range(200):  # one request every two seconds: little may be taken in vain
        await limit.hit("user-1")
        clock.now += 2
    assert sum(counter.costs) <= 210


async def test_concurrent_requests_share_a_slice(counter: CountingCounter, clock: Clock) -> None:
    limit = RateLimit("user", parse("6000/minute"), counter, clock)
    await asyncio.gather(*(limit.hit("user-1") for _ in range(500)))
    assert len(counter.costs) < 20


async def test_who_is_refused_costs_little(counter: CountingCounter, clock: Clock) -> None:
    limit = RateLimit("login", parse("1/hour"), counter, clock)
    assert await allowed(limit, "10.0.0.1", 100) == 1
    assert len(counter.costs) == 2
    with pytest.raises(LimitExceeded) as refused:
        await limit.hit("10.0.0.1")
    assert refused.value.code == "RATE_LIMITED"
    assert 1 <= refused.value.details["retry_after_seconds"] <= 3600


async def test_an_ipv6_network_is_one_address(counter: CountingCounter) -> None:
    once = parse("1/hour")
    limits = RateLimits(counter, login=once, user=once, address=once)
    for check in (limits.check_login, limits.check_address):
        await check("2001:db8::1")
        await check("2001:db8:0:1::1")
        for address in ("2001:db8::2", "2001:db8::ffff%eth0"):
            with pytest.raises(LimitExceeded):
                await check(address)
        await check("not an address: at all")
        await check("192.0.2.1")
        # As a socket, or a proxy, that serves both families has it.
        await check("::ffff:192.0.2.2")
        for address in ("::ffff:192.0.2.1", "::ffff:c000:202", "192.0.2.2"):
            with pytest.raises(LimitExceeded):
                await check(address)
    await limits.check_user("user-1")


async def test_only_so_many_keys_are_remembered(
    counter: CountingCounter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rate_limits.MAX_KEYS", 10)
    limit = RateLimit("address", parse("100/minute"), counter, clock)
    for number in range(50):
        await limit.hit(f"10.0.0.{number}")
    assert len(limit._accounts) == 10
