"""gRPC servers as all services run them: service credential, errors, health, keepalive, connection age, TLS."""

import asyncio
import hmac
import socket
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # missing in the stubs

from service_kit.errors import NotAuthenticated
from service_kit.grpc_errors import Context, ErrorInterceptor, abort
from service_kit.grpc_metrics import count_refused
from service_kit.grpc_tls import GrpcTls
from service_kit.lifecycle import Lifecycle

HEALTH_SERVICE = "/grpc.health.v1.Health/"
# The name under which the health service says that the process runs; ready or not is what "" says.
LIVE = "live"
# A response is at most 256 KiB; a batch of them has to fit.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# Clients are made to reconnect, and so to find new replicas; calls and streams that run are not cut.
MAX_CONNECTION_AGE_SECONDS = 300.0
# Windows are fixed: sizing them by the connection's speed costs a ping and its answer with nearly every small message.
# A whole response fits, so that also over a slow radio link a vehicle need not wait within one.
FIXED_WINDOWS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 256 * 1024)]


class CredentialInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Refuses calls with none of the service credentials, but for methods that begin with one of `open_methods`."""

    def __init__(self, service_tokens: Sequence[str], open_methods: Sequence[str] = ()) -> None:
        self._expected = [f"Bearer {token}".encode() for token in service_tokens]
        self._open = (HEALTH_SERVICE, *open_methods)

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        if details.method.startswith(self._open) or self._is_known(details):
            return await continuation(details)
        return _REFUSAL

    def _is_known(self, details: grpc.HandlerCallDetails) -> bool:
        for key, value in details.invocation_metadata or ():
            if key == "authorization":
                shown = value if isinstance(value, bytes) else value.encode()
                return any(hmac.compare_digest(shown, expected) for expected in self._expected)
        return False


async def _refuse(_: Any, context: Context) -> None:
    count_refused()
    await abort(context, NotAuthenticated("BAD_SERVICE_CREDENTIAL", "This call needs the service credential."))


# As a stream-stream handler it answers calls of every kind, without waiting for a message.
_REFUSAL = grpc.stream_stream_rpc_method_handler(_refuse)


def create_server(
    service_token: str,
    *,
    port_address: str,
    previous_tokens: Sequence[str] = (),
    lifecycle: Lifecycle | None = None,
    open_methods: Sequence[str] = (),
    tls: GrpcTls | None = None,
    client_certificates: bool = True,
    max_connection_age_s: float = MAX_CONNECTION_AGE_SECONDS,
    options: Sequence[tuple[str, int]] = (),
) -> tuple[grpc.aio.Server, int]:
    """A server that listens on `port_address` ("host:port", port 0: any) and the port it got; add services, start it.

    `previous_tokens` are as good as `service_token`: callers do not all change theirs at once. `open_methods` are
    prefixes of methods ("/package.Service/") that need no service credential. The standard health service is there and
    open; it follows `lifecycle.ready`, and always serves as LIVE. `options` are further channel arguments of gRPC.
    Raises OSError when the address cannot be had.
    """
    server = grpc.aio.server(
        interceptors=[CredentialInterceptor([service_token, *previous_tokens], open_methods), ErrorInterceptor()],
        options=list({**_options(max_connection_age_s), **dict(options)}.items()),
    )
    try:
        if tls is None:
            port = server.add_insecure_port(port_address)
        else:
            credentials = tls.server_credentials(client_certificates=client_certificates)
            port = server.add_secure_port(port_address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {port_address} (gRPC): {_reason(port_address)}") from error
    _add_health(server, lifecycle)
    return server, port


def _reason(port_address: str) -> str:
    """gRPC does not tell; whoever else tries is told."""
    host, _, port = port_address.rpartition(":")
    try:
        socket.create_server((host.strip("[]"), int(port))).close()
    except OSError as error:
        return error.strerror or str(error)
    return "the certificate or its key is not good"


def _options(max_connection_age_s: float) -> dict[str, int]:
    return {
        **dict(FIXED_WINDOWS),
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
        # Two processes on one port would share its calls silently.
        "grpc.so_reuseport": 0,
        "grpc.max_connection_age_ms": int(max_connection_age_s * 1000),
        # Clients ping every 20 s, also without a call (see grpc_channel).
        "grpc.keepalive_time_ms": 20_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    }


def _add_health(server: grpc.aio.Server, lifecycle: Lifecycle | None) -> None:
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if lifecycle is None:
        return
    tasks: set[asyncio.Task[None]] = set()

    def say(name: str, well: bool) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING if well else health_pb2.HealthCheckResponse.NOT_SERVING
        task = asyncio.create_task(health.set(name, serving))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def follow(ready: bool) -> None:
        say("", ready)

    say(LIVE, True)
    follow(lifecycle.ready)
    lifecycle.on_ready_change(follow)
