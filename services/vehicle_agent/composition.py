"""Wires the vehicle agent: the only file that names what it is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from service_kit.lifecycle import Lifecycle
from vehicle_agent.agent import Agent, AgentSession
from vehicle_agent.executor import LinkExecutor
from vehicle_agent.journal import Journal
from vehicle_agent.settings import Settings
from vehicle_links.dialled import DialledVehicle
from vehicle_links.settings import DIALLERS
from vehicle_session.connections import Connections
from vehicle_session.enrolment import VehicleIdentity
from vehicle_session.identity_folder import IdentityFolder
from vehicle_session.session_client import Identity, ReconnectPolicy

NAME = "vehicle_agent"

_DAY_SECONDS = 86_400


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Lifecycle]:
    """The running agent. It starts without vehicle and connector, and tells in its log what it waits for: without a
    certificate, for the connector that enrols it."""
    # After what runs had its time, the goodbye has some too.
    async with Lifecycle(NAME, settings.drain_seconds + 5) as lifecycle:
        identity = _identity(settings) if settings.vehicle_credential is None else None
        connections = identity.connections if identity else Connections(settings.connector_address)
        journal = Journal(settings.state_dir, settings.remember_days * _DAY_SECONDS)

        async def close() -> None:
            await connections.close()
            journal.close()

        lifecycle.on_close(close)
        session, executor = _session(settings, journal, connections)
        agent = _agent(settings, session, executor)
        if identity is not None:
            await identity.prepare(settings.enrolment_code.get_secret_value(), anew=True)
            lifecycle.background(identity.keep_renewed(partial(session.drop_connection, 0)), "certificate")
        running = lifecycle.background(agent.run(), "agent")

        async def leave() -> None:
            agent.stop()
            await asyncio.wait([running])

        lifecycle.on_drain(leave)
        lifecycle.set_ready(True)
        yield lifecycle


def _identity(settings: Settings) -> VehicleIdentity:
    folder = IdentityFolder(settings.identity_dir or settings.state_dir / "identity", settings.vehicle_vin)
    if settings.grpc_tls_ca_file:
        folder.trust(settings.grpc_tls_ca_file.read_bytes())
    return VehicleIdentity(folder, settings.connector_address, settings.enrolment_address)


def _session(settings: Settings, journal: Journal, connections: Connections) -> tuple[AgentSession, LinkExecutor]:
    vin, credential = settings.vehicle_vin, settings.vehicle_credential
    executor = LinkExecutor(vin)
    session = AgentSession(
        Identity(vin, credential.get_secret_value() if credential else "", software_version=NAME),
        executor,
        journal,
        connections,
        asyncio.Semaphore(1),
        ReconnectPolicy(most_seconds=settings.reconnect_max_seconds),
    )
    return session, executor


def _agent(settings: Settings, session: AgentSession, executor: LinkExecutor) -> Agent:
    vin, (kind, address) = settings.vehicle_vin, settings.link
    return Agent(
        DialledVehicle(vin, vin, kind, address),
        DIALLERS[kind](settings),
        executor,
        session,
        redial_max_seconds=settings.redial_max_seconds,
        drain_seconds=settings.drain_seconds,
    )
