"""A simulated vehicle as SOVD (ISO 17978-3) shows it: the same ECUs, faults, data and routines that it has elsewhere.

What is only of SOVD lives here: component names, executions, locks, modes and cyclic subscriptions.
"""

import itertools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vehicle_simulator.data_identifiers import DataIdentifier
from vehicle_simulator.ecus import ECU_TYPES, ENGINE_ADDRESS, Ecu, EcuType, VehicleModel
from vehicle_simulator.failures import CommandFailed
from vehicle_simulator.routines import Routine

Object = dict[str, Any]

MODES = {
    "session": ("default", "extended", "programming"),
    "commctrl": ("enableRxAndEnableTx", "enableRxAndDisableTx", "disableRxAndEnableTx", "disableRxAndDisableTx"),
    "dtcsetting": ("on", "off"),
}
# Seconds between two events of a cyclic subscription (7.10: fast is below 100 ms, normal below 250, slow below 500).
INTERVALS = {"fast": 0.05, "normal": 0.2, "slow": 0.45}
RESETS = ("hardreset", "keyoffonreset", "softreset")

_BYTES = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2})*)")
_IDENTIFIER = re.compile(r"0x[0-9A-Fa-f]{4}")


class SovdError(Exception):
    """An answer that is no success, as a GenericError (5.8.3)."""

    def __init__(self, status: int, error_code: str, message: str, parameters: Object | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"error_code": error_code, "message": message}
        if parameters:
            self.body["parameters"] = parameters


def refused_by_ecu(failure: CommandFailed, service: int) -> SovdError:
    """The ECU's negative response (5.8.3, error-response)."""
    if failure.nrc:
        return SovdError(502, "error-response", failure.message, {"service": service, "nrc": failure.nrc})
    return SovdError(400, "incomplete-request", failure.message)


@dataclass(slots=True)
class Lock:
    id: str
    client: str
    owner: str
    expires_at: float

    def object(self, client: str) -> Object:
        expiration = datetime.fromtimestamp(self.expires_at, UTC).isoformat(timespec="seconds")
        return {"id": self.id, "owned": self.client == client, "owner": self.owner, "lock_expiration": expiration}


@dataclass(slots=True)
class Subscription:
    id: str
    data_id: str
    interval: str
    ends_at: float


