"""A TCP relay that can be cut, paused and restored: an outage of a server that is not ours to stop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.support.local_servers import free_port


class TcpProxy:
    """Listens on 127.0.0.1:`port` and relays to `host`:`target_port`; runs in a thread of its own."""

    def __init__(self, host: str, target_port: int) -> None:
        self.port = free_port()
        self._target = (host, target_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def running(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        self._call(self._listen)

    def stop(self) -> None:
        """Cut all connections and refuse new ones."""
        self._call(self._cut)

    def pause(self) -> None:
        """Connections stay open, nothing passes."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(action(), self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _cut(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in self._open:
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
        connection = self._loop.create_task(self._relay(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)
        return connection

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
            try:
                directions = {
                    asyncio.ensure_future(self._pump(reader, target_writer)),
                    asyncio.ensure_future(self._pump(target_reader, writer)),
                }
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for direction in directions:
                        direction.cancel()
            finally:
                target_writer.transport.abort()
        except OSError:
            pass  # the target refuses: so do we
        finally:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # either side is gone; the relay ends
