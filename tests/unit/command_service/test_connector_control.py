"""What connectors are told on their control queues."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from command_service.connector_control import MessagingConnectorControl
from service_kit.messaging.port import Messaging, OutgoingMessage, PublishError, Unconfirmed
from tests.unit.command_service.builders import in_progress


class Broker:
    """Takes messages once it is back, and not before."""

    def __init__(self) -> None:
        self.back = asyncio.Event()
        self.batches: list[list[str]] = []

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishError | None]:
        await self.back.wait()
        self.batches.append([message.routing_key for message in messages])
        return [Unconfirmed("away")] * len(messages)


async def test_nobody_waits_for_a_broker_that_is_away() -> None:
    broker = Broker()
    control = MessagingConnectorControl(cast("Messaging", cast("Any", broker)))
    async with asyncio.timeout(1):
        for number in range(200):
            await control.session_superseded(f"c{number}", "a vehicle", number)
        await control.request_cancel(in_progress())
        waiting = in_progress()
        waiting.connector_id = None
        await control.request_cancel(waiting)
    broker.back.set()
    await control.drain()
    assert [key for batch in broker.batches for key in batch] == [*(f"control.c{n}" for n in range(200)), "control.c1"]
    assert len(broker.batches) <= 2