@dataclass(slots=True)
class Component:
    """One ECU. Its resources are addressed by name."""

    path: str
    type: EcuType
    ecu: Ecu
    vehicle: VehicleModel
    modes: dict[str, str] = field(default_factory=lambda: {mode: values[0] for mode, values in MODES.items()})
    executions: dict[str, tuple[Routine, float]] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    lock: Lock | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def description(self) -> Object:
        """The capability description (7.6): what this component has, with links."""
        collections = ("data", "faults", "operations", "modes", "locks", "status", "cyclic-subscriptions")
        variant = {
            "name": f"{self.type.name}_{self.type.software_version}",
            "logical_address": f"0x{self.type.address:X}",
        }
        links = {collection: f"{self.path}/{collection}" for collection in collections}
        return {"id": self.id, "name": self.type.name, "variant": variant, **links}

    @property
    def id(self) -> str:
        return self.type.name.lower()

    # --- data (7.9)

    def data_list(self) -> list[Object]:
        return [
            {
                "id": definition.name,
                "name": definition.name,
                "category": "currentData" if definition.swing else "storedData" if definition.writable else "identData",
                "x-did": f"0x{definition.id:04X}",
            }
            for definition in self.ecu.data.definitions()
        ]

    def read(self, data_id: str) -> Object:
        definition = self._definition(data_id, service=0x22)
        raw = self.ecu.data.read(definition.id, time.time())
        value: Object = {
            "id": data_id,
            "data": {definition.name: definition.value(raw)}
            if definition.coding != "bytes"
            else f"0x{raw.hex().upper()}",
            "x-raw": f"0x{raw.hex().upper()}",
        }
        return value | ({"x-unit": definition.unit} if definition.unit else {})

    def write(self, data_id: str, data: object) -> None:
        definition = self._definition(data_id, service=0x2E)
        raw = _bytes(data, "data")
        try:
            self.ecu.data.write(definition.id, raw)
        except CommandFailed as failure:
            raise refused_by_ecu(failure, 0x2E) from failure

    def _definition(self, data_id: str, service: int) -> DataIdentifier:
        """By its name, or by its number: then it is the ECU that says whether there is such a thing."""
        known = {definition.name: definition for definition in self.ecu.data.definitions()}
        if data_id in known:
            return known[data_id]
        if _IDENTIFIER.fullmatch(data_id) is None:
            raise SovdError(404, "resource-not-found", f"{self.id} has no data {data_id!r}")
        try:
            return self.ecu.data.definition(int(data_id, 16))
        except CommandFailed as failure:
            raise refused_by_ecu(failure, service) from failure

    # --- faults (7.8)

    def faults(self, wanted: Mapping[str, str]) -> list[Object]:
        """`wanted`: status[name]=1 as {name: "1"}; a fault that has one of these bits is listed."""
        faults = [_fault(text) for text in self.ecu.memory.read(self.ecu.address, 0xFF)]
        bits = [name for name, value in wanted.items() if value in ("1", "true")]
        return [fault for fault in faults if not bits or any(fault["status"].get(bit) is True for bit in bits)]

    def fault(self, code: str) -> Object:
        details = json.loads(self._details(code))
        environment = {"snapshots": details.pop("snapshots"), "extended_data": details.pop("extended_data")}
        return {"item": _fault(json.dumps(details)), "environment_data": environment}

    def clear(self, code: str | None) -> None:
        if code is not None:
            self._details(code)
        self.ecu.memory.clear(None if code is None else f"0x{code}")

    def _details(self, code: str) -> str:
        try:
            return self.ecu.memory.details(self.ecu.address, f"0x{code}")[0]
        except CommandFailed:
            raise SovdError(404, "resource-not-found", f"{self.id} has no fault {code!r}") from None

    # --- operations (7.14)

    def operations(self) -> list[Object]:
        return [_operation(routine) for routine in self.type.routines.values()]

    def operation(self, name: str) -> Object:
        return _operation(self._routine(name))

    def start(self, name: str, parameters: object) -> tuple[str, Object]:
        """The id of the new execution, and how it is."""
        routine = self._routine(name)
        self._control(routine, "start", _bytes(parameters, "parameters"))
        execution_id = self._number("execution")
        self.executions[execution_id] = (routine, time.time())
        return execution_id, self.execution(name, execution_id)

    def execution(self, name: str, execution_id: str) -> Object:
        state = self._control(self._started(name, execution_id), "requestResults", b"")
        result: Object = {"id": execution_id, "capability": "execute", "status": state.status}
        return result | ({"parameters": {"raw": f"0x{state.raw.hex().upper()}"}} if state.raw else {})

    def stop(self, name: str, execution_id: str) -> None:
        self._control(self._started(name, execution_id), "stop", b"")

    def executions_of(self, name: str) -> list[Object]:
        routine = self._routine(name)
        return [{"id": execution_id} for execution_id, (started, _) in self.executions.items() if started is routine]

    def _started(self, name: str, execution_id: str) -> Routine:
        routine = self._routine(name)
        if self.executions.get(execution_id, (None, 0.0))[0] is not routine:
            raise SovdError(404, "resource-not-found", f"{name} has no execution {execution_id!r}")
        return routine

    def _routine(self, name: str) -> Routine:
        for routine in self.type.routines.values():
            if name in (routine.name, f"0x{routine.id:04X}"):
                return routine
        if _IDENTIFIER.fullmatch(name):
            self._control(Routine(int(name, 16), name), "start", b"")  # the ECU says no
        raise SovdError(404, "resource-not-found", f"{self.id} has no operation {name!r}")

    def _control(self, routine: Routine, action: str, parameters: bytes) -> Any:
        engine_running = self.vehicle.engine_running and self.type.address == ENGINE_ADDRESS
        try:
            return self.ecu.routines.control(routine.id, action, parameters, engine_running, time.time())
        except CommandFailed as failure:
            raise refused_by_ecu(failure, 0x31) from failure

    # --- modes (7.16), restart (7.19)

    def set_mode(self, mode: str, value: object) -> Object:
        allowed = self._mode_values(mode)
        if value not in allowed:
            raise SovdError(400, "incomplete-request", f"value must be one of {', '.join(allowed)}")
        self.modes[mode] = str(value)
        return self.mode(mode)

    def mode(self, mode: str) -> Object:
        self._mode_values(mode)
        return {"id": mode, "value": self.modes[mode]}

    def _mode_values(self, mode: str) -> tuple[str, ...]:
        if mode not in MODES:
            raise SovdError(404, "resource-not-found", f"{self.id} has no mode {mode!r}")
        return MODES[mode]

    def restart(self, reset_type: object) -> None:
        if str(reset_type).lower() not in RESETS:
            raise SovdError(400, "incomplete-request", f"ResetType must be one of {', '.join(RESETS)}")
        self.ecu.reset()
        self.executions.clear()
        self.modes = {mode: values[0] for mode, values in MODES.items()}

    # --- locks (7.17)

    def locks(self, client: str) -> list[Object]:
        lock = self.current_lock()
        return [] if lock is None else [lock.object(client)]

    def current_lock(self) -> Lock | None:
        if self.lock is not None and self.lock.expires_at <= time.time():
            self.lock = None
        return self.lock

    def acquire(self, client: str, owner: str, seconds: float) -> Lock:
        if self.current_lock() is not None:
            raise self._locked()
        self.lock = Lock(self._number("lock"), client, owner, time.time() + seconds)
        return self.lock

    def own_lock(self, client: str, lock_id: str) -> Lock:
        lock = self.current_lock()
        if lock is None or lock.id != lock_id:
            raise SovdError(404, "resource-not-found", f"{self.id} has no lock {lock_id!r}")
        if lock.client != client:
            raise SovdError(403, "insufficient-access-rights", "the lock belongs to another client")
        return lock

    def check_unlocked(self, client: str) -> None:
        """For what changes something."""
        lock = self.current_lock()
        if lock is not None and lock.client != client:
            raise self._locked()

    def _locked(self) -> SovdError:
        owner = "" if self.lock is None else self.lock.owner
        return SovdError(
            409, "preconditions-not-fulfilled", f"{self.id} is locked", {"owner": owner} if owner else None
        )

    # --- cyclic subscriptions (7.10)

    def subscribe(self, resource: object, interval: object, duration: object) -> Object:
        prefix = f"{self.path}/data/"
        if not isinstance(resource, str) or not resource.startswith(prefix):
            raise SovdError(400, "incomplete-request", f"resource must begin with {prefix}")
        if interval not in INTERVALS:
            raise SovdError(400, "incomplete-request", f"interval must be one of {', '.join(INTERVALS)}")
        if not isinstance(duration, int) or duration <= 0:
            raise SovdError(400, "incomplete-request", "duration must be a number of seconds above 0")
        self.read(resource.removeprefix(prefix))
        subscription = Subscription(
            self._number("subscription"), resource.removeprefix(prefix), str(interval), time.monotonic() + duration
        )
        self.subscriptions[subscription.id] = subscription
        return self.subscription(subscription.id)

    def subscription(self, subscription_id: str) -> Object:
        subscription = self.subscribed(subscription_id)
        return {
            "id": subscription.id,
            "observed_resource": f"{self.path}/data/{subscription.data_id}",
            "event_source": f"{self.path}/cyclic-subscriptions/{subscription.id}/events",
            "protocol": "sse",
            "interval": subscription.interval,
        }

    def subscribed(self, subscription_id: str) -> Subscription:
        if subscription_id not in self.subscriptions:
            raise SovdError(404, "resource-not-found", f"{self.id} has no subscription {subscription_id!r}")
        return self.subscriptions[subscription_id]

    def _number(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"


class SovdVehicle:
    """The components of one vehicle. Built when first asked for."""

    def __init__(self, model: VehicleModel, path: str) -> None:
        self.model = model
        self.path = path
        self._components: dict[str, Component] = {}
        self.away_until = 0.0

    def component(self, component_id: str) -> Component:
        if component_id in self._components:
            return self._components[component_id]
        for ecu_type in ECU_TYPES.values():
            if ecu_type.name.lower() == component_id:
                path = f"{self.path}/components/{component_id}"
                made = Component(path, ecu_type, self.model.ecu(ecu_type.address), self.model)
                return self._components.setdefault(component_id, made)
        raise SovdError(404, "entity-not-found", f"the vehicle has no component {component_id!r}")

    def component_list(self) -> list[Object]:
        return [
            {
                "id": ecu_type.name.lower(),
                "name": ecu_type.name,
                "href": f"{self.path}/components/{ecu_type.name.lower()}",
            }
            for ecu_type in ECU_TYPES.values()
        ]

    def forget(self) -> None:
        """The server starts anew: executions, locks and subscriptions are gone."""
        self._components.clear()


def _operation(routine: Routine) -> Object:
    return {
        "id": routine.name,
        "name": routine.name,
        "proximity_proof_required": False,
        "asynchronous_execution": routine.duration_s > 0,
        "x-routine-id": f"0x{routine.id:04X}",
    }


def _fault(text: str) -> Object:
    """A fault of the catalogue as SOVD has it: the code without 0x, the status byte as `mask` (table 61)."""
    fault: Object = json.loads(text)
    del fault["ecuAddress"]
    fault["code"] = fault["code"].removeprefix("0x")
    fault["scope"] = "Default"
    fault["status"]["mask"] = fault["status"].pop("raw")
    return fault


def _bytes(value: object, name: str) -> bytes:
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise SovdError(400, "incomplete-request", f"{name} must be pairs of hexadecimal digits")
    return bytes.fromhex(match[1])
