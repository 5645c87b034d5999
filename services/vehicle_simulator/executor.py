"""Executes commands on a simulated vehicle: the latency of its ECUs, the pace of its streams, the outcome."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

from sovd_protos.session.v1.session_pb2 import Execute, Finished
from vehicle_session.held_command import Update
from vehicle_simulator.commands import Params, answers, parse_params, stream
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.failures import CommandFailed
from vehicle_simulator.metrics import count_command

_COMPLETED = Finished(kind=Finished.COMPLETED)


class VehicleExecutor:
    """Executes commands on one vehicle."""

    __slots__ = ("_latency_s", "_vehicle")

    def __init__(self, vehicle: VehicleModel, latency_s: float = 0.0) -> None:
        self._vehicle = vehicle
        self._latency_s = latency_s

    async def execute(self, command: Execute) -> AsyncGenerator[Update, None]:
        name = command.command_name
        try:
            params = parse_params(command.command_params)
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            if name == "StreamDataByID":
                async for response in self._stream(params):
                    yield response
            else:
                # The command takes effect here. No wait follows, so that a cancel comes before it or is too late.
                for response in answers(self._vehicle, name, params, time.time()):
                    yield response
        except CommandFailed as failure:
            count_command(name, "failed")
            yield Finished(kind=Finished.FAILED, code=failure.code, message=failure.message, nrc=failure.nrc)
        else:
            count_command(name, "completed")
            yield _COMPLETED

    async def _stream(self, params: Params) -> AsyncIterator[str]:
        plan = stream(self._vehicle, params, time.time())
        clock = asyncio.get_running_loop().time
        begin = clock()
        for number in range(plan.rounds):
            if (wait := begin + number * plan.interval_s - clock()) > 0:
                await asyncio.sleep(wait)
            for response in plan.responses(time.time()):
                yield response
