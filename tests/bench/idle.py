"""The memory of what only waits: WebSockets in the gateway, vehicle sessions in the connector."""

import asyncio
import time

import aiohttp

from tests.bench.processes import resident_bytes
from tests.support.system import ADMIN, ManagedProcess, System
from vehicle_simulator.vins import fleet_vins

_SEED = 99
_SETTLED_SECONDS = 3.0


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


def measure_idle_vehicles(system: System, count: int) -> float:
    """Bytes that the connector holds for each of `count` further vehicles, each with a connection of its own."""
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
            return (resident_bytes(connector) - before) / count
        finally:
            fleet.terminate()
