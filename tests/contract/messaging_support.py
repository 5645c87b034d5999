"""What the messaging suites share."""

import asyncio
import itertools
from collections.abc import Sequence

from service_kit.messaging.port import IncomingMessage, OutgoingMessage

_ids = itertools.count()


def message(routing_key: str, body: str | bytes = b"", **headers: str) -> OutgoingMessage:
    content = body.encode() if isinstance(body, str) else body
    return OutgoingMessage(routing_key, content, f"message-{next(_ids)}", headers)


class Inbox:
    """A handler that keeps deliveries, unsettled, for the test to look at."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[IncomingMessage] = asyncio.Queue()

    async def __call__(self, delivery: IncomingMessage) -> None:
        self._arrived.put_nowait(delivery)

    async def next(self, seconds: float = 30) -> IncomingMessage:
        async with asyncio.timeout(seconds):
            return await self._arrived.get()

    async def take(self, count: int) -> list[IncomingMessage]:
        return [await self.next() for _ in range(count)]

    async def nothing_for(self, seconds: float) -> bool:
        """Whether nothing arrives in that time."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False


def bodies(deliveries: Sequence[IncomingMessage]) -> list[str]:
    return [delivery.body.decode() for delivery in deliveries]
