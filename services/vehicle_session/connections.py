"""Channels to the connectors: as a rule each vehicle has a connection of its own, as real vehicles do."""

import json
import time

import grpc

from service_kit.grpc_server import FIXED_WINDOWS
from service_kit.logging import get_logger

_log = get_logger(__name__)

_OPTIONS: list[tuple[str, int | str]] = [
    *FIXED_WINDOWS,
    # A name with several addresses: any of them, so that vehicles spread over the connectors.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]})),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
    # A connector that is gone without a word is noticed; and some routers forget a silent connection.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]
REPORT_SECONDS = 30.0
# Plain text stays on this machine.
_BY_NO_PROXY = ("grpc.enable_http_proxy", 0)
_OF_ITS_OWN = ("grpc.use_local_subchannel_pool", 1)


class Connections:
    """Opens and releases channels to one address, in plain text as long as there is nothing to `present`; `shared`: one
    channel for all who ask."""

    def __init__(self, address: str, *, shared: bool = False) -> None:
        self._target = address if "://" in address or address.startswith("unix:") else f"dns:///{address}"
        self._credentials: grpc.ChannelCredentials | None = None
        self._shared = shared
        self._channel: grpc.aio.Channel | None = None
        self._failures = 0
        self._report_after = 0.0

    def present(self, credentials: grpc.ChannelCredentials) -> None:
        """On connections that are opened from now on."""
        self._credentials = credentials

    def open(self) -> grpc.aio.Channel:
        if not self._shared:
            return self._new_channel([*_OPTIONS, _OF_ITS_OWN])
        if self._channel is None:
            self._channel = self._new_channel(_OPTIONS)
        return self._channel

    async def release(self, channel: grpc.aio.Channel) -> None:
        if channel is not self._channel:
            await channel.close(None)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    def report_failure(self, reason: str) -> None:
        """Many vehicles lose a connector at once, and try again and again: one line for all, every so often."""
        self._failures += 1
        now = time.monotonic()
        if now >= self._report_after:
            _log.warning("connector_unreachable", connector=self._target, reason=reason, failures=self._failures)
            self._failures = 0
            self._report_after = now + REPORT_SECONDS

    def _new_channel(self, options: list[tuple[str, int | str]]) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, [*options, _BY_NO_PROXY])
        return grpc.aio.secure_channel(self._target, self._credentials, options)
