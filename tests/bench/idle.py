"""The memory of what only waits: WebSockets in the gateway, vehicle sessions in the connector."""

import asyncio
import resource
import time
from dataclasses import dataclass

import aiohttp

from tests.bench.processes import resident_bytes
from tests.support.system import ADMIN, ManagedProcess, System
from vehicle_simulator.vins import fleet_vins

_SEED = 99
_SETTLED_SECONDS = 3.0
MOST_MEGABYTES = 400
"""What a connector may take for 5,000 idle vehicles, all in all."""


def measure_idle_websockets(system: System, count: int) -> float:
    """Bytes that the gateway holds for each of `count` open WebSockets that nothing happens on."""
    return asyncio.run(_idle_websockets(system, count))


async def _idle_websockets(system: System, count: int) -> float:
    token, gateway = system.token(ADMIN), system.processes["gateway"].pid
    before = resident_bytes(gateway)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(system.url, connector=connector) as session:
        sockets = []
        for _ in range(0, count, 50):
            opening = (session.ws_connect(f"/ws/events?token={token}", compress=0) for _ in range(50))
            sockets += await asyncio.gather(*opening)
        await asyncio.sleep(_SETTLED_SECONDS)
        after = resident_bytes(gateway)
        for socket in sockets:
            await socket.close()
    return (after - before) / len(sockets)


@dataclass(frozen=True)
class IdleVehicles:
    """Bytes that the connector holds for each, and all that it takes with all its vehicles."""

    bytes_each: float
    resident_bytes: int
    vehicles: int


def measure_idle_vehicles(system: System, count: int) -> IdleVehicles:
    """With `count` further vehicles, each with a connection of its own, as agents have."""
    connector = system.processes["vehicle_connector"].pid
    first = system.processes["vehicle_simulator"]
    fleet = ManagedProcess(
        "idle_vehicles",
        "vehicle_simulator",
        {**first.environment, "SEED": str(_SEED), "VEHICLES": str(count)},
        system.directory / "idle_vehicles.log",
    )
    with system.client() as client:
        for vin in fleet_vins(count, _SEED):
            body = {"vin": vin, "make": "Mercedes", "model": "Idle", "year": 2024}
            client.post("/api/v1/vehicles", json=body).raise_for_status()
        before = resident_bytes(connector)
        fleet.start()
        try:
            system.wait_for_vehicles(client, system.vehicles + count, 300)
            time.sleep(_SETTLED_SECONDS)
            after = resident_bytes(connector)
            return IdleVehicles((after - before) / count, after, system.vehicles + count)
        finally:
            fleet.terminate()


def allow_many_connections(count: int) -> None:
    """File descriptors for this process and those that it starts: a socket for each connection. Raises ValueError where
    the system's hard limit (ulimit -Hn) is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(f"{count} connections need a limit of {wanted} open files (ulimit -Hn), here it is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
