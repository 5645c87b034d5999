"""A TCP relay on loopback that cuts, delays, doubles or corrupts at any byte of the answers or questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Meddling:
    """What happens, once armed. Bytes are counted from then on, over all connections.

    `cut_up` and `cut_down`: after so many bytes to the vehicle, or from it, both ends see the connection break.
    `flip`: this byte from the vehicle is another one. `double`: each piece from the vehicle comes twice.
    """

    cut_up: int | None = None
    cut_down: int | None = None
    flip: int | None = None
    double: bool = False
    delay: float = 0.0


@dataclass
class Meddler:
    target_port: int
    port: int = 0
    meddling: Meddling = field(default_factory=Meddling)
    up: int = 0
    down: int = 0
    done: bool = False
    """It has cut or flipped."""
    refuse_next: int = 0
    """So many new connections break at once."""
    listener: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def arm(self, meddling: Meddling) -> None:
        self.meddling, self.up, self.down, self.done = meddling, 0, 0, False

    def cut_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse_next:
            self.refuse_next -= 1
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, target_writer}
        self._open |= ends
        pumps = [
            asyncio.ensure_future(self._pump_up(reader, target_writer)),
            asyncio.ensure_future(self._pump_down(target_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in ends:
                end.transport.abort() if self.done else end.close()
            self._open -= ends

    async def _pump_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            passed = self._up_to(data, self.meddling.cut_up, self.up)
            self.up += len(passed)
            writer.write(passed)
            await writer.drain()
            if len(passed) < len(data):
                self.done = True
                return

    async def _pump_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.meddling.delay:
                await asyncio.sleep(self.meddling.delay)
            passed = self._up_to(data, self.meddling.cut_down, self.down)
            writer.write(self._flipped(passed))
            if self.meddling.double:
                writer.write(passed)
            self.down += len(passed)
            await writer.drain()
            if len(passed) < len(data):
                self.done = True
                return

    @staticmethod
    def _up_to(data: bytes, cut: int | None, before: int) -> bytes:
        return data if cut is None or before + len(data) <= cut else data[: max(0, cut - before)]

    def _flipped(self, data: bytes) -> bytes:
        at = -1 if self.meddling.flip is None else self.meddling.flip - self.down
        if not 0 <= at < len(data):
            return data
        self.done = True
        return data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :]


@asynccontextmanager
async def meddled(target_port: int) -> AsyncIterator[Meddler]:
    meddler = Meddler(target_port)
    server = meddler.listener = await asyncio.start_server(meddler.relay, "127.0.0.1", 0)
    meddler.port = server.sockets[0].getsockname()[1]
    try:
        yield meddler
    finally:
        server.close()
        meddler.cut_all()
        await server.wait_closed()
