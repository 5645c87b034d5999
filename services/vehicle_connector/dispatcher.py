"""Takes commands and requests of the command service off RabbitMQ."""

from collections.abc import Callable

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

_GRANTED = metrics.CLAIMS.labels("granted")

Supersede = Callable[[str, int], None]


class Dispatcher:
    """Claims each command before its vehicle sees it. The message is settled once the claim is answered."""

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
            commands, [commands], self._on_command, prefetch=prefetch, expires_ms=_QUEUE_EXPIRES_MS
        )

    async def stop_commands(self) -> None:
        """Returns when every claim that is on its way is answered."""
        if self._commands is not None:
            await self._commands.stop()

    async def stop_control(self) -> None:
        if self._control is not None:
            await self._control.stop()

    async def _on_command(self, message: IncomingMessage) -> None:
        dispatched = _parse_command(message.body)
        if dispatched is None:
            await _reject(message, "commands")
            return
        try:
            await self._claim(dispatched, message)
        except Exception as error:
            with command_context(dispatched.command_id, dispatched.traceparent):
                _log.error("command_not_handled", exc_info=error)
            await message.reject()

    async def _claim(self, dispatched: wire.DispatchedCommand, message: IncomingMessage) -> None:
        span = _span_of(dispatched)
        try:
            answer = await self._stream.claim(_claim_of(dispatched))
        except NotAttached:  # the connector stops
            await message.requeue()
            return
        if answer.granted:
            _GRANTED.inc()
            self._executor.hand_over(dispatched, answer.attempt, span)
        else:
            metrics.CLAIMS.labels(answer.refusal).inc()
            if span is not None:
                span.set(refusal=answer.refusal)
                span.end()
        if answer.refusal == _UNKNOWN:
            await _reject(message, "commands")
        else:
            await message.ack()

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


def _parse_command(body: bytes) -> wire.DispatchedCommand | None:
    try:
        command = wire.DispatchedCommand.FromString(body)
    except DecodeError:
        return None
    is_whole = _is_id(command.command_id) and _is_id(command.vehicle_id) and command.command_name and command.timeout_ms
    return command if is_whole else None


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
