"""Puts the whole system together in one process: the adapters change, everything else is as on real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import command_service.composition
import gateway.composition
import vehicle_connector.composition
import vehicle_simulator.composition
from embedded.data_directory import WITH_DATABASE, DataDirectory
from embedded.parts import (
    command_service_settings,
    gateway_settings,
    vehicle_connector_settings,
    vehicle_simulator_settings,
)
from embedded.settings import Settings
from service_kit.database import upgrade
from service_kit.lifecycle import Lifecycle
from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.messaging.memory import MemoryMessaging

# Much longer than a start takes; a part that never gets ready must not look like one that works on it.
START_SECONDS = 60.0


class Embedded(Lifecycle):
    """The running system; `port` is where its API listens."""

    port: int = 0


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Embedded]:
    """The system with all its parts ready and its demo vehicles online."""
    async with AsyncExitStack() as stack, Embedded("embedded", settings.drain_seconds) as system:
        try:
            async with asyncio.timeout(START_SECONDS):
                await _migrate(settings)
                await _start(settings, system, stack)
        except TimeoutError as error:
            raise OSError(f"the start took more than {START_SECONDS:.0f} s") from error
        system.set_ready(True)
        yield system


async def _migrate(settings: Settings) -> None:
    directory = DataDirectory(settings.data_dir)
    for service in WITH_DATABASE:
        await upgrade(directory.database_url(service), f"{service}.storage.migrations", service)


async def _start(settings: Settings, system: Embedded, stack: AsyncExitStack) -> None:
    """Each part is there before the next one looks for it; they stop in the opposite order."""
    messaging, live_events = MemoryMessaging(), InMemoryLiveEvents()
    system.on_close(messaging.close)
    system.on_close(live_events.close)
    commands = await stack.enter_async_context(
        command_service.composition.compose(
            command_service_settings(settings), messaging=messaging, live_events=live_events
        )
    )
    await _include(system, commands)
    connector = await stack.enter_async_context(
        vehicle_connector.composition.compose(vehicle_connector_settings(settings, commands.port), messaging=messaging)
    )
    await _include(system, connector)
    fleet = vehicle_simulator.composition.build_fleet(vehicle_simulator_settings(settings, connector.session_port))
    vehicles = await stack.enter_async_context(Lifecycle("vehicle_simulator", settings.drain_seconds))
    vehicles.on_drain(fleet.close)
    vehicles.background(fleet.run(), "fleet")
    vehicles.set_ready(True)
    await _include(system, vehicles)
    api = await stack.enter_async_context(
        gateway.composition.compose(gateway_settings(settings, commands.port), live_events=live_events)
    )
    await _include(system, api)
    await fleet.wait_connected()
    system.port = api.port


async def _include(system: Lifecycle, part: Lifecycle) -> None:
    """Part of the system from here on, and ready."""
    system.include(part)
    ready = asyncio.Event()
    part.on_ready_change(lambda is_ready: ready.set() if is_ready else None)
    if not part.ready:
        await ready.wait()
