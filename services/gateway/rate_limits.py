"""Rate limits that hold across replicas: counted in Redis, locally while Redis is away.

The library's sliding window is exact, but asking Redis for every request costs a round trip. A key whose owner is busy
takes several hits at a time (a slice, at most a hundredth of the limit) and spends them here within a second; small
limits, such as that of log-ins, are asked for hit by hit.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.metrics import RATE_LIMITED
from service_kit.errors import LimitExceeded
from service_kit.logging import get_logger

SLICE_SECONDS = 1.0
PROBE_SECONDS = 1.0
# A Redis that does not answer must not slow requests down.
REDIS_TIMEOUT_SECONDS = 0.5
MAX_KEYS = 20_000

log = get_logger(__name__)


@dataclass(slots=True)
class _Account:
    """What one key may still spend here, and until when."""

    left: int = 0
    until: float = 0.0
    next_slice: int = 1
    refused_until: float = 0.0
    retry_after: int = 1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedCounter:
    """The library's limiter on Redis, or on memory while Redis is away; comes back by itself."""

    def __init__(self, redis_url: str | None) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool = None if redis_url is None else _redis_pool(redis_url)
        self._redis = None if self._pool is None else _redis_storage(self._pool)
        self._shared = None if self._redis is None else SlidingWindowCounterRateLimiter(self._redis)
        self._away = False

    @property
    def connected(self) -> bool:
        return self._shared is not None and not self._away

    async def hit(self, item: RateLimitItem, key: str, cost: int) -> bool:
        if self._shared is not None and not self._away:
            try:
                return await self._shared.hit(item, key, cost=cost)
            except (RedisError, OSError, TimeoutError) as error:
                self._went_away(error)
        return await self._local.hit(item, key, cost=cost)

    async def seconds_to_wait(self, item: RateLimitItem, key: str) -> int:
        limiter = self._shared if self._shared is not None and not self._away else self._local
        try:
            reset, _ = await limiter.get_window_stats(item, key)
        except (RedisError, OSError, TimeoutError) as error:
            self._went_away(error)
            return 1
        return max(1, math.ceil(reset - time.time()))

    async def run(self) -> None:
        """Looks for a Redis that went away, for ever: no request ever waits for that."""
        while self._redis is not None:
            await asyncio.sleep(PROBE_SECONDS)
            if self._away and await self._redis.check():
                self._away = False
                log.info("rate_limits_shared_again")

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()

    def _went_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("rate_limits_local_while_redis_is_away", reason=type(error).__name__)
        self._away = True


def _redis_pool(url: str) -> ConnectionPool:
    # No retries: while Redis is away the local count answers, and run() looks for it.
    return ConnectionPool.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _redis_storage(pool: Any) -> RedisStorage:
    return RedisStorage("async+redis://", implementation="redispy", key_prefix="sovd:limits", connection_pool=pool)


class RateLimit:
    """One limit, over many keys."""

    def __init__(
        self, name: str, item: RateLimitItem, counter: SharedCounter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._item = item
        self._counter = counter
        self._clock = clock
        self._largest_slice = max(1, min(item.amount // 100, int(item.amount * SLICE_SECONDS / item.get_expiry())))
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    async def hit(self, key: str) -> None:
        """Counts one; raises LimitExceeded when that is too many."""
        account = self._accounts.get(key)
        now = self._clock()
        if account is not None and account.left and account.until > now:
            account.left -= 1
            return
        account = account or self._open_account(key)
        async with account.lock:
            await self._spend(account, f"{self._name}:{key}")

    def _open_account(self, key: str) -> _Account:
        if len(self._accounts) >= MAX_KEYS:
            self._accounts.popitem(last=False)
        return self._accounts.setdefault(key, _Account())

    async def _spend(self, account: _Account, key: str) -> None:
        now = self._clock()
        if account.refused_until > now:
            raise self._refusal(account)
        if not (account.left and account.until > now):
            await self._take_slice(account, key, now)
        account.left -= 1

    async def _take_slice(self, account: _Account, key: str, now: float) -> None:
        # Grows while slices are used up in time, shrinks when they go stale, so that little is taken in vain.
        used_up = account.left == 0 and account.until > now
        wanted = min(account.next_slice * 2, self._largest_slice) if used_up else max(1, account.next_slice // 2)
        if not await self._counter.hit(self._item, key, wanted):
            if wanted == 1 or not await self._counter.hit(self._item, key, 1):
                account.left = 0
                account.retry_after = await self._counter.seconds_to_wait(self._item, key)
                account.refused_until = now + min(SLICE_SECONDS, account.retry_after)
                raise self._refusal(account)
            wanted = 1
        account.left, account.until, account.next_slice = wanted, now + SLICE_SECONDS, wanted

    def _refusal(self, account: _Account) -> LimitExceeded:
        RATE_LIMITED.labels(self._name).inc()
        return LimitExceeded(
            "RATE_LIMITED",
            f"too many requests; {self._item.amount} per {self._item.get_expiry()} seconds are allowed",
            {"retry_after_seconds": account.retry_after},
        )


class RateLimits:
    """The gateway's limits: by address for log-in and for whoever is not known, by user for everybody else."""

    def __init__(
        self, counter: SharedCounter, *, login: RateLimitItem, user: RateLimitItem, address: RateLimitItem
    ) -> None:
        self._counter = counter
        self._login = RateLimit("login", login, counter)
        self._user = RateLimit("user", user, counter)
        self._address = RateLimit("address", address, counter)
        self.run = counter.run
        self.check_user = self._user.hit

    async def check_login(self, address: str) -> None:
        await self._login.hit(_network(address))

    async def check_address(self, address: str) -> None:
        await self._address.hit(_network(address))

    @property
    def shared(self) -> bool:
        """Whether they hold across replicas just now."""
        return self._counter.connected


def _network(address: str) -> str:
    """Whoever has one IPv6 address has the 2^64 of its network; an IPv4 address in IPv6's clothes is just that one."""
    if ":" not in address:
        return address
    try:
        known = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(known.ipv4_mapped or IPv6Network((int(known), 64), strict=False))
