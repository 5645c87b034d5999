"""What the doip link costs: `python -m tests.bench.doip`, on a simulated vehicle over loopback.

- how much longer a request takes through the link than the request's own round trip (median)
- 64 requests at once on 64 ECUs that take 200 ms each, and one to another vehicle meanwhile
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from vehicle_links.dialled import DialledLink, DialledVehicle
from vehicle_links.doip.link import DoipDialler
from vehicle_links.vehicle_link import AttemptKey, Finished, Update, VehicleCommand, VehicleLink
from vehicle_simulator.doip import messages as doip
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import ECU_TYPES, EcuType, VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript, parse_fault

REQUESTS = 1000
ECUS = 64
SLOW_SECONDS = 0.2
ALLOWED_MS = 2.0
VINS = ("WDD1234567890ABCD", "WDD0987654321ZYXW")


class HandedOver:
    def __init__(self, command: VehicleCommand) -> None:
        self.command = command

    def begin(self) -> bool:
        return True


class Events:
    """Who waits for the end of which command."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Future[Finished]] = {}

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None:
        if isinstance(update, Finished):
            self.ends.pop(key[0]).set_result(update)

    def on_link_lost(self, link: VehicleLink) -> None: ...


class Client:
    """A link and what comes from it."""

    def __init__(self, vehicle_id: str, link: DialledLink, events: Events) -> None:
        self._link = link
        self._events = events
        self._number = 0
        self._vehicle_id = vehicle_id

    async def read(self, ecu: int) -> None:
        self._number += 1
        command_id = f"{self._vehicle_id}/{self._number}"
        params = json.dumps({"ecuAddress": f"0x{ecu:X}", "dataId": "0xF190"})
        self._events.ends[command_id] = ended = asyncio.get_running_loop().create_future()
        command = VehicleCommand(command_id, 1, "ReadDataByID", params, 10_000, True, "", 64)
        self._link.execute(HandedOver(command))
        assert (await ended).code == ""


def measure_doip() -> dict[str, float]:
    """Milliseconds: `added` to a request's own `round_trip`; `many` requests at once, and an `other` vehicle's then."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, float]:
    wanted = [replace(ECU_TYPES[0x10], address=0x100 + number) for number in range(ECUS)]
    cast("dict[int, EcuType]", ECU_TYPES).update({one.address: one for one in wanted})
    faults = FaultScript()
    entities = [DoipEntity(vin, UdsServers(VehicleModel(VehicleSpec(vin))), faults) for vin in VINS]
    for entity in entities:
        await entity.start("127.0.0.1", 0)
    own = await median(await own_round_trip(entities[0].port))
    clients = [await dialled(entity) for entity in entities]
    through = await median(lambda: clients[0].read(0x10))

    faults.add(parse_fault(f"slow:seconds={SLOW_SECONDS},vin={VINS[0]}"))
    began = time.perf_counter()
    busy = [asyncio.create_task(clients[0].read(one.address)) for one in wanted]
    other = await median(lambda: clients[1].read(0x10), 50)
    await asyncio.gather(*busy)
    many = time.perf_counter() - began
    for entity in entities:
        await entity.stop()
    seconds = {"round_trip": own, "added": through - own, "many": many, "other": other}
    return {name: 1000 * value for name, value in seconds.items()}


def summary(found: dict[str, float]) -> str:
    return (
        f"the DoIP link adds {found['added']:.2f} ms to a request of {found['round_trip']:.2f} "
        f"(at most {ALLOWED_MS:g} are allowed); {ECUS} commands at once, of {1000 * SLOW_SECONDS:g} ms each: "
        f"{found['many']:.0f} ms, and {found['other']:.2f} for one to another vehicle meanwhile"
    )


async def own_round_trip(port: int) -> Callable[[], Awaitable[object]]:
    """The bare exchange on a socket: request, acknowledgement, answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(doip.message(doip.PayloadType.ROUTING_ACTIVATION_REQUEST, bytes.fromhex("0E0100 00000000")))
    await reader.readexactly(17)
    answer = doip.HEADER_BYTES + 4 + 3 + 17

    async def ask() -> None:
        writer.write(doip.diagnostic(0x0E01, 0x10, b"\x22\xf1\x90"))
        await reader.readexactly(doip.HEADER_BYTES + 5)
        await reader.readexactly(answer)

    return ask


async def dialled(entity: DoipEntity) -> Client:
    vehicle = DialledVehicle(entity.vin, entity.vin, "doip", f"127.0.0.1:{entity.port}")
    events = Events()
    return Client(
        entity.vin, DialledLink("doip", entity.vin, 1, await DoipDialler(0x0E00).dial(vehicle), events), events
    )


async def median(ask: Callable[[], Awaitable[object]], requests: int = REQUESTS) -> float:
    taken = []
    for _ in range(requests):
        began = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    print(summary(measure_doip()))
