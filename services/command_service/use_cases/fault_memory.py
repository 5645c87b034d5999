"""The fault memory of a vehicle's ECUs as it was last read, and as it was read before that."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from command_service.domain.command import Command
from command_service.domain.results import RecordedResponse
from command_service.use_cases.ports import Storage
from service_kit.errors import NotFound
from service_kit.uds import is_functional

# Of a vehicle; what was read before them is not looked for.
NEWEST_COMMANDS = 5000
READINGS_EACH = 2
MAX_RESPONSES_EACH = 1000
# One answer stays well under gRPC's message limit, however long the responses are.
MAX_ANSWER_CHARACTERS = 3_000_000
ALL_FAULTS = 0xFF


@dataclass(frozen=True, slots=True)
class Reading:
    """`faults` are JSON objects as the vehicle sent them."""

    command: Command
    faults: list[str]
    truncated: bool


@dataclass(frozen=True, slots=True)
class EcuFaultMemory:
    address: int
    latest: Reading
    previous: Reading | None


class ReadFaultMemory:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def __call__(self, vehicle_id: str) -> list[EcuFaultMemory]:
        """By address, of each ECU that has been read. Raises NotFound."""
        async with self._storage.reading() as uow:
            if vehicle_id not in await uow.vehicles.get([vehicle_id]):
                raise NotFound("UNKNOWN_VEHICLE", f"there is no vehicle {vehicle_id}")
            chosen = _choose(await uow.reports.fault_readings(vehicle_id, NEWEST_COMMANDS))
            known = [(command.command_id, 0) for commands in chosen.values() for command in commands]
            responses = await uow.responses.after_each(known, MAX_RESPONSES_EACH) if known else {}
        readings = _readings(chosen, responses)
        return [_of_ecu(address, [readings[one.command_id] for one in chosen[address]]) for address in chosen]


def _choose(newest_first: Iterable[Command]) -> dict[int, list[Command]]:
    """By address, the newest two that can be compared: those that asked for all faults or, where an ECU has none, those
    with the mask of its newest."""
    by_ecu: defaultdict[int, defaultdict[int, list[Command]]] = defaultdict(lambda: defaultdict(list))
    for command in newest_first:
        parameters = json.loads(command.command_params)
        address = int(parameters["ecuAddress"], 16)
        if not is_functional(address):
            by_ecu[address][int(parameters.get("statusMask", f"{ALL_FAULTS:#x}"), 16)].append(command)
    return {
        address: by_mask.get(ALL_FAULTS, next(iter(by_mask.values())))[:READINGS_EACH]
        for address, by_mask in sorted(by_ecu.items(), key=itemgetter(0))
    }


def _readings(
    chosen: Mapping[int, Sequence[Command]], responses: Mapping[str, Sequence[RecordedResponse]]
) -> dict[str, Reading]:
    """The latest of all ECUs come before what they are compared to, should there be no room for all."""
    room, readings = MAX_ANSWER_CHARACTERS, {}
    for place in range(READINGS_EACH):
        for command in (commands[place] for commands in chosen.values() if len(commands) > place):
            found = responses.get(command.command_id, ())
            faults = [one.body for one in found if one.attempt == command.attempt and "code" in json.loads(one.body)]
            fitting = _fitting(faults, room)
            room -= sum(map(len, fitting))
            truncated = len(found) < command.responses or len(fitting) < len(faults)
            readings[command.command_id] = Reading(command, fitting, truncated)
    return readings


def _fitting(faults: Sequence[str], room: int) -> list[str]:
    fitting = []
    for fault in faults:
        room -= len(fault)
        if room < 0:
            break
        fitting.append(fault)
    return fitting


def _of_ecu(address: int, readings: Sequence[Reading]) -> EcuFaultMemory:
    return EcuFaultMemory(address, readings[0], readings[1] if len(readings) > 1 else None)
