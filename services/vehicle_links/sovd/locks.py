"""Locks of components (ISO 17978-3, 7.17): taken before a change, renewed while it lasts, released after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

from vehicle_links.dialled import CommandFailed, FateUnknown
from vehicle_links.sovd.codec import Object, check, items_of, lock_owner, object_of, text_of
from vehicle_links.sovd.directory import Component
from vehicle_links.sovd.http import Answer, BadAnswer, ConnectionLost, SovdHttp

_ASK_SECONDS = 10.0
_RELEASE_SECONDS = 2.0
_NO_LOCKS_HERE = (404, 405, 501)


class Locks:
    """Of one vehicle. `seconds`: how long a lock lasts unless it is renewed, so that a cut connection frees it."""

    def __init__(self, http: SovdHttp, seconds: int) -> None:
        self._http = http
        self._seconds = seconds

    @asynccontextmanager
    async def held(self, component: Component) -> AsyncIterator[None]:
        """Raises CommandFailed with VEHICLE_LOCKED and the owner's name, where the server tells it."""
        lock = await self._acquire(component)
        renewing = asyncio.create_task(self._renew(lock)) if lock else None
        try:
            yield
        finally:
            if renewing is not None:
                renewing.cancel()
                await self._release(lock)

    async def _acquire(self, component: Component) -> str:
        """The lock's path; "" where the server has none after all."""
        path = f"{component.path}/locks"
        answer = await self._http.request("POST", path, {"lock_expiration": self._seconds}, read_seconds=_ASK_SECONDS)
        if answer.status in _NO_LOCKS_HERE:
            return ""
        if answer.status in (409, 423):
            return await self._own_or_refused(component, path, answer)
        lock_id = text_of(object_of(check(answer, f"locking {component.name}")), "id")
        if not lock_id:
            raise BadAnswer("a lock without an id", answer.body)
        return f"{path}/{quote(lock_id, safe='')}"

    async def _own_or_refused(self, component: Component, path: str, refusal: Answer) -> str:
        """A lock that was taken from here and not released (the connection was cut) serves again."""
        locks = await self._locks(path)
        own = next((text_of(lock, "id") for lock in locks if lock.get("owned") is True and text_of(lock, "id")), "")
        if own:
            return f"{path}/{quote(own, safe='')}"
        with suppress(BadAnswer):
            locks = [object_of(refusal), *locks]
        owner = lock_owner(*locks)
        until = next((found for lock in locks if (found := text_of(lock, "lock_expiration"))), "")
        held = f"held by {owner}" if owner else "held by another client, the vehicle does not say whom"
        raise CommandFailed("VEHICLE_LOCKED", f"{component.name} is locked, {held}{until and f', until {until}'}")

    async def _locks(self, path: str) -> list[Object]:
        with suppress(BadAnswer, CommandFailed, FateUnknown):
            return items_of(check(await self._http.request("GET", path, read_seconds=_ASK_SECONDS), "locks"))
        return []

    async def _renew(self, lock: str) -> None:
        """Should it fail, the request that needs the lock is refused and says so."""
        while True:
            await asyncio.sleep(self._seconds / 3)
            with suppress(BadAnswer, ConnectionLost):
                body = {"lock_expiration": self._seconds}
                await self._http.request("PUT", lock, body, read_seconds=_ASK_SECONDS)

    async def _release(self, lock: str) -> None:
        """Not released, it ends by itself."""
        with suppress(BadAnswer, ConnectionLost):
            await self._http.request("DELETE", lock, read_seconds=_RELEASE_SECONDS)
