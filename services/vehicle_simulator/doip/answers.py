"""How the ECUs behind a simulated DoIP entity answer: one request at a time each, with the faults that befall it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from service_kit.uds import RESPONSE_PENDING
from vehicle_simulator.doip.uds import UdsServers, command_of
from vehicle_simulator.faults import Fault, FaultKind, FaultScript
from vehicle_simulator.metrics import count_command

# No service answers with that.
GARBAGE = bytes.fromhex("00BADBAD")


@dataclass(frozen=True, slots=True)
class Reply:
    """Where an ECU's answer goes; and what may go wrong with the whole vehicle."""

    send: Callable[[bytes], None]
    disconnect: Callable[[float], None]
    restart: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    ecu: int
    request: bytes
    functional: bool
    reply: Reply


class Answers:
    """Of all ECUs of one vehicle. What is asked of one ECU while it is busy waits for its turn."""

    def __init__(self, vin: str, servers: UdsServers, script: FaultScript, latency_s: float = 0.0) -> None:
        self._vin = vin
        self._servers = servers
        self._script = script
        self._latency_s = latency_s
        self._busy: dict[int, asyncio.Task[None]] = {}

    def enqueue(self, ecu: int, request: bytes, functional: bool, reply: Reply) -> None:
        before = self._busy.get(ecu)
        asked = _Asked(ecu, request, functional, reply)
        self._busy[ecu] = task = asyncio.create_task(self._after(before, asked))
        task.add_done_callback(lambda _: self._busy.pop(ecu) if self._busy.get(ecu) is task else None)

    def forget_all(self) -> None:
        """The vehicle loses its power."""
        for task in self._busy.values():
            task.cancel()
        self._busy.clear()

    async def _after(self, before: asyncio.Task[None] | None, asked: _Asked) -> None:
        if before is not None:
            await asyncio.wait([before])
        faults = self._script.take(self._vin, name) if (name := command_of(asked.request)) else {}
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        await self._answer(asked, faults)

    async def _answer(self, asked: _Asked, faults: dict[FaultKind, Fault]) -> None:
        if slow := faults.get(FaultKind.SLOW):
            await asyncio.sleep(slow.seconds)
        for kind in (FaultKind.PENDING, FaultKind.NEGATIVE):
            if fault := faults.get(kind):
                await _say_pending(asked, fault)
        if FaultKind.SILENT in faults:
            return
        if negative := faults.get(FaultKind.NEGATIVE):
            asked.reply.send(_negative(asked, negative.nrc))
            return
        answer = self._serve(asked)
        if _breaks(asked, faults, 0) or answer is None:
            return
        asked.reply.send(GARBAGE if FaultKind.GARBAGE in faults else answer)
        if FaultKind.DUPLICATE in faults:
            asked.reply.send(answer)
        _breaks(asked, faults, 1)

    def _serve(self, asked: _Asked) -> bytes | None:
        answer = self._servers.answer(asked.ecu, asked.request, time.time(), functional=asked.functional)
        if name := command_of(asked.request):
            count_command(name, "failed" if answer and answer[0] == 0x7F else "completed")
        return answer


async def _say_pending(asked: _Asked, fault: Fault) -> None:
    for _ in range(fault.pending):
        asked.reply.send(_negative(asked, RESPONSE_PENDING))
        await asyncio.sleep(fault.seconds)


def _negative(asked: _Asked, nrc: int) -> bytes:
    return bytes((0x7F, asked.request[0], nrc))


def _breaks(asked: _Asked, faults: dict[FaultKind, Fault], sent: int) -> bool:
    """Breaks the connection or the vehicle if now is the time (`after` answers, 0 or 1)."""
    for kind in (FaultKind.DISCONNECT, FaultKind.FORGET, FaultKind.CRASH):
        fault = faults.get(kind)
        if fault is not None and min(fault.after, 1) == sent:
            (asked.reply.disconnect if kind is FaultKind.DISCONNECT else asked.reply.restart)(fault.seconds)
            return True
    return False
