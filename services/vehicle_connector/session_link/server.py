"""The gRPC service that vehicles dial in to: hello, then updates up and commands down until either side ends it."""

import asyncio
import random
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from service_kit.errors import ServiceError
from service_kit.logging import get_logger
from service_kit.vehicle_credential import is_vehicle_credential
from sovd_protos.connector.v1 import connector_pb2
from sovd_protos.session.v1 import session_pb2 as wire
from sovd_protos.vehicle.v1.vehicle_pb2 import Ecu
from vehicle_connector import metrics
from vehicle_connector.command_service_stream import CommandServiceStream, NotAttached
from vehicle_connector.executor import Executor
from vehicle_connector.session_link.codec import parse_from_vehicle
from vehicle_connector.session_link.identity import IdentityService, PresentedCertificate, presented_certificate
from vehicle_connector.session_link.link import SessionLink
from vehicle_connector.sessions import Sessions
from vehicle_connector.vehicle_response import clean_message
from vehicle_links.vehicle_link import AttemptKey, End, Finished, Progress, Response, Update

_log = get_logger(__name__)

SERVICE = "sovd_protos.session.v1.VehicleSessionService"
PROTOCOL_VERSION = 1

_HELLO_SECONDS = 10.0
_MAX_LISTED = 1000
# What a vehicle says of its ECUs is part of every list of vehicles.
_MAX_ECUS = 256
_MAX_NAME = 100
_VIN = re.compile(r"[A-Z0-9]{17}")
_COMMAND_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Trying again does not help before somebody has changed how the vehicle is registered, or enrolled it.
_NEEDS_SOMEBODY = (
    "UNKNOWN_VEHICLE",
    "LINK_MISMATCH",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
)
_ENDS = {
    wire.Finished.COMPLETED: End.COMPLETED,
    wire.Finished.FAILED: End.FAILED,
    wire.Finished.CANCELLED: End.CANCELLED,
    wire.Finished.LOST: End.LOST,
}

Context = grpc.aio.ServicerContext[wire.FromVehicle, wire.ToVehicle]


