"""A simulated vehicle's DoIP entity (ISO 13400-2): the gateway to its ECUs, on one TCP and one UDP port."""

import asyncio
import struct
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast
from zlib import crc32

from service_kit.uds import FUNCTIONAL_DOIP
from vehicle_simulator.doip import messages as doip
from vehicle_simulator.doip.answers import Answers, Reply
from vehicle_simulator.doip.messages import PayloadType
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import ECU_TYPES
from vehicle_simulator.faults import FaultScript

LOGICAL_ADDRESS = 0x1000
_MAX_SOCKETS = 8
_TESTERS = range(0x0E00, 0x1000)
_ALIVE_CHECK_SECONDS = 0.5
_ANNOUNCEMENTS = 3
_ANNOUNCE_SECONDS = 0.5
_PORT_TRIES = 20
# Routing activation response codes (Table 49).
_UNKNOWN_SOURCE, _NO_SOCKET_LEFT, _OTHER_SOURCE, _SOURCE_ACTIVE, _UNSUPPORTED_TYPE, _ACTIVATED = 0, 1, 2, 3, 6, 0x10


class DoipEntity:
    """`announce_to`: the address (and port) that hears of it at its start; None: nobody. `versions` of the protocol are
    understood, and the last of them is spoken."""

    def __init__(
        self,
        vin: str,
        servers: UdsServers,
        faults: FaultScript,
        *,
        latency_s: float = 0.0,
        announce_to: tuple[str, int] | None = None,
        versions: Sequence[int] = (0x01, 0x03, 0x02),
    ) -> None:
        self.versions = versions
        # Gateways know only some of those that there could be.
        self.functional_addresses = FUNCTIONAL_DOIP
        self.vin = vin
        self.host, self.port = "", 0
        self._eid = b"\x02\x00" + crc32(vin.encode()).to_bytes(4, "big")
        self._servers = servers
        self._answers = Answers(vin, servers, faults, latency_s)
        self.announce_to = announce_to
        self._tcp: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._connections: set[_Connection] = set()
        self._testers: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._connections)

    @property
    def identification(self) -> bytes:
        return doip.of_version(doip.identification(self.vin, LOGICAL_ADDRESS, self._eid), self.versions[-1])

    async def start(self, host: str, port: int) -> None:
        """Listens on TCP and UDP with the same port; 0: a free one, kept from then on."""
        for _ in range(_PORT_TRIES):
            self._tcp = await asyncio.start_server(self._accept, host, port)
            self.host, self.port = host, self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, self.port), allow_broadcast=True
                )
                break
            except OSError:
                self._tcp.close()
                if port:
                    raise
        if self.announce_to is not None:
            self._background(self._announce(self.announce_to))

    async def stop(self) -> None:
        """Every connection breaks; what ECUs are at goes unanswered."""
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._answers.forget_all()
        await self._stop_listening()

    async def restart(self, seconds: float = 0.0) -> None:
        """As after a loss of power; it is back after that time."""
        await self.stop()
        self._servers.restart()
        await asyncio.sleep(seconds)
        await self.start(self.host, self.port)

    async def _stop_listening(self) -> None:
        tcp, udp = self._tcp, self._udp
        self._tcp = self._udp = None
        if udp is not None:
            udp.close()
        if tcp is not None:
            tcp.close()
        for connection in self._connections:
            connection.abort()
        if handlers := {connection.handler for connection in self._connections} - {asyncio.current_task()}:
            await asyncio.wait(handlers)

    # --- UDP

    def answer_datagram(self, data: bytes) -> bytes | None:
        try:
            header = data[: doip.HEADER_BYTES]
            payload_type, length = doip.parse_header(header, any_version=True, versions=self.versions)
        except (doip.BadHeader, struct.error):
            return doip.generic_nack(doip.GenericNack.INCORRECT_PATTERN)
        payload = data[doip.HEADER_BYTES :]
        if len(payload) != length:
            return doip.generic_nack(doip.GenericNack.INVALID_LENGTH)
        if payload_type == PayloadType.ENTITY_STATUS_REQUEST:
            return doip.entity_status(_MAX_SOCKETS, len(self._connections))
        if payload_type == PayloadType.POWER_MODE_REQUEST:
            return doip.message(PayloadType.POWER_MODE_RESPONSE, b"\x01")
        wanted = {
            PayloadType.IDENTIFICATION_REQUEST: b"",
            PayloadType.IDENTIFICATION_REQUEST_EID: self._eid,
            PayloadType.IDENTIFICATION_REQUEST_VIN: self.vin.encode(),
        }
        if payload_type in wanted:
            return self.identification if wanted[PayloadType(payload_type)] == payload else None
        return doip.generic_nack(doip.GenericNack.UNKNOWN_PAYLOAD_TYPE)

    async def _announce(self, address: tuple[str, int]) -> None:
        for _ in range(_ANNOUNCEMENTS):
            if self._udp is not None:
                self._udp.sendto(self.identification, address)
            await asyncio.sleep(_ANNOUNCE_SECONDS)

    # --- TCP

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self.versions)
        self._connections.add(connection)
        try:
            while await self._take(connection):
                pass
        except doip.BadHeader as bad:
            connection.send(doip.generic_nack(bad.code))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(connection)
            if connection.tester is not None and self._testers.get(connection.tester) is connection:
                del self._testers[connection.tester]
            with suppress(OSError):
                writer.close()

    async def _take(self, connection: "_Connection") -> bool:
        """Reads and acts upon one message; False: this connection is not wanted any more."""
        payload_type, payload = await connection.read()
        if payload_type == PayloadType.ROUTING_ACTIVATION_REQUEST:
            return await self._activate(connection, payload)
        if payload_type == PayloadType.DIAGNOSTIC_MESSAGE:
            return self._diagnose(connection, doip.parse_diagnostic(payload))
        if payload_type == PayloadType.ALIVE_CHECK_RESPONSE:
            connection.alive.set()
        else:
            connection.send(doip.generic_nack(doip.GenericNack.UNKNOWN_PAYLOAD_TYPE))
        return True

    async def _activate(self, connection: "_Connection", payload: bytes) -> bool:
        if len(payload) not in (7, 11):
            raise doip.BadHeader(doip.GenericNack.INVALID_LENGTH)
        tester, activation_type = struct.unpack_from("!HB", payload)
        code = await self._activation_code(connection, tester, activation_type)
        connection.send(doip.routing_activation_response(tester, LOGICAL_ADDRESS, code))
        if code == _ACTIVATED:
            connection.tester = tester
            self._testers[tester] = connection
        return code == _ACTIVATED

    async def _activation_code(self, connection: "_Connection", tester: int, activation_type: int) -> int:
        if tester not in _TESTERS:
            return _UNKNOWN_SOURCE
        if activation_type not in (0, 1):
            return _UNSUPPORTED_TYPE
        if connection.tester not in (None, tester):
            return _OTHER_SOURCE
        if len(self._connections) > _MAX_SOCKETS:
            return _NO_SOCKET_LEFT
        other = self._testers.get(tester)
        if other is None or other is connection:
            return _ACTIVATED
        if await other.is_alive():
            return _SOURCE_ACTIVE
        other.abort()
        return _ACTIVATED

    def _diagnose(self, connection: "_Connection", asked: doip.Diagnostic) -> bool:
        if connection.tester is None or asked.source != connection.tester:
            connection.send(doip.diagnostic_nack(asked, doip.DiagnosticNack.INVALID_SOURCE_ADDRESS))
            return False
        if asked.target in self.functional_addresses:
            targets = self._servers.addresses()
        elif asked.target in ECU_TYPES:
            targets = [asked.target]
        else:
            connection.send(doip.diagnostic_nack(asked, doip.DiagnosticNack.UNKNOWN_TARGET_ADDRESS))
            return True
        connection.send(doip.diagnostic_ack(asked))
        functional = asked.target in self.functional_addresses
        for target in targets:
            self._answers.enqueue(target, asked.data, functional, self._reply_to(asked.source, target))
        return True

    def _reply_to(self, tester: int, ecu: int) -> Reply:
        def send(answer: bytes) -> None:
            """To the connection that the tester has by then, as gateways route."""
            if (connection := self._testers.get(tester)) is not None:
                connection.send(doip.diagnostic(ecu, tester, answer))

        return Reply(send, self._disconnect, self._restart_soon)

    def _disconnect(self, seconds: float) -> None:
        """What ECUs are at goes on; for that time nobody is let in."""
        self._background(self._away(seconds))

    def _restart_soon(self, seconds: float) -> None:
        self._background(self.restart(seconds))

    async def _away(self, seconds: float) -> None:
        await self._stop_listening()
        await asyncio.sleep(seconds)
        await self.start(self.host, self.port)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection:
    """One TCP connection of a tester."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, versions: Sequence[int]) -> None:
        self._versions = versions
        self.tester: int | None = None
        self.handler = cast("asyncio.Task[None]", asyncio.current_task())
        self.alive = asyncio.Event()
        self._reader = reader
        self._writer = writer

    async def read(self) -> tuple[int, bytes]:
        header = await self._reader.readexactly(doip.HEADER_BYTES)
        payload_type, length = doip.parse_header(header, versions=self._versions)
        return payload_type, await self._reader.readexactly(length)

    def send(self, message: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(doip.of_version(message, self._versions[-1]))

    async def is_alive(self) -> bool:
        self.alive.clear()
        self.send(doip.message(PayloadType.ALIVE_CHECK_REQUEST))
        try:
            async with asyncio.timeout(_ALIVE_CHECK_SECONDS):
                await self.alive.wait()
        except TimeoutError:
            return False
        return True

    def abort(self) -> None:
        self._writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, entity: DoipEntity) -> None:
        self._entity = entity
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._entity.answer_datagram(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
