"""An executor and a session that go wrong as the fault script says."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from service_kit.uds import RESPONSE_PENDING, nrc_name
from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute, Finished, FromVehicle, Pending
from vehicle_session.held_command import Update
from vehicle_session.session_client import Call, SessionClient
from vehicle_simulator.executor import VehicleExecutor
from vehicle_simulator.failures import negative_response
from vehicle_simulator.faults import Fault, FaultKind, FaultScript

GARBAGE = '["this is no JSON object"'

_BREAKS = (FaultKind.DISCONNECT, FaultKind.FORGET, FaultKind.CRASH)


class ScriptedSession(SessionClient):
    """A session that sends the updates of some commands twice."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.doubled: set[str] = set()

    async def _send(self, call: Call, message: FromVehicle) -> None:
        if self.doubled and message.updates:
            # The first of them comes again after the last: late as well as twice.
            message.updates.extend([update for update in message.updates if update.command_id in self.doubled])
            self.doubled -= {update.command_id for update in message.updates if _is_last(update)}
        await super()._send(call, message)


class ScriptedExecutor:
    """Executes on the vehicle, with the faults that befall the command."""

    __slots__ = ("_inner", "_script", "_vin", "session")

    def __init__(self, vin: str, inner: VehicleExecutor, script: FaultScript) -> None:
        self._vin = vin
        self._inner = inner
        self._script = script
        self.session: ScriptedSession | None = None

    def execute(self, command: Execute) -> AsyncGenerator[Update, None]:
        faults = self._script.take(self._vin, command.command_name)
        return self._with_faults(command, faults) if faults else self._inner.execute(command)

    def stop(self, command: Execute) -> bool:
        return False

    async def _with_faults(self, command: Execute, faults: dict[FaultKind, Fault]) -> AsyncGenerator[Update, None]:
        async for pending in self._before(faults):
            yield pending
        if FaultKind.SILENT in faults:
            return
        if negative := faults.get(FaultKind.NEGATIVE):
            yield _refusal(negative.nrc)
            return
        if FaultKind.DUPLICATE in faults:
            self._session().doubled.add(command.command_id)
        sent = 0
        async with aclosing(self._inner.execute(command)) as updates:
            async for update in updates:
                if await self._break(command, faults, sent):
                    return
                if sent and (slow := faults.get(FaultKind.SLOW)):
                    await asyncio.sleep(slow.between)
                yield GARBAGE if FaultKind.GARBAGE in faults and isinstance(update, str) else update
                sent += 1
        await self._break(command, faults, sent)

    async def _before(self, faults: dict[FaultKind, Fault]) -> AsyncIterator[Pending]:
        if slow := faults.get(FaultKind.SLOW):
            await asyncio.sleep(slow.seconds)
        for kind in (FaultKind.PENDING, FaultKind.NEGATIVE):
            if fault := faults.get(kind):
                for _ in range(fault.pending):
                    yield Pending(nrc=RESPONSE_PENDING, message=nrc_name(RESPONSE_PENDING))
                    await asyncio.sleep(fault.seconds)

    async def _break(self, command: Execute, faults: dict[FaultKind, Fault], sent: int) -> bool:
        """Breaks the connection if now is the time. Has the vehicle forgotten the command?"""
        fault = next((faults[kind] for kind in _BREAKS if kind in faults and faults[kind].after == sent), None)
        if fault is None:
            return False
        session = self._session()
        await session.flushed(command)
        if fault.kind is FaultKind.DISCONNECT:
            session.drop_connection(fault.seconds or None)
            return False
        session.restart(fault.seconds if fault.kind is FaultKind.CRASH else 0.0)
        return True

    def _session(self) -> ScriptedSession:
        if self.session is None:
            raise RuntimeError("the executor belongs to no session yet")
        return self.session


def _refusal(nrc: int) -> Finished:
    refused = negative_response(nrc, "as scripted")
    return Finished(kind=Finished.FAILED, code=refused.code, message=refused.message, nrc=nrc)


def _is_last(update: CommandUpdate) -> bool:
    return update.HasField("finished")
