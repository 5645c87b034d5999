from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from structlog.testing import CapturingLogger

from service_kit import grpc_errors
from service_kit.errors import BY_CATEGORY, Category, Conflict, InvalidInput, NotFound, ServiceError, Unavailable
from service_kit.grpc_channel import open_channel
from service_kit.grpc_errors import STATUS_CODES, from_domain_error, from_rpc_error, to_domain_error
from sovd_protos.command.v1 import command_pb2
from sovd_protos.errors.v1.error_pb2 import DomainError
from tests.unit.service_kit.grpc_sample import TOKEN, Sample, renewal, running


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr(grpc_errors, "_log", log)
    return log


@pytest.fixture
async def sample() -> AsyncIterator[Sample]:
    async with running() as sample:
        yield sample


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


def same(one: ServiceError, other: ServiceError) -> bool:
    return (type(one), one.code, one.message, one.details) == (type(other), other.code, other.message, other.details)


@pytest.mark.parametrize("kind", BY_CATEGORY.values())
async def test_every_error_arrives_as_it_was_raised(sample: Sample, kind: type[ServiceError]) -> None:
    sample.commands.error = kind("SOME_CODE", "Was »wrong«; allowed is 1 to 3.", {"limit": 3, "names": ["a"]})
    failed = await failure(sample.get())
    assert failed.code() is STATUS_CODES[kind.category]
    assert failed.details() == "Was »wrong«; allowed is 1 to 3."
    assert same(from_rpc_error(failed, "command_service"), sample.commands.error)


async def test_details_may_be_missing(sample: Sample) -> None:
    sample.commands.error = NotFound("UNKNOWN_COMMAND", "No such command.")
    assert same(from_rpc_error(await failure(sample.get())), sample.commands.error)


async def test_an_oversized_error_is_cut_to_fit_the_trailers(sample: Sample) -> None:
    sample.commands.error = InvalidInput("INVALID_PARAMETERS", "é" * 9000, {"found": "x" * 9000})
    arrived = from_rpc_error(await failure(sample.get()))
    assert same(arrived, InvalidInput("INVALID_PARAMETERS", "é" * 1000))


async def test_an_unexpected_error_tells_the_caller_nothing(sample: Sample, log: CapturingLogger) -> None:
    sample.commands.error = KeyError("postgresql://me:secret@db")
    failed = await failure(sample.get())
    assert (failed.code(), failed.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    (call,) = log.calls
    assert (call.method_name, call.args) == ("error", ("call_failed_unexpectedly",))
    assert call.kwargs["exc_info"] is sample.commands.error
    assert from_rpc_error(failed, "command_service").code == "COMMAND_SERVICE_FAILED"


async def test_a_handler_may_end_its_call_itself(sample: Sample, log: CapturingLogger) -> None:
    failed = await failure(sample.command_stub.ListCommands(command_pb2.ListCommandsRequest()))
    assert (failed.code(), failed.details()) == (grpc.StatusCode.DATA_LOSS, "ended by the handler itself")
    assert log.calls == []


async def test_a_stream_may_fail_after_answers(sample: Sample) -> None:
    sample.connectors.error = Conflict("STALE", "A newer stream is there.")
    stream = sample.connector_stub.Attach()
    await stream.write(renewal(1))
    assert (await stream.read()).lease_granted.nonce == 1
    assert same(from_rpc_error(await failure(stream.read())), sample.connectors.error)


async def test_a_stream_that_ends_cleans_up(sample: Sample) -> None:
    stream = sample.connector_stub.Attach()
    for nonce in range(3):
        await stream.write(renewal(nonce))
        assert (await stream.read()).lease_granted.nonce == nonce
    await stream.done_writing()
    assert not await stream.read()  # the end
    assert await stream.code() is grpc.StatusCode.OK
    assert sample.connectors.cleaned_up


async def test_an_unknown_method_is_unimplemented(sample: Sample) -> None:
    method: Any = sample.channel.unary_unary
    failed = await failure(method("/sovd_protos.command.v1.CommandService/Nonsense")(b""))
    assert failed.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_is_away_is_unavailable() -> None:
    async with running() as sample:
        address = sample.address
    async with open_channel(address, TOKEN) as channel:
        failed = await failure(Sample(channel, address).get())
    assert same(
        from_rpc_error(failed, "command_service"),
        Unavailable("COMMAND_SERVICE_UNAVAILABLE", "The command service is not available; try again."),
    )


async def test_a_service_that_is_too_slow_is_unavailable(sample: Sample) -> None:
    failed = await failure(sample.get("never", timeout=0.05))
    assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert from_rpc_error(failed).code == "SERVICE_UNAVAILABLE"


def test_the_inline_form_for_batches_is_the_same_message() -> None:
    error = Conflict("IDEMPOTENCY_CONFLICT", "The key was used before.", {"key": "k"})
    message = to_domain_error(error)
    assert message.category == "conflict"
    assert same(from_domain_error(DomainError.FromString(message.SerializeToString())), error)


def test_a_category_of_a_newer_version_is_unavailable() -> None:
    error = from_domain_error(DomainError(category="teapot", code="TEAPOT", message="Short and stout."))
    assert same(error, Unavailable("TEAPOT", "Short and stout."))


def test_every_category_has_a_status() -> None:
    assert set(STATUS_CODES) == set(Category)
    assert len(set(STATUS_CODES.values())) == len(Category)


async def test_a_foreign_server_is_no_domain_error() -> None:
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"")),
        "no such thing",
        None,
    )
    assert from_rpc_error(failed, "vehicle").code == "VEHICLE_FAILED"
