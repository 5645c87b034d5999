import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service_kit.errors import NotAuthenticated
from service_kit.grpc_channel import open_channel
from service_kit.grpc_errors import from_rpc_error
from service_kit.grpc_server import LIVE, create_server
from service_kit.grpc_tls import GrpcTls
from service_kit.lifecycle import Lifecycle
from tests.unit.service_kit.grpc_sample import TOKEN, Sample, renewal, running

COMMAND_SERVICE = "/sovd_protos.command.v1.CommandService/"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def certificates(tmp_path: Path) -> GrpcTls:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = GrpcTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    return files


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


@pytest.mark.parametrize("token", ["another-service-token-of-32-characters", ""])
async def test_a_call_without_the_service_credential_is_refused(token: str) -> None:
    async with running(token=token) as sample:
        error = from_rpc_error(await refusal(sample.get()))
    assert isinstance(error, NotAuthenticated)
    assert error.code == "BAD_SERVICE_CREDENTIAL"


async def test_a_previous_service_credential_is_as_good() -> None:
    previous = "the-service-token-until-now-of-32-characters"
    for token in (TOKEN, previous):
        async with running(token=token, previous_tokens=[previous]) as sample:
            assert (await sample.get("c-7")).command_id == "c-7"
    async with running(token="neither-of-them", previous_tokens=[previous]) as sample:
        assert (await refusal(sample.get())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_is_refused_before_it_sends_anything() -> None:
    async with running(token="wrong") as sample:
        stream = sample.connector_stub.Attach()
        assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_channel_without_any_credential_is_refused() -> None:
    async with running() as sample, grpc.aio.insecure_channel(sample.address) as channel:
        assert (await refusal(Sample(channel, "").get())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_open_methods_need_no_credential() -> None:
    async with running(token="wrong", open_methods=[COMMAND_SERVICE]) as sample:
        assert (await sample.get("c-7")).command_id == "c-7"
        assert await sample.connector_stub.Attach().code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_open_and_follows_readiness() -> None:
    lifecycle = Lifecycle("demo")
    async with running(lifecycle=lifecycle) as sample, grpc.aio.insecure_channel(sample.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        lifecycle.set_ready(True)
        assert (await watch.read()).status == SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        await lifecycle.stop()
        assert (await watch.read()).status == NOT_SERVING


async def test_what_is_not_ready_is_alive() -> None:
    async with running(lifecycle=Lifecycle("demo")) as sample, grpc.aio.insecure_channel(sample.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest(service=LIVE))).status == SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING


async def test_a_server_without_a_lifecycle_is_healthy() -> None:
    async with running() as sample, grpc.aio.insecure_channel(sample.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING


async def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"cannot listen on {address} \(gRPC\): Address already in use"):
            create_server(TOKEN, port_address=address)


async def test_two_servers_do_not_share_a_port() -> None:
    async with running() as sample:
        with pytest.raises(OSError, match=sample.address):
            create_server(TOKEN, port_address=sample.address)


@pytest.fixture
async def address() -> str:
    """Where nobody listens."""
    async with running() as sample:
        return sample.address


async def test_a_batch_of_large_answers_fits() -> None:
    async with running() as sample:
        assert len((await sample.get("large large large")).command_params) == 12_000_000
        too_large = await refusal(sample.get("large large large large large"))
    assert too_large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_aged_connection_is_replaced_without_cutting_its_streams() -> None:
    async with running(max_connection_age_s=0.2) as sample:
        stream = sample.connector_stub.Attach()
        await stream.write(renewal(0))
        old = (await stream.read()).lease_granted.nonce
        connection = (await sample.get()).user_id
        while (await sample.get()).user_id == connection:
            pass
        await stream.write(renewal(old + 1))
        assert (await stream.read()).lease_granted.nonce == old + 1


async def test_further_channel_arguments_are_passed_on() -> None:
    async with running(options=[("grpc.max_receive_message_length", 10)]) as sample:
        assert (await refusal(sample.get("c" * 100))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class TestTls:
    async def test_both_sides_show_a_certificate(self, certificates: GrpcTls) -> None:
        async with running(tls=certificates, channel_options={"tls": certificates}) as sample:
            assert (await sample.get("c-9")).command_id == "c-9"

    async def test_a_caller_without_a_certificate_is_refused(self, certificates: GrpcTls) -> None:
        only_ca = GrpcTls(None, None, certificates.ca_file)
        async with running(tls=certificates, channel_options={"tls": only_ca}) as sample:
            assert (await refusal(sample.get())).code() is grpc.StatusCode.UNAVAILABLE

    async def test_vehicles_show_none(self, certificates: GrpcTls) -> None:
        only_ca = GrpcTls(None, None, certificates.ca_file)
        async with running(tls=certificates, client_certificates=False, channel_options={"tls": only_ca}) as sample:
            assert (await sample.get("c-9")).command_id == "c-9"

    async def test_a_server_of_another_authority_is_refused(self, certificates: GrpcTls, tmp_path: Path) -> None:
        (tmp_path / "other.pem").write_bytes(trustme.CA().cert_pem.bytes())
        other = GrpcTls(certificates.cert_file, certificates.key_file, tmp_path / "other.pem")
        async with running(tls=certificates, channel_options={"tls": other}) as sample:
            assert (await refusal(sample.get())).code() is grpc.StatusCode.UNAVAILABLE

    async def test_plain_text_is_refused(self, certificates: GrpcTls) -> None:
        async with running(tls=certificates) as sample:
            assert (await refusal(sample.get())).code() is grpc.StatusCode.UNAVAILABLE

    async def test_a_server_needs_a_certificate(self, certificates: GrpcTls) -> None:
        with pytest.raises(FileNotFoundError, match="GRPC_TLS_CERT_FILE"):
            create_server(TOKEN, port_address="localhost:0", tls=GrpcTls(None, None, certificates.ca_file))


@pytest.fixture
async def sample() -> AsyncIterator[Sample]:
    async with running() as sample:
        yield sample


class TestChannel:
    async def test_a_call_has_a_deadline(self, sample: Sample) -> None:
        assert 8 <= (await sample.get()).timeout_seconds <= 10

    async def test_a_call_may_bring_its_own_deadline(self, sample: Sample) -> None:
        assert 95 <= (await sample.get(timeout=100)).timeout_seconds <= 100

    async def test_the_deadline_may_be_set_for_the_channel(self) -> None:
        async with running(channel_options={"deadline_s": 50}) as sample:
            assert 45 <= (await sample.get()).timeout_seconds <= 50

    async def test_a_stream_has_none(self, sample: Sample) -> None:
        stream = sample.connector_stub.Attach()
        assert stream.time_remaining() is None
        stream.cancel()

    async def test_a_call_may_bring_metadata(self, sample: Sample) -> None:
        assert (await sample.get(metadata=[("x-user", "anna")])).username == "anna"

    async def test_a_call_fails_at_once_when_nobody_is_there(self, address: str) -> None:
        async with open_channel(address, TOKEN) as channel:
            assert (await refusal(Sample(channel, address).get())).code() is grpc.StatusCode.UNAVAILABLE

    async def test_a_call_may_wait_for_a_server_that_is_not_there_yet(self, address: str) -> None:
        async with open_channel(address, TOKEN, wait_for_ready=True) as channel:
            waiting = asyncio.create_task(Sample(channel, address).get("c-2"))
            while channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await channel.wait_for_state_change(channel.get_state(try_to_connect=True))
            async with running(address=address):
                assert (await waiting).command_id == "c-2"

    async def test_calls_go_to_all_replicas_in_turn(self) -> None:
        async with running() as one, running() as two:
            target = "ipv4:" + ",".join(f"127.0.0.1:{replica.port}" for replica in (one, two))
            async with open_channel(target, TOKEN) as channel:
                while not (one.commands.calls and two.commands.calls):
                    await Sample(channel, "").get()
                before = one.commands.calls, two.commands.calls
                for _ in range(10):
                    await Sample(channel, "").get()
                assert (one.commands.calls - before[0], two.commands.calls - before[1]) == (5, 5)


async def test_why_it_cannot_listen(tmp_path: Path) -> None:
    """gRPC itself says nothing but that it could not."""
    (tmp_path / "nonsense.pem").write_text("nonsense")
    nonsense = GrpcTls(tmp_path / "nonsense.pem", tmp_path / "nonsense.pem", None)
    with pytest.raises(OSError, match=r"\(gRPC\): the certificate or its key is not good"):
        create_server(TOKEN, port_address="127.0.0.1:0", tls=nonsense)
    with pytest.raises(OSError, match=r"no such host:0 \(gRPC\): Name or service not known"):
        create_server(TOKEN, port_address="no such host:0")
