"""A simulated vehicle that serves SOVD on loopback, and the connector's link to it, over real sockets."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from command_service.domain.catalogue import CATALOGUE
from tests.support.waiting import until
from vehicle_links.dialled import DialledLink, DialledVehicle
from vehicle_links.sovd.link import SovdDialler, SovdRules
from vehicle_links.vehicle_link import (
    AttemptKey,
    Finished,
    Response,
    Update,
    VehicleCommand,
    VehicleLink,
)
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.faults import FaultScript, parse_faults
from vehicle_simulator.fleet import demo_fleet
from vehicle_simulator.ledger import ExecutionLedger, LedgerEntry, read_ledger
from vehicle_simulator.sovd.server import SovdServer

SPEC = demo_fleet()[0]
VIN = SPEC.vin
ENGINE = "0x10"


@dataclass
class Attempt:
    """A command as its link gets it (a HandOver), and what came of it."""

    command: VehicleCommand
    may_begin: bool = True
    begun: int = 0
    updates: list[Update] = field(default_factory=list)

    def begin(self) -> bool:
        self.begun += self.may_begin
        return self.may_begin

    @property
    def responses(self) -> list[dict[str, Any]]:
        return [json.loads(update.text) for update in self.updates if isinstance(update, Response)]

    @property
    def finished(self) -> Finished | None:
        return next((update for update in self.updates if isinstance(update, Finished)), None)

    @property
    def outcome(self) -> tuple[str, str]:
        """How it ended, and the code."""
        assert self.finished is not None
        return self.finished.end.value, self.finished.code


@dataclass
class Bench:
    """A link and what runs over it; it is the link's LinkEvents, too."""

    attempts: dict[AttemptKey, Attempt] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    link: DialledLink = field(init=False)

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None:
        self.attempts[key].updates.append(update)

    def on_link_lost(self, link: VehicleLink) -> None:
        self.lost.append(link.vehicle_id)

    def start(self, name: str, *, credit: int = 1000, timeout_ms: int = 10_000, **parameters: Any) -> Attempt:
        """Hands the command over; `ecuAddress` is the engine's unless given."""
        parameters = {"ecuAddress": ENGINE, **parameters}
        command = VehicleCommand(
            str(uuid4()), 1, name, json.dumps(parameters), timeout_ms, CATALOGUE[name].repeatable, "", credit
        )
        attempt = self.attempts[command.key] = Attempt(command)
        self.link.execute(attempt)
        return attempt

    async def run(self, name: str, **parameters: Any) -> Attempt:
        attempt = self.start(name, **parameters)
        await self.ended(attempt)
        return attempt

    async def ended(self, attempt: Attempt, seconds: float = 10) -> None:
        await until(lambda: attempt.finished, seconds)


@asynccontextmanager
async def served(
    *,
    faults: str = "",
    script: FaultScript | None = None,
    ledger: Path | None = None,
    tokens: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
) -> AsyncIterator[SovdServer]:
    """The first demo vehicle's SOVD server."""
    server = SovdServer(
        {VIN: VehicleModel(SPEC)},
        ExecutionLedger(ledger),
        script or FaultScript(parse_faults(faults)),
        port=port,
        tokens=tokens,
        tls=tls,
        keep_alive_seconds=1,
    )
    serving = asyncio.create_task(server.serve())
    try:
        yield server
    finally:
        await server.close()
        await serving


@asynccontextmanager
async def linked(address: str, *, vin: str = VIN, bench: Bench | None = None, **rules: Any) -> AsyncIterator[Bench]:
    """A link to the server at the address."""
    bench = bench or Bench()
    connection = await _dialler(SovdRules(**rules)).dial(DialledVehicle("vehicle", vin, "sovd", address))
    bench.link = DialledLink("sovd", "vehicle", 1, connection, bench)
    try:
        yield bench
    finally:
        bench.link.close()
        bench.link.stop()
        await bench.link.closed()


@cache
def _dialler(rules: SovdRules) -> SovdDialler:
    """Reading the system's certificate authorities takes a while."""
    return SovdDialler(rules)


@asynccontextmanager
async def bench_of(server: SovdServer, **rules: Any) -> AsyncIterator[Bench]:
    async with linked(address_of(server), **rules) as bench:
        yield bench


def address_of(server: SovdServer, scheme: str = "http", port: int = 0) -> str:
    return f"{scheme}://127.0.0.1:{port or server.port}/{VIN}"


def executed(ledger: Path, command_id: str) -> list[LedgerEntry]:
    """How often the vehicle did it."""
    return [entry for entry in read_ledger(ledger) if entry.command_id == command_id and entry.event == "executed"]