class _Refused(Exception):
    """The vehicle is sent away; 0: trying again helps only when somebody has changed something."""

    def __init__(self, code: str, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.refusal = wire.Refusal(code=code, message=message, retry_after_ms=retry_after_ms)


@dataclass(frozen=True, slots=True)
class SessionRules:
    connector_id: str
    credential_secret: str
    heartbeat_interval_seconds: float
    window: int


class SessionServer:
    """One coroutine per session, gRPC's own; it reads. Writing happens when there is something to write."""

    def __init__(
        self,
        rules: SessionRules,
        stream: CommandServiceStream,
        executor: Executor,
        sessions: Sessions,
        identities: IdentityService | None,
    ) -> None:
        """With `identities`, vehicles are known by the certificate of their connection, else by their credential."""
        self._identities = identities
        self._rules = rules
        self._stream = stream
        self._executor = executor
        self._sessions = sessions

    def add_to(self, server: grpc.aio.Server) -> None:
        """Not by the generated function: messages with bad text are to be read too."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.open_session,
            request_deserializer=parse_from_vehicle,
            response_serializer=wire.ToVehicle.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"OpenSession": handler}),))

    async def open_session(self, _: Any, context: Context) -> None:
        try:
            hello = await _read_hello(context)
            answer = await self._admit(hello, await self._identify(hello, context))
        except _Refused as refused:
            await _send_away(context, refused.refusal)
            return
        stream = _Stream(context)
        link = self._link(hello, answer, stream)
        if not self._welcome(link, hello, answer):
            return
        try:
            await self._receive(link, stream)
        finally:
            self._sessions.end(link, "closed")
            await stream.written()

    # --- hello

    async def _identify(self, hello: wire.Hello, context: Context) -> str:
        """The fingerprint of the certificate that proves the VIN, "" where the credential does."""
        if hello.protocol_version != PROTOCOL_VERSION:
            raise _Refused("UNSUPPORTED_PROTOCOL", f"This connector speaks version {PROTOCOL_VERSION}.")
        if self._identities is None:
            if not is_vehicle_credential(self._rules.credential_secret, hello.vin, hello.credential):
                _log.warning("vehicle_refused", vin=hello.vin[:32], code="BAD_CREDENTIAL")
                raise _Refused("BAD_CREDENTIAL", "The credential does not belong to the VIN.")
            return ""
        presented = presented_certificate(context)
        if presented is None:
            raise _Refused("CERTIFICATE_UNKNOWN", "The certificate names no vehicle.")
        if presented.vin != hello.vin:
            await self._turn_away(self._identities, presented, hello.vin)
        return presented.fingerprint

    async def _turn_away(
        self, identities: IdentityService, presented: PresentedCertificate, claimed_vin: str
    ) -> NoReturn:
        """Not before it is on record: a try that could not be recorded is to be made again."""
        _log.warning("vehicle_refused", vin=claimed_vin[:32], code="IDENTITY_MISMATCH", certificate_vin=presented.vin)
        try:
            await identities.report_refused(presented, claimed_vin)
        except ServiceError:
            raise _not_ready("The command service is not available.") from None
        raise _Refused("IDENTITY_MISMATCH", f"The certificate is that of {presented.vin}.")

    async def _admit(self, hello: wire.Hello, fingerprint: str) -> connector_pb2.SessionAnswer:
        if _VIN.fullmatch(hello.vin) is None:
            raise _Refused("UNKNOWN_VEHICLE", "A VIN has 17 capital letters and digits.")
        if self._sessions.draining:
            raise _not_ready("The connector is stopping.")
        try:
            answer = await self._stream.open_session(_session_opened(hello, fingerprint))
        except NotAttached:
            raise _not_ready("The command service is not available.") from None
        if answer.error_code:
            retry_after_ms = 0 if answer.error_code in _NEEDS_SOMEBODY else _retry_after_ms()
            raise _Refused(answer.error_code, answer.error_message, retry_after_ms)
        return answer

    def _link(self, hello: wire.Hello, answer: connector_pb2.SessionAnswer, stream: "_Stream") -> SessionLink:
        return SessionLink(
            answer.vehicle_id,
            answer.session_epoch,
            capabilities=_shared_set(tuple(sorted(hello.capabilities[:_MAX_LISTED]))),
            max_commands=hello.max_commands,
            write=stream.write,
            stop=stream.stop,
            now=time.monotonic(),
        )

    def _welcome(self, link: SessionLink, hello: wire.Hello, answer: connector_pb2.SessionAnswer) -> bool:
        taken_up = self._sessions.open(link, _held(hello), answer.take_ups)
        if taken_up is None:
            self._stream.session_closed(link.vehicle_id, link.session_epoch, "superseded")
            return False
        welcome = wire.Welcome(
            session_epoch=link.session_epoch,
            connector_id=self._rules.connector_id,
            heartbeat_interval_ms=int(self._rules.heartbeat_interval_seconds * 1000),
        )
        for take_up, next_number in taken_up:
            welcome.resume.append(self._resume(take_up, next_number))
            if take_up.wanted:  # said again as absolute numbers
                key = take_up.command_id, take_up.attempt
                link.grant(key, next_number - 1, next_number - 1 + self._rules.window)
        link.welcome(welcome)
        return True

    def _resume(self, take_up: connector_pb2.TakeUp, next_number: int) -> wire.Resume:
        return wire.Resume(
            command_id=take_up.command_id,
            attempt=take_up.attempt,
            wanted=take_up.wanted,
            next_number=next_number,
            initial_credit=self._rules.window,
        )

    # --- updates

    async def _receive(self, link: SessionLink, stream: "_Stream") -> None:
        while (message := await stream.read()) is not None:
            link.heard_at = time.monotonic()
            for update in message.updates:
                self._executor.on_update(link, (update.command_id, update.attempt), _update(update))
            if message.goodbye:
                return


async def _read_hello(context: Context) -> wire.Hello:
    try:
        async with asyncio.timeout(_HELLO_SECONDS):
            message = await context.read()
    except DecodeError:
        message = None
    except TimeoutError:
        raise _Refused("UNSUPPORTED_PROTOCOL", "No hello came.") from None
    if not isinstance(message, wire.FromVehicle) or not message.HasField("hello"):
        raise _Refused("UNSUPPORTED_PROTOCOL", "The first message must be a hello.")
    return message.hello


async def _send_away(context: Context, refusal: wire.Refusal) -> None:
    metrics.SESSION_REFUSALS.labels(refusal.code).inc()
    with suppress(Exception):  # the vehicle may have gone already
        await context.write(wire.ToVehicle(refusal=refusal))


def _not_ready(message: str) -> _Refused:
    return _Refused("NOT_READY", message, _retry_after_ms())


def _retry_after_ms() -> int:
    """Spread: a whole fleet may be asking."""
    return random.randint(1000, 3000)  # noqa: S311  jitter


def _session_opened(hello: wire.Hello, fingerprint: str) -> connector_pb2.SessionOpened:
    return connector_pb2.SessionOpened(
        vin=hello.vin,
        certificate_fingerprint=fingerprint,
        ecus=[Ecu(address=ecu.address, name=clean_message(ecu.name[:_MAX_NAME])) for ecu in hello.ecus[:_MAX_ECUS]],
        held=[connector_pb2.OpenCommand(command_id=key[0], attempt=key[1]) for key in _held(hello)],
    )


def _held(hello: wire.Hello) -> set[AttemptKey]:
    """What we once handed over; another id than ours would only trouble the command service."""
    listed = hello.held[:_MAX_LISTED]
    return {(held.command_id, held.attempt) for held in listed if _COMMAND_ID.fullmatch(held.command_id)}


@lru_cache(maxsize=256)
def _shared_set(names: tuple[str, ...]) -> frozenset[str]:
    """A fleet has few kinds of vehicles, and thousands of each."""
    return frozenset(names)


def _update(update: wire.CommandUpdate) -> Update:
    kind = update.WhichOneof("kind")
    if kind == "response":
        return Response(update.number, update.response)
    if kind == "pending":
        return Progress(update.number, update.pending.nrc, update.pending.message)
    finished = update.finished
    end = _ENDS.get(finished.kind)
    if end is None:
        return Finished(update.number, End.FAILED, "BAD_VEHICLE_RESPONSE", "An update that says nothing known.", 0)
    return Finished(update.number, end, finished.code, finished.message, finished.nrc, finished.unreadable)


class _Stream:
    """A vehicle's stream as one task reads it, and others write to it or end it."""

    __slots__ = ("_context", "_reader", "_stopped", "_writer")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = asyncio.current_task()
        self._stopped = False
        self._writer: asyncio.Task[Any] | None = None

    async def write(self, message: wire.ToVehicle) -> None:
        self._writer = asyncio.current_task()
        try:
            await self._context.write(message)
        finally:
            self._writer = None

    async def written(self) -> None:
        """Returns when no write is under way: gRPC cannot end a stream during one, and it would stay half open."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def read(self) -> wire.FromVehicle | None:
        """None: the stream has ended, or should."""
        if self._stopped:
            return None
        try:
            message = await self._context.read()
        except DecodeError:
            _log.warning("vehicle_spoke_another_protocol")
            return None
        except asyncio.CancelledError:
            if not self._stopped or self._reader is None:
                raise
            self._reader.uncancel()
            return None
        return message if isinstance(message, wire.FromVehicle) else None

    def stop(self) -> None:
        """The reader gets None instead of the next message."""
        if not self._stopped:
            self._stopped = True
            if self._reader is not None and self._reader is not asyncio.current_task():
                self._reader.cancel()
