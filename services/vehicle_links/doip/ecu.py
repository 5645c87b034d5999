"""One ECU behind a DoIP entity, one request at a time (ISO 14229-1, 14229-2).

What keeps an outcome truthful:
- `begin` and the write have no await between them; after the write an answer comes or the fate is unknown.
- An answer counts only after the entity's acknowledgement of its own request. What came before belongs to an earlier
  one.
- After an exchange that did not end as it should, after all ECUs were asked at once (it may be late), and on a new
  connection (an entity may route an old answer to it), a tester present is asked and awaited before anything else: an
  ECU answers in order.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from udsoncan.services.Authentication import Authentication
from udsoncan.services.DiagnosticSessionControl import DiagnosticSessionControl
from udsoncan.services.SecurityAccess import SecurityAccess
from udsoncan.services.TesterPresent import TesterPresent

from service_kit.logging import get_logger
from service_kit.uds import RESPONSE_PENDING, nrc_name
from vehicle_links.dialled import CommandFailed, Execution, FateUnknown, NotSent, Stopped, TimedOut
from vehicle_links.doip.decoding import BadAnswer
from vehicle_links.doip.descriptions import RAW, Description, Descriptions, NoDescriptions
from vehicle_links.doip.entity import ACK_SECONDS, ConnectionLost, EntityConnection, Frame, NotRouted
from vehicle_links.doip.security import Security

_log = get_logger(__name__)

NEGATIVE = 0x7F
BUSY_REPEAT_REQUEST = 0x21
_SECURITY_ACCESS_DENIED = 0x33
_AUTHENTICATION_REQUIRED = 0x34
_NOT_IN_THIS_SESSION = (0x7E, 0x7F)
_TRANSPORT_PROTOCOL_ERROR = 0x08

_EXTENDED_SESSION: int = DiagnosticSessionControl.Session.extendedDiagnosticSession
TESTER_PRESENT = bytes((TesterPresent.request_id(), 0x00))
_TESTER_PRESENT_UNANSWERED = bytes((TesterPresent.request_id(), 0x80))
# S3 of a server is 5 s.
_TESTER_PRESENT_SECONDS = 2.0
# How long an ECU may say nothing at all, not even that it is busy, before it counts as not there.
_SILENCE_SECONDS = 5.0
# Of a command's timeout: what is left when an ECU turns out not to be there.
_PATIENCE = 0.8
_BUSY_SECONDS = 0.1
# A session that nobody needed for so long is left.
_SESSION_SECONDS = 30.0

# How many bytes of a request its answer repeats: sub-function or identifier.
_REPEATED_BYTES = {0x10: 1, 0x11: 1, 0x19: 1, 0x22: 2, 0x27: 1, 0x29: 1, 0x2E: 2, 0x31: 3, 0x3E: 1}


class Negative(CommandFailed):
    """The ECU refused (ISO 14229-1 Annex A)."""

    def __init__(self, nrc: int, message: str = "") -> None:
        super().__init__("NEGATIVE_RESPONSE", message or nrc_text(nrc), nrc)


class EcuSession:
    """How one ECU is spoken to over one connection."""

    def __init__(
        self,
        connection: EntityConnection,
        address: int,
        security: Security,
        descriptions: Descriptions | None = None,
    ) -> None:
        self.address = address
        # Bytes of data by identifier, as far as they are known.
        self.data_sizes: dict[int, int] = {}
        self._connection = connection
        self._security = security
        self._descriptions = descriptions or NoDescriptions()
        self._described: tuple[int, Description] = (0, RAW)
        self._inbox = connection.inbox(address)
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._in_doubt = True
        self._session_until = 0.0
        self._keeper: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    async def ask(self, execution: Execution, request: bytes) -> bytes:
        """The positive answer. Session and security are seen to when the ECU asks for them: what it refuses it has not
        done, so it is asked again. Raises what links raise (see dialled.py)."""
        async with self._turn():
            try:
                return await self._insist(execution, request)
            finally:
                if self._in_session:
                    self._session_until = time.monotonic() + _SESSION_SECONDS

    @asynccontextmanager
    async def asked_with_all(self) -> AsyncIterator[None]:
        """Nobody asks it alone meanwhile. What comes after that may be its late answer."""
        async with self._turn():
            try:
                yield
            finally:
                self._in_doubt = True

    async def settled(self, execution: Execution) -> bool:
        """Whether it has said all that it had to say to earlier requests: it is asked and waited for. Raises
        ConnectionLost."""
        self._forget_unread()
        try:
            if self._in_doubt:
                await self._clear_doubt(execution.seconds_left * _PATIENCE)
        except CommandFailed:
            return False
        return True

    async def description(self, execution: Execution) -> Description:
        """What is known of the ECU beyond ISO 14229; it may have to be asked what it is."""
        generation = self._descriptions.generation
        if self._described[0] != generation:

            async def ask(request: bytes) -> bytes:
                try:
                    return await self.ask(execution, request)
                except Negative as negative:
                    return bytes((NEGATIVE, request[0], negative.nrc))

            found = await self._descriptions.of_ecu(self._security.vin, self.address, ask)
            self._described = generation, found
        return self._described[1]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One request at a time; who still waits for a late answer makes room."""
        self._waiting += 1
        self._wanted.set()
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted.clear()
        try:
            yield
        finally:
            self._lock.release()

    # --- one request, with what it takes

    async def _insist(self, execution: Execution, request: bytes) -> bytes:
        tried: set[int] = set()
        while True:
            try:
                return await self._exchange(execution, request)
            except Negative as negative:
                remedy, first = self._remedy(negative.nrc), negative.message
                if remedy is None or (negative.nrc in tried and negative.nrc != BUSY_REPEAT_REQUEST):
                    raise
                tried.add(negative.nrc)
            try:
                await remedy(execution)
            except Negative as refused:
                raise Negative(refused.nrc, f"{first}; then {refused.message}") from None
            except FateUnknown as unknown:
                if execution.command.repeatable:
                    raise
                raise CommandFailed(
                    "VEHICLE_CONNECTION_LOST", f"{unknown}, before the request itself was accepted"
                ) from None

    def _remedy(self, nrc: int) -> Callable[[Execution], Awaitable[None]] | None:
        if nrc == BUSY_REPEAT_REQUEST:
            return self._wait_a_little
        if nrc in _NOT_IN_THIS_SESSION:
            return self._enter_session
        if nrc == _SECURITY_ACCESS_DENIED and self._security.seed_key is not None:
            return self._unlock
        if nrc == _AUTHENTICATION_REQUIRED and self._security.authenticate is not None:
            return self._authenticate
        return None

    async def _wait_a_little(self, execution: Execution) -> None:
        await asyncio.sleep(_BUSY_SECONDS)
        if execution.seconds_left <= 0:
            raise TimedOut

    async def _enter_session(self, execution: Execution) -> None:
        request = bytes((DiagnosticSessionControl.request_id(), _EXTENDED_SESSION))
        await self._step(execution, "the extended session", request)
        self._session_until = time.monotonic() + _SESSION_SECONDS
        self.close()
        self._keeper = asyncio.create_task(self._keep_session())

    async def _unlock(self, execution: Execution) -> None:
        """0x27: seed and key. A seed of zeros: it is unlocked already."""
        service, level = SecurityAccess.request_id(), self._security.level
        answer = await self._step_in_session(execution, "the seed", bytes((service, level)))
        seed = answer[2:]
        if any(seed):
            key = await self._security.key(seed, self.address)
            await self._step(execution, "the key", bytes((service, level + 1)) + key)

    async def _authenticate(self, execution: Execution) -> None:
        """0x29, by whatever the operator plugged in."""

        async def ask(parameters: bytes) -> bytes:
            request = bytes((Authentication.request_id(),)) + parameters
            return (await self._step_in_session(execution, "the authentication", request))[1:]

        await self._security.unlock(ask, self.address)

    async def _step_in_session(self, execution: Execution, name: str, request: bytes) -> bytes:
        """For what ECUs as a rule do not offer in the default session, where they may have refused the request."""
        try:
            return await self._step(execution, name, request)
        except Negative as negative:
            if negative.nrc not in _NOT_IN_THIS_SESSION:
                raise
        await self._enter_session(execution)
        return await self._step(execution, name, request)

    async def _step(self, execution: Execution, name: str, request: bytes) -> bytes:
        """A refusal says of what it is: it is none of the command's own request."""
        try:
            return await self._exchange(execution, request)
        except Negative as negative:
            raise Negative(negative.nrc, f"{name} (0x{request[:2].hex().upper()}): {negative.message}") from None

    # --- one exchange

    async def _exchange(self, execution: Execution, request: bytes) -> bytes:
        if execution.stop_requested.is_set() and not execution.changed_something:
            raise TimedOut if execution.seconds_left <= 0 else Stopped
        try:
            self._forget_unread()
            if self._in_doubt:
                await self._clear_doubt(execution.seconds_left * _PATIENCE)
            self._connection.check()
        except ConnectionLost as lost:
            raise (lost.fate if execution.begun else NotSent()) from None
        execution.begin()
        number = self._connection.write(self.address, request)
        self._in_doubt = True
        answer = await self._await_answer(execution, request, number)
        self._in_doubt = False
        return answer

    async def _await_answer(self, execution: Execution, request: bytes, number: int) -> bytes:
        try:
            await self._acknowledged(number)
            while True:
                answer = await self._next_answer(execution)
                if is_pending(answer, request):
                    await execution.progress(RESPONSE_PENDING, nrc_name(RESPONSE_PENDING))
                elif not is_answer_or_refusal(answer, TESTER_PRESENT):
                    return self._checked(answer, request)
        except NotRouted as refused:
            if refused.code == _TRANSPORT_PROTOCOL_ERROR and not execution.command.repeatable:
                raise FateUnknown(f"the vehicle could not pass the request on whole ({refused})") from None
            self._in_doubt = False
            raise CommandFailed("ECU_NOT_REACHABLE", f"ECU 0x{self.address:X}: {refused}") from None
        except ConnectionLost as lost:
            raise lost.fate from None

    def _checked(self, answer: bytes, request: bytes) -> bytes:
        """Positive and of that request, else raises."""
        if is_refusal(answer, request):
            self._in_doubt = False
            raise Negative(answer[2])
        if not is_answer(answer, request):
            raise BadAnswer("is none to the request", answer)
        return answer

    async def _next_answer(self, execution: Execution) -> bytes:
        """The ECU's next message, for as long as the command has time and nobody wants it stopped. What cannot be
        repeated is waited for beyond that, until the ECU is wanted: it tells what came of it after all."""
        receiving = asyncio.ensure_future(self._receive_data())
        stopping = asyncio.ensure_future(execution.stop_requested.wait())
        wanted = asyncio.ensure_future(self._wanted.wait())
        waits = {receiving, stopping} if execution.command.repeatable else {receiving}
        try:
            # Timers may fire early: that one did says neither that the time is over nor that somebody asked to stop.
            while not receiving.done() and (left := execution.seconds_left) > 0:
                if stopping in waits and stopping.done():
                    raise Stopped
                await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and not execution.command.repeatable:
                await asyncio.wait({receiving, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                raise TimedOut
            return receiving.result()
        finally:
            for task in (receiving, stopping, wanted):
                task.cancel()

    async def _receive_data(self) -> bytes:
        while (frame := await self._receive()).nack is not None:
            if frame.nack:
                raise NotRouted(frame.nack)
        return frame.data

    async def _acknowledged(self, number: int) -> None:
        """What comes before the acknowledgement is of an earlier request. None at all: the connection is no good."""
        try:
            async with asyncio.timeout(ACK_SECONDS):
                while (frame := await self._receive()).acknowledges != number:
                    pass
        except TimeoutError:
            reason = f"no acknowledgement within {ACK_SECONDS:g} s"
            self._connection.break_off(reason)
            raise ConnectionLost(reason) from None
        if frame.nack:
            raise NotRouted(frame.nack)

    async def _receive(self) -> Frame:
        frame = await self._inbox.get()
        if isinstance(frame, ConnectionLost):
            self._inbox.put_nowait(frame)  # for whoever asks next
            raise frame
        return frame

    # --- doubt

    def _forget_unread(self) -> None:
        """An answer that came when nobody waited (a second time, or too late) is no answer to what comes now."""
        while not self._inbox.empty():
            frame = self._inbox.get_nowait()
            if isinstance(frame, ConnectionLost):
                self._inbox.put_nowait(frame)
                raise frame
            if frame.nack is None:
                self._in_doubt = True

    async def _clear_doubt(self, seconds: float) -> None:
        """Raises CommandFailed when the ECU does not answer within that time: it may still be at something earlier."""
        self._connection.check()
        number = self._connection.write(self.address, TESTER_PRESENT)
        patient_until = time.monotonic() + seconds
        answer = b""
        try:
            await self._acknowledged(number)
            while not is_answer_or_refusal(answer, TESTER_PRESENT):
                async with asyncio.timeout(min(_SILENCE_SECONDS, patient_until - time.monotonic())):
                    answer = await self._receive_data()
        except TimeoutError:
            message = f"ECU 0x{self.address:X} does not answer; it was not asked"
            raise CommandFailed("ECU_NOT_REACHABLE", message) from None
        except NotRouted:
            pass  # the request itself will be told the same
        self._in_doubt = False

    # --- the session

    @property
    def _in_session(self) -> bool:
        return self._keeper is not None and not self._keeper.done()

    async def _keep_session(self) -> None:
        """Tester present while the session is needed; then it is left to end by itself (S3)."""
        while time.monotonic() < self._session_until:
            await asyncio.sleep(_TESTER_PRESENT_SECONDS)
            if self._lock.locked():
                continue
            try:
                self._connection.check()
            except ConnectionLost:
                return
            self._connection.write(self.address, _TESTER_PRESENT_UNANSWERED)


def nrc_text(nrc: int) -> str:
    return f"0x{nrc:02X} {nrc_name(nrc)}"


def is_pending(answer: bytes, request: bytes) -> bool:
    return is_refusal(answer, request) and answer[2] == RESPONSE_PENDING


def is_refusal(answer: bytes, request: bytes) -> bool:
    return len(answer) == 3 and answer[0] == NEGATIVE and answer[1] == request[0]


def is_answer(answer: bytes, request: bytes) -> bool:
    """The service's positive answer, which repeats sub-function or identifier."""
    repeated = _REPEATED_BYTES.get(request[0], 0)
    return answer[:1] == bytes((request[0] + 0x40,)) and answer[1 : 1 + repeated] == request[1 : 1 + repeated]


def is_answer_or_refusal(answer: bytes, request: bytes) -> bool:
    return is_answer(answer, request) or is_refusal(answer, request)
