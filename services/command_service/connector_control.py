"""Tells connectors on their control queues what cannot wait: cancels and superseded sessions."""

from collections.abc import Sequence

from uuid_utils import uuid7

from command_service.domain.command import Command
from service_kit.batcher import Batcher
from service_kit.logging import get_logger
from service_kit.messaging.port import Messaging, OutgoingMessage
from sovd_protos.connector.v1.connector_pb2 import CancelRequested, ControlMessage, SessionSuperseded

_log = get_logger(__name__)

_MAX_WAITING = 10_000


class MessagingConnectorControl:
    """use_cases.cancel_command.ConnectorControl over the messaging port. Takes over at once: nobody waits for a broker
    that is away. A message that nobody takes is only logged: cancels are repeated by the watchdog, and an old session
    is fenced by its epoch."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging
        self._batcher: Batcher[OutgoingMessage, None] = Batcher(self._publish)

    async def request_cancel(self, command: Command) -> None:
        if command.connector_id is not None:
            cancel = CancelRequested(command_id=command.command_id, attempt=command.attempt)
            self._send(command.connector_id, ControlMessage(cancel=cancel))

    async def session_superseded(self, connector_id: str, vehicle_id: str, session_epoch: int) -> None:
        superseded = SessionSuperseded(vehicle_id=vehicle_id, session_epoch=session_epoch)
        self._send(connector_id, ControlMessage(superseded=superseded))

    async def drain(self) -> None:
        await self._batcher.drain()

    def _send(self, connector_id: str, message: ControlMessage) -> None:
        if self._batcher.waiting >= _MAX_WAITING:
            _log.warning("control_message_dropped", connector_id=connector_id)
            return
        self._batcher.enqueue(OutgoingMessage(f"control.{connector_id}", message.SerializeToString(), str(uuid7())))

    async def _publish(self, messages: Sequence[OutgoingMessage]) -> list[None]:
        for message, error in zip(messages, await self._messaging.publish(messages), strict=True):
            if error is not None:
                _log.info("control_message_not_delivered", queue=message.routing_key, reason=type(error).__name__)
        return [None] * len(messages)
