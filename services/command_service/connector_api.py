"""The stream of each vehicle connector: leases, sessions, claims and results in, the answers back.

Everything that is ready goes in one message each way. What a flush could not do (the database is away) ends the
stream: the connector keeps what it has, attaches again and presents it, and nothing is recorded twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from command_service import metrics
from command_service.domain.results import Result
from command_service.domain.vehicle import LinkKind
from command_service.grpc_mapping import (
    assignments_to_proto,
    ecu_from_proto,
    milliseconds_left,
    result_from_proto,
    sessions_to_proto,
    take_up_to_proto,
)
from command_service.use_cases.assign_vehicles import AssignVehicles
from command_service.use_cases.claim_commands import ClaimAnswer, ClaimCommands, ClaimRequest
from command_service.use_cases.limits import Limits
from command_service.use_cases.ports import Assignment
from command_service.use_cases.record_results import Acknowledgement, RecordResults
from command_service.use_cases.unreached_vehicles import NotReached, UnreachedVehicles
from command_service.use_cases.vehicle_sessions import HeldCommand, Hello, SessionEnd, SessionOpened, VehicleSessions
from service_kit.batcher import Batcher
from service_kit.errors import InvalidInput, ServiceError, Unavailable
from service_kit.logging import get_logger
from service_kit.tracing import ActiveSpan, SpanKind, start_sampled
from sovd_protos.connector.v1 import connector_pb2, connector_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context

_log = get_logger(__name__)

_RESULTS_AT_ONCE = metrics.BATCH_SIZE.labels("results")

Answer = TypeVar("Answer")
Claims = list[ClaimRequest]
Results = list[Result]


@dataclass(frozen=True, slots=True)
class Renewed:
    """Whether the lease was extended, and which vehicles the connector dials."""

    extended: bool
    assigned: list[Assignment]


class ConnectorApi(connector_pb2_grpc.ConnectorServiceServicer):
    def __init__(
        self,
        claim: ClaimCommands,
        record: RecordResults,
        sessions: VehicleSessions,
        assign: AssignVehicles,
        unreached: UnreachedVehicles,
        limits: Limits,
    ) -> None:
        self.sessions = sessions
        self.assign = assign
        self.lease_ms = int(limits.lease_seconds * 1000)
        self._claim = claim
        self._record = record
        self._unreached = unreached
        # Items are what came in one message: a future for each result would cost as much as recording it.
        self.claims: Batcher[Claims, list[ClaimAnswer]] = Batcher(self._answer_claims)
        self.results: Batcher[Results, list[Acknowledgement]] = Batcher(self._record_messages, max_items=100)
        self.hellos: Batcher[Hello, SessionOpened] = Batcher(self.sessions.open, max_items=200)
        self.absences: Batcher[SessionEnd | NotReached, None] = Batcher(self._record_absences)
        self.renewals: Batcher[tuple[str, bool], Renewed] = Batcher(self._renew_leases)

    async def Attach(  # noqa: N802
        self, request_iterator: AsyncIterator[connector_pb2.FromConnector], context: "Context"
    ) -> AsyncIterator[connector_pb2.ToConnector]:
        first = await anext(aiter(request_iterator), None)
        if first is None or not first.registration.connector_id:
            raise InvalidInput("NOT_REGISTERED", "the first message of a connector's stream is its registration")
        stream = _ConnectorStream(self, first.registration.connector_id)
        yield connector_pb2.ToConnector(registered=await stream.register(first.registration))
        _log.info("connector_attached", connector_id=stream.connector_id, address=first.registration.address)
        reader = asyncio.create_task(stream.read(request_iterator))
        try:
            while (message := await stream.next_message()) is not None:
                yield message
        finally:
            reader.cancel()
            stream.end()
            _log.info("connector_detached", connector_id=stream.connector_id)

    async def drain(self) -> None:
        for batcher in (self.claims, self.results, self.hellos, self.absences, self.renewals):
            await batcher.drain()

    async def _answer_claims(self, messages: Sequence[Claims]) -> list[list[ClaimAnswer]]:
        answers = iter(await self._claim([claim for message in messages for claim in message]))
        return [[next(answers) for _ in message] for message in messages]

    async def _record_messages(self, messages: Sequence[Results]) -> list[list[Acknowledgement]]:
        acks = iter(await self._record_results([result for message in messages for result in message]))
        return [[next(acks) for _ in message] for message in messages]

    async def _record_results(self, results: Sequence[Result]) -> Sequence[Acknowledgement]:
        """A result that cannot be stored must not keep its batch from being recorded, and be sent for ever: it is
        dropped, and the attempt ends as one of which nothing more is heard."""
        try:
            return await self._record(results)
        except InvalidInput as error:
            if len(results) == 1:
                (lost,) = results
                _log.error("result_dropped", command_id=lost.command_id, attempt=lost.attempt, reason=error.code)
                return [Acknowledgement(lost.command_id, lost.attempt, lost.number, closed=True)]
        return [ack for result in results for ack in await self._record_results([result])]

    async def _renew_leases(self, renewals: Sequence[tuple[str, bool]]) -> list[Renewed]:
        extended = await self.sessions.renew_leases(renewals)
        assigned = await self.assign.of_connectors({connector_id for connector_id, _ in renewals})
        return [
            Renewed(is_extended, assigned.get(connector_id, []))
            for (connector_id, _), is_extended in zip(renewals, extended, strict=True)
        ]

    async def _record_absences(self, absences: Sequence[SessionEnd | NotReached]) -> list[None]:
        """Ends first: a vehicle is dialled in vain only after its session has ended, and while it has one that is not
        believed."""
        if ends := [absence for absence in absences if isinstance(absence, SessionEnd)]:
            await self.sessions.close(ends)
        if not_reached := [absence for absence in absences if isinstance(absence, NotReached)]:
            await self._unreached(not_reached)
        return [None] * len(absences)


class _ConnectorStream:
    """One attached stream: hands what comes in to the batchers, and collects their answers into the next message."""

    def __init__(self, api: ConnectorApi, connector_id: str) -> None:
        self.connector_id = connector_id
        self._api = api
        self._changed = asyncio.Event()
        self._ended = False
        self._failure: BaseException | None = None
        self._assigned: list[Assignment] | None = None
        self._assignments: connector_pb2.Assignments | None = None
        self._lease: connector_pb2.LeaseGranted | None = None
        self._claim_answers: list[connector_pb2.ClaimAnswer] = []
        self._superseded: list[connector_pb2.OpenSession] = []
        self._session_answers: list[connector_pb2.SessionAnswer] = []
        # The latest acknowledgement of an attempt says it all.
        self._acks: dict[tuple[str, int], Acknowledgement] = {}
        self._seen: set[asyncio.Task[None]] = set()

    async def register(self, registration: connector_pb2.Registration) -> connector_pb2.Registered:
        take_ups, superseded = await self._api.sessions.register_connector(
            self.connector_id,
            registration.address,
            [(session.vehicle_id, session.session_epoch) for session in registration.sessions],
            [HeldCommand(command.command_id, command.attempt) for command in registration.commands],
        )
        assigned = await self._api.assign.of_connectors([self.connector_id])
        self._assign(assigned.get(self.connector_id, []))
        return connector_pb2.Registered(
            lease_ms=self._api.lease_ms,
            take_ups=[take_up_to_proto(take_up) for take_up in take_ups],
            superseded=sessions_to_proto(superseded),
        )

    async def read(self, messages: AsyncIterator[connector_pb2.FromConnector]) -> None:
        try:
            async for message in messages:
                self._take_in(message)
        except Exception as error:
            self._fail(error)
        self.end()

    def end(self) -> None:
        """Nothing more is sent."""
        self._ended = True
        self._changed.set()

    async def next_message(self) -> connector_pb2.ToConnector | None:
        """All answers that are ready; None when the connector has ended the stream. Raises what a flush raised."""
        await self._changed.wait()
        self._changed.clear()
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return None
        message = connector_pb2.ToConnector(
            lease_granted=self._lease,
            assignments=self._assignments,
            superseded=self._superseded,
            session_answers=self._session_answers,
            claim_answers=self._claim_answers,
            result_acks=[
                connector_pb2.ResultAck(
                    command_id=ack.command_id, attempt=ack.attempt, number=ack.number, closed=ack.closed
                )
                for ack in self._acks.values()
            ],
        )
        self._lease = self._assignments = None
        self._session_answers, self._claim_answers, self._acks, self._superseded = [], [], {}, []
        return message

    def _take_in(self, message: connector_pb2.FromConnector) -> None:
        if message.HasField("lease_renewal"):
            self._renew(message.lease_renewal)
        # Ends before openings: a vehicle that left and came back within one message is there.
        for closed in message.sessions_closed:
            end = SessionEnd(self.connector_id, closed.vehicle_id, closed.session_epoch)
            self._watch(self._api.absences.enqueue(end))
        for absent in message.vehicles_not_reached:
            not_reached = NotReached(self.connector_id, absent.vehicle_id, absent.reason)
            self._watch(self._api.absences.enqueue(not_reached))
        for opened in message.sessions_opened:
            self._open(opened)
        if message.sessions_seen:
            self._touch(message.sessions_seen)
        if message.claims:
            self._claim(message.claims)
        if message.results:
            self._record(message.results)

    def _renew(self, renewal: connector_pb2.LeaseRenewal) -> None:
        def granted(renewed: Renewed) -> None:
            self._assign(renewed.assigned)
            if renewed.extended:
                self._lease = connector_pb2.LeaseGranted(nonce=renewal.nonce, lease_ms=self._api.lease_ms)
            else:
                self._fail(Unavailable("LEASE_LAPSED", "the lease lapsed; register again"))

        self._watch(self._api.renewals.enqueue((self.connector_id, renewal.draining)), granted)

    def _assign(self, assigned: list[Assignment]) -> None:
        """Said again only when it has changed: it is the whole list."""
        if assigned != self._assigned:
            self._assigned = assigned
            self._assignments = assignments_to_proto(assigned)
            self._changed.set()

    def _open(self, opened: connector_pb2.SessionOpened) -> None:
        hello = Hello(
            self.connector_id,
            opened.vin,
            [ecu_from_proto(ecu) for ecu in opened.ecus],
            [HeldCommand(held.command_id, held.attempt) for held in opened.held],
            opened.link_kind or LinkKind.SESSION,
            opened.certificate_fingerprint,
        )

        def answered(future: "asyncio.Future[SessionOpened]") -> None:
            error = _error_of(future)
            if isinstance(error, ServiceError) and not isinstance(error, Unavailable):
                answer = connector_pb2.SessionAnswer(error_code=error.code, error_message=error.message)
            elif error is not None:
                self._fail(error)
                return
            else:
                session = future.result()
                if self._ended or self._failure is not None:  # the connector never hears of it
                    end = SessionEnd(self.connector_id, session.vehicle_id, session.session_epoch)
                    self._watch(self._api.absences.enqueue(end))
                    return
                answer = connector_pb2.SessionAnswer(
                    vehicle_id=session.vehicle_id,
                    session_epoch=session.session_epoch,
                    take_ups=[take_up_to_proto(take_up) for take_up in session.take_ups],
                )
            answer.request_id = opened.request_id
            self._session_answers.append(answer)
            self._changed.set()

        self._api.hellos.enqueue(hello).add_done_callback(answered)

    def _touch(self, seen: Sequence[connector_pb2.SessionSeen]) -> None:
        async def touch() -> None:
            try:
                superseded = await self._api.sessions.seen([(one.vehicle_id, one.session_epoch) for one in seen])
            except Unavailable as error:
                self._fail(error)
                return
            if superseded:
                self._superseded += sessions_to_proto(superseded)
                self._changed.set()

        task = asyncio.create_task(touch())
        self._seen.add(task)
        task.add_done_callback(self._seen.discard)

    def _claim(self, claims: Sequence[connector_pb2.Claim]) -> None:
        def answered(answers: list[ClaimAnswer]) -> None:
            self._claim_answers += [
                connector_pb2.ClaimAnswer(
                    command_id=answer.request.command_id,
                    dispatch_number=answer.request.dispatch_number,
                    granted=answer.refusal is None,
                    attempt=answer.attempt,
                    refusal=answer.refusal or "",
                    expires_in_ms=milliseconds_left(answer.expires_in),
                )
                for answer in answers
            ]

        requests = [
            ClaimRequest(claim.command_id, claim.dispatch_number, claim.session_epoch, self.connector_id)
            for claim in claims
        ]
        self._watch(self._api.claims.enqueue(requests), answered)

    def _record(self, results: Sequence[connector_pb2.Result]) -> None:
        now, spans = datetime.now(UTC), _spans_of(results)
        _RESULTS_AT_ONCE.observe(len(results))

        def recorded(acks: list[Acknowledgement]) -> None:
            for ack in acks:
                self._acks[ack.command_id, ack.attempt] = ack

        incoming = []
        for result in results:
            span = spans.get(result.traceparent)
            traceparent = result.traceparent if span is None else span.traceparent
            incoming.append(result_from_proto(result, self.connector_id, now, traceparent))
        future = self._api.results.enqueue(incoming)
        self._watch(future, recorded)
        for span in spans.values():
            future.add_done_callback(partial(_end_span, span))

    def _watch(self, future: "asyncio.Future[Answer]", answered: "Callable[[Answer], object] | None" = None) -> None:
        """Calls `answered` with the answer and sends what it left; a failure ends the stream."""

        def done(future: "asyncio.Future[Answer]") -> None:
            error = _error_of(future)
            if error is not None:
                self._fail(error)
            elif answered is not None:
                answered(future.result())
                self._changed.set()

        future.add_done_callback(done)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._changed.set()


def _spans_of(results: Sequence[connector_pb2.Result]) -> dict[str, ActiveSpan]:
    """By the traceparent they came with: one for all results of an attempt that came together."""
    sampled = {result.traceparent: result for result in results if result.traceparent}
    if not sampled:
        return {}
    counted = Counter(result.traceparent for result in results)
    spans = {
        traceparent: start_sampled(
            "result.record",
            traceparent,
            SpanKind.SERVER,
            command_id=result.command_id,
            attempt=result.attempt,
            results=counted[traceparent],
        )
        for traceparent, result in sampled.items()
    }
    return {traceparent: span for traceparent, span in spans.items() if span is not None}


def _end_span(span: ActiveSpan, future: "asyncio.Future[list[Acknowledgement]]") -> None:
    span.end(_error_of(future))


def _error_of(future: "asyncio.Future[Answer]") -> BaseException | None:
    return Unavailable("STOPPING", "the command service is stopping") if future.cancelled() else future.exception()
