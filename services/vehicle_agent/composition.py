"""Wires the vehicle agent: the only file that names what it is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service_kit.lifecycle import Lifecycle
from vehicle_agent.agent import Agent, AgentSession
from vehicle_agent.executor import LinkExecutor
from vehicle_agent.journal import Journal
from vehicle_agent.settings import Settings
from vehicle_links.dialled import DialledVehicle
from vehicle_links.settings import DIALLERS
from vehicle_session.connections import Connections
from vehicle_session.session_client import Identity, ReconnectPolicy

NAME = "vehicle_agent"

_DAY_SECONDS = 86_400


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Lifecycle]:
    """The running agent. It starts without vehicle and connector, and tells in its log what it waits for."""
    # After what runs had its time, the goodbye has some too.
    async with Lifecycle(NAME, settings.drain_seconds + 5) as lifecycle:
        journal = Journal(settings.state_dir, settings.remember_days * _DAY_SECONDS)
        connections = _connections(settings)
        agent = _agent(settings, journal, connections)

        async def close() -> None:
            await connections.close()
            journal.close()

        lifecycle.on_close(close)
        running = lifecycle.background(agent.run(), "agent")

        async def leave() -> None:
            agent.stop()
            await asyncio.wait([running])

        lifecycle.on_drain(leave)
        lifecycle.set_ready(True)
        yield lifecycle


def _connections(settings: Settings) -> Connections:
    """Whom it dials, and with which certificates."""
    return Connections(settings.connector_address, tls=settings.grpc_tls)


def _agent(settings: Settings, journal: Journal, connections: Connections) -> Agent:
    vin, (kind, address) = settings.vehicle_vin, settings.link
    executor = LinkExecutor(vin)
    session = AgentSession(
        Identity(vin, settings.vehicle_credential.get_secret_value(), software_version=NAME),
        executor,
        journal,
        connections,
        asyncio.Semaphore(1),
        ReconnectPolicy(most_seconds=settings.reconnect_max_seconds),
    )
    return Agent(
        DialledVehicle(vin, vin, kind, address),
        DIALLERS[kind](settings),
        executor,
        session,
        redial_max_seconds=settings.redial_max_seconds,
        drain_seconds=settings.drain_seconds,
    )
