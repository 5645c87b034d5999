"""Calls are counted by method and the status that the caller got."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from service_kit.errors import NotFound
from sovd_protos.command.v1 import command_pb2
from tests.support.waiting import until
from tests.unit.service_kit.grpc_sample import Sample, renewal, running

GET, LIST, ATTACH = (
    "sovd_protos.command.v1.CommandService/GetCommand",
    "sovd_protos.command.v1.CommandService/ListCommands",
    "sovd_protos.connector.v1.ConnectorService/Attach",
)


@pytest.fixture
async def sample() -> AsyncIterator[Sample]:
    async with running() as started:
        yield started


class Counted:
    """How many more calls are counted than when this was made."""

    def __init__(self, method: str, code: str) -> None:
        self._labels = {"method": method, "code": code}
        self._before = self._now()

    @property
    def more(self) -> float:
        return self._now() - self._before

    def _now(self) -> float:
        return REGISTRY.get_sample_value("sovd_grpc_requests_total", self._labels) or 0


async def fails(call: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_calls_that_are_answered(sample: Sample) -> None:
    answered = Counted(GET, "OK")
    timed = REGISTRY.get_sample_value("sovd_grpc_request_duration_seconds_count", {"method": GET}) or 0
    await sample.get()
    await sample.get()
    assert answered.more == 2
    assert REGISTRY.get_sample_value("sovd_grpc_request_duration_seconds_count", {"method": GET}) == timed + 2


@pytest.mark.parametrize(("error", "code"), [(NotFound("UNKNOWN", "no"), "NOT_FOUND"), (ValueError("x"), "INTERNAL")])
async def test_calls_that_fail(sample: Sample, error: Exception, code: str) -> None:
    failed = Counted(GET, code)
    sample.commands.error = error
    await fails(sample.get())
    await until(lambda: failed.more == 1)


async def test_a_call_that_its_handler_ends(sample: Sample) -> None:
    failed = Counted(LIST, "DATA_LOSS")
    await fails(sample.command_stub.ListCommands(command_pb2.ListCommandsRequest()))
    await until(lambda: failed.more == 1)


async def test_a_call_that_its_caller_gives_up(sample: Sample) -> None:
    given_up = Counted(GET, "CANCELLED")
    await fails(sample.get("never", timeout=0.05))
    await until(lambda: given_up.more == 1)


async def test_streams_count_when_they_end(sample: Sample) -> None:
    ended = Counted(ATTACH, "OK")
    stream = sample.connector_stub.Attach()
    await stream.write(renewal(1))
    await stream.read()
    assert ended.more == 0
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    await until(lambda: ended.more == 1)
    assert REGISTRY.get_sample_value("sovd_grpc_request_duration_seconds_count", {"method": ATTACH}) is None


async def test_what_is_refused_counts_as_one_method_whatever_it_asks_for() -> None:
    refused = Counted("any", "UNAUTHENTICATED")
    async with running(token="wrong") as sample:
        await fails(sample.get())
        method: Any = sample.channel.unary_unary
        await fails(method("/made.up/ByACaller")(b""))
    assert refused.more == 2
