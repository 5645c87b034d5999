"""The one TCP connection to a DoIP entity: routing activation, and whose answer is whose.

It is read by one task; what comes for an ECU goes into that ECU's inbox. Whatever makes no sense ends it: then nobody
waits for an answer that was lost in the noise, and the connector dials anew.
"""

import asyncio
import socket
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service_kit.logging import get_logger
from vehicle_links.dialled import FateUnknown, Unreachable
from vehicle_links.doip import messages as doip
from vehicle_links.unreadable import quoted

_log = get_logger(__name__)

# A_DOIP_Ctrl and A_DOIP_Diagnostic_Message of ISO 13400-2 are 2 s.
ACK_SECONDS = 2.0
_ACTIVATION_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
# An entity closes a connection that was silent for 5 min (T_TCP_General_Inactivity).
_KEEP_ALIVE_SECONDS = 60.0
_ACTIVATED = 0x10
_MOST_UNREAD = 1000
# TCP notices within about 20 s that the other side is gone.
_SOCKET_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 10),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 3),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, 20_000),
    ("TCP_NODELAY", socket.IPPROTO_TCP, 1),
)


class ConnectionLost(Exception):
    """It broke, or was closed; the message says why. `unreadable`: the bytes that were no DoIP message."""

    def __init__(self, reason: str, unreadable: str = "") -> None:
        super().__init__(reason)
        self.unreadable = unreadable

    @property
    def fate(self) -> FateUnknown:
        """Of what may have been written."""
        return FateUnknown(f"the connection to the vehicle was lost: {self}", self.unreadable)


