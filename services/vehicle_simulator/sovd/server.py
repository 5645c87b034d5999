"""Serves simulated vehicles as SOVD servers (ISO 17978-3 over HTTP), each below its VIN: http://host:port/{vin}/v1.

The fault script applies to the requests that a command of the catalogue is made of, and what they do is in the ledger,
under the command's id where the client tells it (`x-request-id: command_id.attempt`).
"""

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from sovd_protos.session.v1.session_pb2 import Execute
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.failures import negative_response
from vehicle_simulator.faults import Fault, FaultKind, FaultScript
from vehicle_simulator.ledger import ExecutionLedger
from vehicle_simulator.metrics import count_command
from vehicle_simulator.scripted import GARBAGE
from vehicle_simulator.sovd.resources import ROUTES, Handler, items
from vehicle_simulator.sovd.vehicle import Component, SovdError, SovdVehicle, refused_by_ecu

API_VERSION = "1.1.0"

_BREAKS = (FaultKind.DISCONNECT, FaultKind.FORGET, FaultKind.CRASH)


class SovdServer:
    """One server for all vehicles of a process. Bound when made; `port` is the one it got.

    `tokens`: the bearer tokens that are taken, with the names of their owners; none: everybody is let in.
    """

    def __init__(
        self,
        vehicles: Mapping[str, VehicleModel],
        ledger: ExecutionLedger,
        faults: FaultScript,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float = 0.0,
        tokens: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        keep_alive_seconds: int = 5,
    ) -> None:
        self.vehicles = {vin: SovdVehicle(model, f"/{vin}/v1") for vin, model in vehicles.items()}
        self._ledger = ledger
        self._script = faults
        self._latency_s = latency_s
        self._tokens = tokens or {}
        self._numbers = itertools.count(1)
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._ended = asyncio.Event()
        self._ended.set()
        self._server = _server(self._application(), self._transports, tls, keep_alive_seconds)

    async def serve(self) -> None:
        self._ended.clear()
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Connections are cut: a vehicle that is switched off answers nothing more."""
        self._server.should_exit = self._server.force_exit = True
        for listener in getattr(self._server, "servers", ()):
            listener.close()
        self._cut_all()
        await self._ended.wait()
        self._cut_all()  # those that were accepted meanwhile
        self._socket.close()

    def _cut_all(self) -> None:
        for transport in list(self._transports.values()):
            transport.abort()

    def _application(self) -> Starlette:
        base = "/{vin}/v1/components"
        routes = [
            Route("/{vin}/version-info", self._version_info),
            Route(base, self._components),
            *(
                Route(f"{base}/{{component}}{path}", self._endpoint(by), methods=list(by))
                for path, by in ROUTES.items()
            ),
        ]
        return Starlette(routes=routes, exception_handlers={SovdError: _error, _Aborted: _aborted})

    # --- requests

    async def _version_info(self, request: Request) -> Response:
        vehicle = self._admit(request)
        vendor = {"name": "sovd-webapp vehicle simulator"}
        return JSONResponse({"sovd_info": [{"version": API_VERSION, "base_uri": vehicle.path, "vendor_info": vendor}]})

    async def _components(self, request: Request) -> Response:
        return items(self._admit(request).component_list())

    def _endpoint(self, by_method: dict[str, tuple[Handler, str, bool]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            handler, command, changes = by_method["GET" if request.method == "HEAD" else request.method]
            vehicle = self._admit(request)
            component = vehicle.component(request.path_params["component"])
            if changes:
                component.check_unlocked(request.state.client)
            if not command:
                return await handler(component, request)
            return await self._command(vehicle, component, request, handler, command, changes)

        return answer

    def _admit(self, request: Request) -> SovdVehicle:
        vehicle = self.vehicles.get(request.path_params["vin"])
        if vehicle is None:
            raise SovdError(404, "entity-not-found", "no such vehicle is here")
        request.state.abort = lambda: self._abort(request)
        if time.monotonic() < vehicle.away_until:
            request.state.abort()
            raise _Aborted
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens and token not in self._tokens:
            raise SovdError(401, "insufficient-access-rights", "a bearer token is needed")
        request.state.client = token or request.headers.get("x-client-id", "")
        request.state.owner = self._tokens.get(token, request.state.client)
        return vehicle

    async def _command(
        self,
        vehicle: SovdVehicle,
        component: Component,
        request: Request,
        handler: Handler,
        command: str,
        changes: bool,
    ) -> Response:
        vin = vehicle.model.spec.vin
        faults = request.state.faults = self._script.take(vin, command)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        await self._go_wrong_before(request, faults)
        entry = self._execute_of(request, command, changes)
        self._ledger.record(vin, entry)
        try:
            response = await handler(component, request)
        except SovdError as error:
            self._ledger.finish(vin, entry, error.body["error_code"])
            count_command(command, "failed")
            raise
        self._ledger.finish(vin, entry, "COMPLETED")
        count_command(command, "completed")
        self._break_off(vehicle, request, faults)
        return self._spoilt(request, response, faults)

    async def _go_wrong_before(self, request: Request, faults: dict[FaultKind, Fault]) -> None:
        if slow := faults.get(FaultKind.SLOW):
            await asyncio.sleep(slow.seconds)
        for kind in (FaultKind.PENDING, FaultKind.NEGATIVE):
            # A SOVD server waits by itself while an ECU says 0x78; its client sees that it takes longer.
            if fault := faults.get(kind):
                await asyncio.sleep(fault.pending * fault.seconds)
        if FaultKind.SILENT in faults:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            raise _Aborted
        if negative := faults.get(FaultKind.NEGATIVE):
            raise refused_by_ecu(negative_response(negative.nrc, "as scripted"), 0)
        if any(faults[kind].after == 0 for kind in _BREAKS if kind in faults):
            self._abort(request)
            raise _Aborted

    def _break_off(self, vehicle: SovdVehicle, request: Request, faults: dict[FaultKind, Fault]) -> None:
        """The command has taken effect, and its answer does not get through."""
        fault = next((faults[kind] for kind in _BREAKS if kind in faults), None)
        if fault is None or request.url.path.endswith("/events"):
            return
        if fault.kind is not FaultKind.DISCONNECT:
            vehicle.forget()
        vehicle.away_until = time.monotonic() + fault.seconds
        self._abort(request)
        raise _Aborted

    def _spoilt(self, request: Request, response: Response, faults: dict[FaultKind, Fault]) -> Response:
        if FaultKind.GARBAGE in faults:
            return Response(GARBAGE, media_type="application/json")
        if FaultKind.DUPLICATE in faults and not isinstance(response, StreamingResponse):
            response.background = BackgroundTask(self._write_again, request, response)
        return response

    async def _write_again(self, request: Request, response: Response) -> None:
        head = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
        transport = self._transports.get(_peer(request))
        if transport is not None:
            transport.write(b"HTTP/1.1 %d OK\r\n%s\r\n%s" % (response.status_code, head, bytes(response.body)))

    def _abort(self, request: Request) -> None:
        transport = self._transports.get(_peer(request))
        if transport is not None:
            transport.abort()

    def _execute_of(self, request: Request, command: str, changes: bool) -> Execute:
        """As the ledger has it. A request that names no command counts as one of its own."""
        command_id, _, attempt = request.headers.get("x-request-id", "").partition(".")
        return Execute(
            command_id=command_id or f"http-{next(self._numbers)}",
            attempt=int(attempt) if attempt.isdecimal() else 1,
            command_name=command,
            command_params=json.dumps({"method": request.method, "path": request.url.path}),
            repeatable=not changes,
        )


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise OSError(error.errno, f"SOVD_HOST {host}, SOVD_PORT {port}: {error.strerror}") from error


class _Aborted(Exception):
    """The connection is cut; nothing can be answered."""


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(
    asgi: Starlette,
    transports: dict[tuple[str, int], asyncio.Transport],
    tls: ssl.SSLContext | None,
    keep_alive_seconds: int,
) -> uvicorn.Server:
    class Protocol(H11Protocol):
        """Its transports can be cut and written to past the server, as a bad one would."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._peer_of_it = transport.get_extra_info("peername")[:2]
            transports[self._peer_of_it] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self._peer_of_it, None)
            super().connection_lost(exc)

    for name in ("uvicorn.error", "uvicorn.access"):  # cut connections are meant
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        asgi,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive_seconds,
    )
    config.load()
    config.ssl = tls
    return _Uvicorn(config)


def _peer(request: Request) -> tuple[str, int]:
    return (request.client.host, request.client.port) if request.client else ("", 0)


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SovdError)
    return JSONResponse(error.body, error.status)


async def _aborted(request: Request, error: Exception) -> Response:
    return Response(status_code=503)  # written to a connection that is gone
