"""Takes commands and requests of the command service off RabbitMQ."""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto

from google.protobuf.message import DecodeError

from service_kit.logging import command_context, get_logger
from service_kit.messaging.port import Consumer, IncomingMessage, Messaging
from service_kit.tracing import ActiveSpan, SpanKind, start_sampled, trace_id_of
from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector import metrics
from vehicle_connector.command_service_stream import CommandServiceStream, NotAttached
from vehicle_connector.executor import Executor

_log = get_logger(__name__)

# A connector_id is new at each start: its queues go when it is gone.
_QUEUE_EXPIRES_MS = 300_000
_CONTROL_PREFETCH = 100
_LONGEST_ID = 36  # of a UUID
# The command service has never heard of the command: whoever published it, it was not the command service.
_UNKNOWN = "unknown"


class _Settlement(Enum):
    ACK = auto()
    REQUEUE = auto()
    # To the dead letters: handling it failed here, which is logged …
    FAILED = auto()
    # … or it is not the command service's.
    FOREIGN = auto()


_GRANTED = metrics.CLAIMS.labels("granted")

Supersede = Callable[[str, int], None]


class Dispatcher:
    """Claims each command before its vehicle sees it. A message is settled once all its claims are answered."""

    def __init__(
        self, messaging: Messaging, stream: CommandServiceStream, executor: Executor, supersede: Supersede
    ) -> None:
        self._messaging = messaging
        self._stream = stream
        self._executor = executor
        self._supersede = supersede
        self._commands: Consumer | None = None
        self._control: Consumer | None = None

    async def start(self, connector_id: str, prefetch: int) -> None:
        control, commands = f"control.{connector_id}", f"connector.{connector_id}"
        self._control = await self._messaging.consume(
            control, [control], self._on_control, prefetch=_CONTROL_PREFETCH, expires_ms=_QUEUE_EXPIRES_MS
        )
        self._commands = await self._messaging.consume(
            commands, [commands], self._on_commands, prefetch=prefetch, expires_ms=_QUEUE_EXPIRES_MS
        )

    async def stop_commands(self) -> None:
        """Returns when every claim that is on its way is answered."""
        if self._commands is not None:
            await self._commands.stop()

    async def stop_control(self) -> None:
        if self._control is not None:
            await self._control.stop()

    async def _on_commands(self, message: IncomingMessage) -> None:
        dispatched = _parse_commands(message.body)
        if not dispatched:
            await _reject(message, "commands")
            return
        spans = [_span_of(each) for each in dispatched]
        claims = [self._stream.claim(_claim_of(each)) for each in dispatched]
        answers = await asyncio.gather(*claims, return_exceptions=True)
        settlements = {self._settle(*facts) for facts in zip(dispatched, answers, spans, strict=True)}
        if settlements == {_Settlement.ACK}:
            await message.ack()
        elif _Settlement.REQUEUE in settlements:
            await message.requeue()
        elif _Settlement.FOREIGN in settlements:
            await _reject(message, "commands")
        else:
            await message.reject()

    def _settle(
        self, dispatched: wire.DispatchedCommand, answer: wire.ClaimAnswer | BaseException, span: ActiveSpan | None
    ) -> _Settlement:
        """What becomes of the message, as far as this command is concerned."""
        if isinstance(answer, NotAttached):  # the connector stops
            return _Settlement.REQUEUE
        try:
            if isinstance(answer, BaseException):
                raise answer
            return self._act_upon(dispatched, answer, span)
        except Exception as error:
            with command_context(dispatched.command_id, dispatched.traceparent):
                _log.error("command_not_handled", exc_info=error)
            return _Settlement.FAILED

    def _act_upon(
        self, dispatched: wire.DispatchedCommand, answer: wire.ClaimAnswer, span: ActiveSpan | None
    ) -> _Settlement:
        if answer.granted:
            _GRANTED.inc()
            self._executor.hand_over(dispatched, answer.attempt, span, expires_in_ms=answer.expires_in_ms)
            return _Settlement.ACK
        metrics.CLAIMS.labels(answer.refusal).inc()
        if span is not None:
            span.set(refusal=answer.refusal)
            span.end()
        return _Settlement.FOREIGN if answer.refusal == _UNKNOWN else _Settlement.ACK

    async def _on_control(self, message: IncomingMessage) -> None:
        control = _parse_control(message.body)
        if control is None:
            await _reject(message, "control")
        elif control.HasField("cancel"):
            self._executor.cancel(control.cancel.command_id, control.cancel.attempt)
            await message.ack()
        else:
            self._supersede(control.superseded.vehicle_id, control.superseded.session_epoch)
            await message.ack()


def _parse_commands(body: bytes) -> Sequence[wire.DispatchedCommand]:
    """Empty when one of them is not whole: such a body is not the command service's."""
    try:
        commands = wire.DispatchedCommands.FromString(body).commands
    except DecodeError:
        return []
    return commands if all(map(_is_whole, commands)) else []


def _is_whole(command: wire.DispatchedCommand) -> bool:
    return bool(
        _is_id(command.command_id) and _is_id(command.vehicle_id) and command.command_name and command.timeout_ms
    )


def _parse_control(body: bytes) -> wire.ControlMessage | None:
    try:
        control = wire.ControlMessage.FromString(body)
    except DecodeError:
        return None
    subject = control.superseded.vehicle_id if control.HasField("superseded") else control.cancel.command_id
    return control if _is_id(subject) else None


def _is_id(text: str) -> bool:
    """Fit to be remembered; whether there is such a thing the command service knows."""
    return 0 < len(text) <= _LONGEST_ID


async def _reject(message: IncomingMessage, queue: str) -> None:
    traceparent = message.headers.get("traceparent")
    known = {"trace_id": trace_id_of(traceparent)} if traceparent else {}
    _log.error("malformed_message", queue=queue, size=len(message.body), **known)
    await message.reject()


def _claim_of(dispatched: wire.DispatchedCommand) -> wire.Claim:
    return wire.Claim(
        command_id=dispatched.command_id,
        dispatch_number=dispatched.dispatch_number,
        vehicle_id=dispatched.vehicle_id,
        session_epoch=dispatched.session_epoch,
    )


def _span_of(dispatched: wire.DispatchedCommand) -> ActiveSpan | None:
    """From the delivery to the outcome."""
    return start_sampled(
        "connector.execute",
        dispatched.traceparent,
        SpanKind.CONSUMER,
        command_id=dispatched.command_id,
        command_name=dispatched.command_name,
        vehicle_id=dispatched.vehicle_id,
    )
