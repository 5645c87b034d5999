"""The bridge between a session and a link, where nothing of a command has left yet."""

import asyncio

import pytest

from sovd_protos.session.v1.session_pb2 import Execute, Finished
from vehicle_agent.executor import LinkExecutor
from vehicle_links.dialled import Execution

VIN = "WDD1234567890ABCD"


class BusyVehicle:
    """Its ECU is at something else for a while."""

    def __init__(self) -> None:
        self.asked = 0

    async def execute(self, execution: Execution) -> None:
        await asyncio.sleep(0.05)
        execution.begin()
        self.asked += 1

    async def lost(self) -> str:
        await asyncio.Event().wait()
        return "never"

    async def close(self) -> None:
        """There is nothing to close."""


async def outcome(executor: LinkExecutor, *, repeatable: bool, timeout_ms: int) -> Finished:
    command = Execute(command_id="c1", attempt=1, repeatable=repeatable, timeout_ms=timeout_ms)
    *_, last = [update async for update in executor.execute(command)]
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize(("repeatable", "kind"), [(True, Finished.LOST), (False, Finished.FAILED)])
async def test_nothing_leaves_after_its_timeout(repeatable: bool, kind: "Finished.Kind.ValueType") -> None:
    """A command whose session is lost is not cancelled by anybody: it may be decided already."""
    executor, vehicle = LinkExecutor(VIN), BusyVehicle()
    executor.connection = vehicle
    ended = await outcome(executor, repeatable=repeatable, timeout_ms=10)
    assert (ended.kind, ended.code, vehicle.asked) == (kind, "VEHICLE_UNREACHABLE", 0)
    assert (await outcome(executor, repeatable=repeatable, timeout_ms=5_000)).kind == Finished.COMPLETED
    assert vehicle.asked == 1


@pytest.mark.parametrize(("repeatable", "kind"), [(True, Finished.LOST), (False, Finished.FAILED)])
async def test_without_a_link_nothing_leaves(repeatable: bool, kind: "Finished.Kind.ValueType") -> None:
    ended = await outcome(LinkExecutor(VIN), repeatable=repeatable, timeout_ms=1_000)
    assert (ended.kind, ended.code) == (kind, "VEHICLE_UNREACHABLE")


async def test_what_runs_can_be_stopped_and_nothing_else() -> None:
    executor = LinkExecutor(VIN)
    executor.connection = BusyVehicle()
    command = Execute(command_id="c1", attempt=1, timeout_ms=5_000)
    assert not executor.stop(command)
    running = asyncio.create_task(outcome(executor, repeatable=False, timeout_ms=5_000))
    await asyncio.sleep(0.01)
    assert executor.stop(command)
    await running
    await executor.idle()
    assert not executor.stop(command)