class NotRouted(Exception):
    """The entity did not pass the request on (a negative acknowledgement, Table 26)."""

    def __init__(self, code: int) -> None:
        super().__init__(doip.code_name("DiagnosticMessageNegativeAcknowledgement.NackCodes", code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """A diagnostic message, or the acknowledgement of one: then `data` is empty, `nack` is 0 or why not, and
    `acknowledges` the number of what was written (0: of nothing that waits for it)."""

    ecu: int
    data: bytes = b""
    nack: int | None = None
    acknowledges: int | None = None


Inbox = asyncio.Queue[Frame | ConnectionLost]


class EntityConnection:
    """Opened by `connect`. An inbox is open for as long as somebody may ask that ECU something."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: int, version: int) -> None:
        self._reader = reader
        self._writer = writer
        self._source = source
        self._version = version
        self._inboxes: dict[int, Inbox] = {}
        self._for_all: Inbox | None = None
        self._written = 0
        # By target address, in the order in which they were written and are acknowledged.
        self._unacknowledged: defaultdict[int, deque[int]] = defaultdict(deque)
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._keep_alive())]

    async def lost(self) -> str:
        return await asyncio.shield(self._broken)

    def check(self) -> None:
        """Raises ConnectionLost: what is written now would certainly not arrive."""
        if self._broken.done() or self._writer.is_closing():
            raise ConnectionLost(self._broken.result() if self._broken.done() else "closed")

    def inbox(self, ecu: int) -> Inbox:
        if ecu not in self._inboxes:
            self._inboxes[ecu] = asyncio.Queue()
        return self._inboxes[ecu]

    def listen_to_all(self) -> Inbox:
        """Until `stop_listening_to_all` everything that comes goes there."""
        self._for_all = asyncio.Queue()
        return self._for_all

    def stop_listening_to_all(self) -> None:
        self._for_all = None

    def write(self, ecu: int, request: bytes) -> int:
        """At once; from here on it may arrive. Returns its number, by which its acknowledgement is known."""
        self._send(doip.DiagnosticMessage(self._source, ecu, request))
        self._written += 1
        self._unacknowledged[ecu].append(self._written)
        return self._written

    def break_off(self, reason: str, unreadable: str = "") -> None:
        """Everybody who waits learns of it."""
        if self._broken.done():
            return
        self._broken.set_result(reason)
        self._writer.transport.abort()
        for inbox in (*self._inboxes.values(), *([self._for_all] if self._for_all else [])):
            inbox.put_nowait(ConnectionLost(reason, unreadable))

    async def close(self) -> None:
        self.break_off("closed")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with suppress(OSError):
            await self._writer.wait_closed()

    async def activate(self, activation_type: int) -> None:
        """Raises Unreachable."""
        self._send(doip.RoutingActivationRequest(self._source, activation_type))
        try:
            async with asyncio.timeout(_ACTIVATION_SECONDS):
                while not isinstance(answer := await self._next(), doip.RoutingActivationResponse):
                    pass
        except TimeoutError:
            raise Unreachable(f"no answer to the routing activation within {_ACTIVATION_SECONDS:g} s") from None
        except (OSError, asyncio.IncompleteReadError, doip.BadMessage) as error:
            raise Unreachable(f"the connection ended at the routing activation ({error})") from None
        code = int(answer._response_code)
        if code != _ACTIVATED:
            reason = doip.code_name("RoutingActivationResponse.ResponseCode", code)
            raise Unreachable(f"the routing activation was refused: {reason}")

    # --- inside

    def _send(self, message: Any) -> None:
        self._writer.write(doip.packed(message, self._version))

    async def _next(self) -> Any:
        payload_type, length = doip.parse_header(await self._reader.readexactly(doip.HEADER_BYTES))
        message = doip.parse(payload_type, await self._reader.readexactly(length))
        if isinstance(message, doip.AliveCheckRequest):
            self._send(doip.AliveCheckResponse(self._source))
        return message

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._next())
        except asyncio.IncompleteReadError:
            self.break_off("the vehicle closed the connection")
        except OSError as error:
            self.break_off(str(error) or type(error).__name__)
        except doip.BadMessage as bad:
            self.break_off(str(bad), quoted(bad.raw) if bad.raw else "")

    def _take(self, message: Any) -> None:
        if isinstance(message, doip.GenericNack):
            reason = doip.code_name("GenericDoIPNegativeAcknowledge.NackCodes", int(message.nack_code))
            raise doip.BadMessage(f"the vehicle refused a message: {reason}")
        if isinstance(message, doip.DiagnosticMessage):
            self._put(Frame(message.source_address, bytes(message.user_data)))
        elif isinstance(message, doip.DiagnosticAck):
            self._put(self._acknowledgement(message.source_address, 0))
        elif isinstance(message, doip.DiagnosticNack):
            self._put(self._acknowledgement(message.source_address, int(message._nack_code)))

    def _acknowledgement(self, ecu: int, nack: int) -> Frame:
        """It comes from the address that was written to (ISO 13400-2, Tables 23 and 25)."""
        waiting = self._unacknowledged.pop(ecu, deque())
        number = waiting.popleft() if waiting else 0
        if waiting:
            self._unacknowledged[ecu] = waiting
        return Frame(ecu, nack=nack, acknowledges=number)

    def _put(self, frame: Frame) -> None:
        """What nobody asked for is nobody's: it would only fill the memory."""
        inbox = self._for_all or self._inboxes.get(frame.ecu)
        if inbox is None:
            return
        if inbox.qsize() >= _MOST_UNREAD:
            raise doip.BadMessage(f"ECU 0x{frame.ecu:X} sends more than anybody asked for")
        inbox.put_nowait(frame)

    async def _keep_alive(self) -> None:
        """An unsolicited alive check response keeps a connection open (ISO 13400-2, 9.4)."""
        while True:
            await asyncio.sleep(_KEEP_ALIVE_SECONDS)
            self._send(doip.AliveCheckResponse(self._source))


async def connect(
    host: str, port: int, source: int, activation_type: int, version: int = doip.VERSION
) -> EntityConnection:
    """Connected, with routing activated. Raises Unreachable."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise Unreachable(f"{host}:{port} does not answer within {_CONNECT_SECONDS:g} s") from None
    except OSError as error:
        raise Unreachable(f"{host}:{port}: {error.strerror or error}") from None
    _keep_watch(writer)
    connection = EntityConnection(reader, writer, source, version)
    try:
        await connection.activate(activation_type)
    except BaseException:
        writer.transport.abort()
        raise
    connection.start()
    return connection


def _keep_watch(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    for name, level, value in _SOCKET_OPTIONS:
        if hasattr(socket, name):  # not every system has each
            sock.setsockopt(level, getattr(socket, name), value)
