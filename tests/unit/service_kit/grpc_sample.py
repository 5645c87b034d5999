"""A real server on loopback for the gRPC tests: what its calls do is named by the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service_kit.errors import ServiceError
from service_kit.grpc_channel import open_channel
from service_kit.grpc_server import create_server
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.connector.v1 import connector_pb2, connector_pb2_grpc

TOKEN = "a-service-token-of-32-characters"


class Commands(command_pb2_grpc.CommandServiceServicer):
    """GetCommand raises `error` when it is set, else answers with the connection, deadline and metadata it saw."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls = 0

    async def GetCommand(self, request: command_pb2.GetCommandRequest, context: Any) -> command_pb2.Command:
        self.calls += 1
        if self.error is not None:
            raise self.error
        if request.command_id == "never":
            await asyncio.Event().wait()
        return command_pb2.Command(
            command_id=request.command_id,
            user_id=context.peer(),
            timeout_seconds=int(context.time_remaining() or 0),
            username=dict(context.invocation_metadata()).get("x-user", ""),
            command_params="x" * request.command_id.count("large") * 4_000_000,
        )

    async def ListCommands(self, request: Any, context: Any) -> command_pb2.ListCommandsResponse:
        await context.abort(grpc.StatusCode.DATA_LOSS, "ended by the handler itself")
        raise AssertionError


class Connectors(connector_pb2_grpc.ConnectorServiceServicer):
    """Attach answers each message with one; then raises `error` when it is set."""

    def __init__(self) -> None:
        self.error: ServiceError | None = None
        self.cleaned_up = False

    async def Attach(
        self, request_iterator: AsyncIterator[connector_pb2.FromConnector], context: Any
    ) -> AsyncIterator[connector_pb2.ToConnector]:
        try:
            async for message in request_iterator:
                nonce = message.lease_renewal.nonce
                yield connector_pb2.ToConnector(lease_granted=connector_pb2.LeaseGranted(nonce=nonce))
                if self.error is not None:
                    raise self.error
        finally:
            self.cleaned_up = True


class Sample:
    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self.commands, self.connectors = Commands(), Connectors()  # type: ignore[abstract]  # the rest is unimplemented
        self.channel, self.address = channel, address
        self.command_stub: Any = command_pb2_grpc.CommandServiceStub(channel)
        self.connector_stub: Any = connector_pb2_grpc.ConnectorServiceStub(channel)

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    async def get(self, command_id: str = "c-1", **options: Any) -> command_pb2.Command:
        answer = await self.command_stub.GetCommand(command_pb2.GetCommandRequest(command_id=command_id), **options)
        assert isinstance(answer, command_pb2.Command)
        return answer


@asynccontextmanager
async def running(
    *,
    address: str = "127.0.0.1:0",
    token: str = TOKEN,
    channel_options: dict[str, Any] | None = None,
    **server_options: Any,
) -> AsyncIterator[Sample]:
    server, port = create_server(TOKEN, port_address=address, **server_options)
    async with open_channel(f"127.0.0.1:{port}", token, **(channel_options or {})) as channel:
        sample = Sample(channel, f"127.0.0.1:{port}")
        command_pb2_grpc.add_CommandServiceServicer_to_server(sample.commands, server)
        connector_pb2_grpc.add_ConnectorServiceServicer_to_server(sample.connectors, server)
        await server.start()
        try:
            yield sample
        finally:
            await server.stop(None)


def renewal(nonce: int) -> connector_pb2.FromConnector:
    return connector_pb2.FromConnector(lease_renewal=connector_pb2.LeaseRenewal(nonce=nonce))
