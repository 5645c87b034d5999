"""A running connector between a fake command service and scripted vehicles, over real gRPC on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from service_kit.messaging.memory import MemoryBroker, MemoryMessaging
from service_kit.messaging.port import DEAD_LETTER_QUEUE, IncomingMessage
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until
from tests.unit.vehicle_connector.fake_command_service import SERVICE_TOKEN, Dispatch, FakeCommandService
from tests.unit.vehicle_connector.scripted_vehicle import CREDENTIAL_SECRET, ScriptedVehicle, connected_vehicle
from vehicle_connector.composition import VehicleConnector, compose
from vehicle_connector.session_link import link
from vehicle_connector.settings import Settings

# Until a vehicle hears that nobody waits for a command any more, where nothing else is said to it.
RELEASE_SECONDS = 0.2


@dataclass
class World:
    """What a test talks to."""

    service: FakeCommandService
    connector: VehicleConnector
    dispatch: Dispatch
    messaging: MemoryMessaging
    stack: AsyncExitStack

    async def vehicle(self, first: session_pb2.Hello | None = None, raw: bytes | None = None) -> ScriptedVehicle:
        """One that has said hello (or `raw`) and has an answer."""
        return await self.stack.enter_async_context(connected_vehicle(self.connector.session_port, first, raw))

    def vehicle_soon(self, first: session_pb2.Hello | None = None) -> "asyncio.Task[ScriptedVehicle]":
        """One that may have to wait for its answer."""
        return asyncio.create_task(self.vehicle(first))

    async def dead_letters(self) -> list[bytes]:
        bodies: list[bytes] = []

        async def take(message: IncomingMessage) -> None:
            bodies.append(message.body)
            await message.ack()

        consumer = await self.messaging.consume(DEAD_LETTER_QUEUE, [], take, prefetch=10)
        await consumer.stop()
        return bodies


Worlds = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def worlds() -> Worlds:
    """Makes a world with settings of its own."""
    return _world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with _world() as made:
        yield made


@asynccontextmanager
async def _world(service: FakeCommandService | None = None, **settings: Any) -> AsyncIterator[World]:
    service = service or FakeCommandService()
    address = await service.start()
    messaging = MemoryMessaging(MemoryBroker())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(link, "_RELEASE_SECONDS", RELEASE_SECONDS)
        try:
            async with compose(_settings(address, **settings), messaging=messaging) as connector:
                await until(lambda: connector.ready)
                dispatch = Dispatch(messaging, lambda: connector.connector_id)
                async with AsyncExitStack() as vehicles:  # gone before the connector stops, which would wait for them
                    yield World(service, connector, dispatch, messaging, vehicles)
        finally:
            await messaging.close()
            await service.stop()


def _settings(address: str, **settings: Any) -> Settings:
    return Settings(
        **{
            "rabbitmq_url": "amqp://not-used",
            "command_service_address": address,
            "service_token": SERVICE_TOKEN,
            "vehicle_credential_secret": CREDENTIAL_SECRET,
            "session_host": "127.0.0.1",
            "session_port": 0,
            "health_port": 0,
            "lease_renewal_seconds": 0.1,
            "reconnect_max_seconds": 0.2,
            "drain_seconds": 0.5,
            "move_spread_seconds": 0.1,
            **settings,
        }
    )
