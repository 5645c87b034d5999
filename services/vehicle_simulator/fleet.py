"""A fleet of simulated vehicles in one process."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service_kit.logging import get_logger
from service_kit.vehicle_credential import vehicle_credential
from sovd_protos.vehicle.v1.vehicle_pb2 import Ecu
from vehicle_session.connections import Connections
from vehicle_session.session_client import Identity, ReconnectPolicy
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import ECU_TYPES, ENGINE_ADDRESS, VehicleModel, VehicleSpec
from vehicle_simulator.executor import VehicleExecutor
from vehicle_simulator.faults import FaultScript
from vehicle_simulator.ledger import ExecutionLedger
from vehicle_simulator.metrics import VEHICLES_CONNECTED
from vehicle_simulator.scripted import ScriptedExecutor, ScriptedSession
from vehicle_simulator.vins import fleet_vins

if TYPE_CHECKING:  # needs cryptography, where vehicles have certificates
    from vehicle_session.enrolment import VehicleIdentity

SOFTWARE_VERSION = "vehicle-simulator"
# Vehicles that say hello at the same time: a fleet that starts or reconnects does not fall on the connector at once.
HELLOS_AT_ONCE = 64

_ECUS = [Ecu(address=ecu_type.address, name=ecu_type.name) for ecu_type in ECU_TYPES.values()]

_log = get_logger(__name__)


def demo_fleet() -> list[VehicleSpec]:
    """The two vehicles of the demo data that are online."""
    return [
        VehicleSpec("WDD1234567890ABCD", "Mercedes", "E-Class", 2024),
        VehicleSpec(
            "WDD0987654321ZYXW", "Mercedes", "S-Class", 2024, stored={ENGINE_ADDRESS: (0x017100,), 0x28: (0x403564,)}
        ),
    ]


def simulated_fleet(count: int, seed: int = 1) -> list[VehicleSpec]:
    """So many vehicles; ECU 0x10 of each holds two DTCs."""
    return [VehicleSpec(vin) for vin in fleet_vins(count, seed)]


@dataclass(frozen=True, slots=True)
class DoipPorts:
    """Where vehicles can be reached by DoIP: each has a port of its own, from `first` on (0: free ones)."""

    host: str
    first: int
    announce_to: tuple[str, int] | None = None


class SimulatedVehicle:
    """One vehicle: its ECUs, its session and, where it can be dialled, its DoIP entity."""

    def __init__(
        self, spec: VehicleSpec, model: VehicleModel, session: ScriptedSession, doip: DoipEntity | None
    ) -> None:
        self.spec = spec
        self.model = model
        self.session = session
        self.doip = doip

    @property
    def vin(self) -> str:
        return self.spec.vin


class Fleet:
    """Runs vehicles. Their faults may be changed at any time, and each vehicle can be stopped and started by itself."""

    def __init__(
        self,
        specs: Iterable[VehicleSpec],
        connections: Connections,
        ledger: ExecutionLedger,
        *,
        credential_secret: str,
        faults: FaultScript | None = None,
        latency_s: float = 0.0,
        policy: ReconnectPolicy | None = None,
        hellos_at_once: int = HELLOS_AT_ONCE,
        doip: DoipPorts | None = None,
        dial_in: bool = True,
        identities: "Mapping[str, VehicleIdentity] | None" = None,
    ) -> None:
        """`identities`: of vehicles that have certificates, by VIN."""
        self.identities = identities or {}
        self.faults = faults or FaultScript()
        self.ledger = ledger
        self._connections = connections
        self._secret = credential_secret
        self._latency_s = latency_s
        self._doip = doip
        self._dial_in = dial_in
        self._policy = policy or ReconnectPolicy()
        self._gate = asyncio.Semaphore(hellos_at_once)
        self._broken: asyncio.Future[None] | None = None
        self.vehicles = {spec.vin: self._vehicle(spec) for spec in specs}

    def __getitem__(self, vin: str) -> SimulatedVehicle:
        return self.vehicles[vin]

    @property
    def connected_count(self) -> int:
        return sum(vehicle.session.connected.is_set() for vehicle in self.vehicles.values())

    async def run(self) -> None:
        """Connects all vehicles and keeps them connected; ends only when one of them is broken, with its error."""
        self._broken = asyncio.get_running_loop().create_future()
        VEHICLES_CONNECTED.set_function(lambda: self.connected_count)
        await self._listen()
        if self._dial_in:
            for vin in self.vehicles:
                self.start_vehicle(vin)
            await self.wait_connected()
            _log.info("fleet_connected", vehicles=len(self.vehicles))
        await self._broken

    async def _listen(self) -> None:
        for number, vehicle in enumerate(self.vehicles.values()):
            if self._doip is not None and (entity := vehicle.doip) is not None:
                await entity.start(self._doip.host, self._doip.first and self._doip.first + number)
                _log.info("doip_listening", vin=vehicle.vin, host=entity.host, port=entity.port)

    def start_vehicle(self, vin: str) -> None:
        """Switch on a vehicle that was stopped."""
        self.vehicles[vin].session.start().add_done_callback(self._vehicle_ended)

    async def stop_vehicle(self, vin: str) -> None:
        """Switch off a vehicle: it says goodbye and forgets what it holds."""
        await self.vehicles[vin].session.stop()

    async def wait_connected(self) -> None:
        """Until every vehicle has had a session."""
        for vehicle in self.vehicles.values():
            await vehicle.session.connected.wait()

    async def close(self) -> None:
        """All vehicles say goodbye; what they hold is lost, what they did is in the ledger."""
        await asyncio.gather(*(vehicle.session.stop() for vehicle in self.vehicles.values()))
        await asyncio.gather(*(vehicle.doip.stop() for vehicle in self.vehicles.values() if vehicle.doip))
        await self._connections.close()
        self.ledger.close()

    def _vehicle_ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    def _vehicle(self, spec: VehicleSpec) -> SimulatedVehicle:
        model = VehicleModel(spec)
        executor = ScriptedExecutor(spec.vin, VehicleExecutor(model, self._latency_s), self.faults)
        known_by = self.identities.get(spec.vin)
        credential = "" if known_by else vehicle_credential(self._secret, spec.vin)
        identity = Identity(spec.vin, credential, _ECUS, SOFTWARE_VERSION)
        connections = known_by.connections if known_by else self._connections
        session = ScriptedSession(identity, executor, self.ledger, connections, self._gate, self._policy)
        executor.session = session
        return SimulatedVehicle(spec, model, session, self._entity(model, self._doip) if self._doip else None)

    def _entity(self, model: VehicleModel, ports: DoipPorts) -> DoipEntity:
        servers, announce_to = UdsServers(model), ports.announce_to
        return DoipEntity(model.spec.vin, servers, self.faults, latency_s=self._latency_s, announce_to=announce_to)
