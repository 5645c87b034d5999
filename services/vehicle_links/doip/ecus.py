"""The ECUs that are spoken to over one connection: each by itself, or all at once and nobody by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from vehicle_links.dialled import Execution
from vehicle_links.doip.ecu import EcuSession


class Ecus:
    """By logical address; a session is opened (by `open_session`) when it is first needed."""

    def __init__(self, open_session: Callable[[int], EcuSession]) -> None:
        self._open_session = open_session
        self._sessions: dict[int, EcuSession] = {}

    def __getitem__(self, address: int) -> EcuSession:
        if address not in self._sessions:
            self._sessions[address] = self._open_session(address)
        return self._sessions[address]

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    @asynccontextmanager
    async def none_by_itself(self, execution: Execution) -> AsyncIterator[set[int]]:
        """For what is asked of all at once: its answers are not taken for those to other requests, nor the other way
        round. Yields who may still answer something earlier, though it was waited for. Raises ConnectionLost."""
        sessions = list(self._sessions.values())
        async with AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session.asked_with_all())
            settled = await asyncio.gather(*(session.settled(execution) for session in sessions))
            yield {session.address for session, done in zip(sessions, settled, strict=True) if not done}
