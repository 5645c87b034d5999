"""uvicorn, run as a part of the service: the lifecycle handles signals and the order of stopping."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

import uvicorn
from starlette.types import ASGIApp

from gateway.http_protocol import BoundedHttpProtocol
from gateway.settings import GatewaySettings

# Subscriptions and the like: what clients send over a WebSocket is small.
WEBSOCKET_MAX_BYTES = 64 * 1024
# Between two pings, and for the answer to one.
WEBSOCKET_PING_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Bound when made, so that a port that is taken stops the start; `port` is the one it got."""

    def __init__(self, asgi: ASGIApp, settings: GatewaySettings) -> None:
        self._socket = _bind(settings.http_host, settings.http_port)
        self.port: int = self._socket.getsockname()[1]
        # uvicorn writes the addresses of WebSockets, their tokens included, into its log.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._server = _Uvicorn(
            uvicorn.Config(
                asgi,
                http=BoundedHttpProtocol,
                ws="websockets-sansio",
                ws_max_size=WEBSOCKET_MAX_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=WEBSOCKET_PING_SECONDS,
                ws_ping_timeout=WEBSOCKET_PING_SECONDS,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=[*settings.trusted_proxies, *_mapped(settings.trusted_proxies)],
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
                backlog=BACKLOG,
            )
        )
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ended.set()

    async def stop_listening(self) -> None:
        """No new connections; those that are there live on."""
        for listener in getattr(self._server, "servers", ()):
            listener.close()

    async def drain(self) -> None:
        """Requests that run are answered, connections closed."""
        self._server.should_exit = True
        await self._ended.wait()

    async def close(self) -> None:
        self._socket.close()


def _mapped(proxies: Iterable[str]) -> Iterator[str]:
    """As a socket that serves IPv6 and IPv4 alike (HTTP_HOST ::) sees those that have IPv4 addresses."""
    for proxy in proxies:
        with contextlib.suppress(ValueError):
            network = IPv4Network(proxy)
            yield f"::ffff:{network.network_address}/{96 + network.prefixlen}"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"HTTP_HOST {host}, HTTP_PORT {port}: {error.strerror}") from error
    return bound
