"""gRPC channels as all services open them: credential and deadline on every call, round-robin over all replicas."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

from service_kit.grpc_server import FIXED_WINDOWS, MAX_MESSAGE_BYTES
from service_kit.grpc_tls import GrpcTls

DEFAULT_DEADLINE_SECONDS = 10.0

_SCHEMES = ("dns:///", "ipv4:", "ipv6:", "unix:")
_OPTIONS = [
    *FIXED_WINDOWS,
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted server is found again within a second or two, not two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # Traffic between services never goes through a proxy that happens to be in the environment.
    ("grpc.enable_http_proxy", 0),
]


def open_channel(
    address: str,
    service_token: str,
    *,
    tls: GrpcTls | None = None,
    deadline_s: float = DEFAULT_DEADLINE_SECONDS,
    wait_for_ready: bool = False,
) -> "ServiceChannel":
    """A channel to `address` ("host:port", a headless name gives all its replicas; or a gRPC target).

    Every call carries the service credential, and calls with one answer the deadline, unless they bring a timeout;
    streams have none. `wait_for_ready`: a call waits for the connection rather than fail while the other side is away.
    """
    target = address if address.startswith(_SCHEMES) else f"dns:///{address}"
    if tls is None:
        inner = grpc.aio.insecure_channel(target, _OPTIONS)
    else:
        inner = grpc.aio.secure_channel(target, tls.channel_credentials(), _OPTIONS)
    return ServiceChannel(inner, service_token, deadline_s, wait_for_ready)


class ServiceChannel(grpc.aio.Channel):
    """What open_channel gives: adds what every call carries.

    Client interceptors would do, but cost a task for every call.
    """

    def __init__(self, inner: grpc.aio.Channel, service_token: str, deadline_s: float, wait_for_ready: bool) -> None:
        self._inner = inner
        self._metadata = (("authorization", f"Bearer {service_token}"),)
        self._deadline_s = deadline_s
        self._wait_for_ready = wait_for_ready

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._inner.close(None)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_defaults(self._inner.unary_unary(*args, **kwargs), self._deadline_s)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_defaults(self._inner.stream_unary(*args, **kwargs), self._deadline_s)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_defaults(self._inner.unary_stream(*args, **kwargs), None)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_defaults(self._inner.stream_stream(*args, **kwargs), None)

    def _with_defaults(self, call: Callable[..., Any], deadline_s: float | None) -> Callable[..., Any]:
        def invoke(
            request: Any = None,
            *,
            timeout: float | None = deadline_s,
            metadata: Sequence[tuple[str, str | bytes]] = (),
            wait_for_ready: bool | None = self._wait_for_ready,
            **options: Any,
        ) -> Any:
            return call(
                request,
                timeout=timeout,
                metadata=(*self._metadata, *(metadata or ())),
                wait_for_ready=wait_for_ready,
                **options,
            )

        return invoke
