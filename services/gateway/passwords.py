"""Argon2id password hashes, computed in a thread, one at a time: each takes memory and a processor."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service_kit.errors import Unavailable

# OWASP's recommendation (12 MiB, three passes, one lane). A process that has hashed once keeps that memory.
_HASHER = PasswordHasher(time_cost=3, memory_cost=12_288, parallelism=1)
MAX_WAITING = 64


class Passwords:
    def __init__(self, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="argon2")
        self._waiting = 0
        # What an unknown user's password is compared to, so that the answer takes as long as for a known one.
        self._nobody = hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """None as the hash of an unknown user: takes as long, is False."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("TOO_MANY_LOGINS", "too many people log in right now; try again")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._verify, password_hash, password)
        finally:
            self._waiting -= 1

    def is_outdated(self, password_hash: str) -> bool:
        """Made with other parameters than today's: hash the password again while it is at hand."""
        return self._hasher.check_needs_rehash(password_hash)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None
