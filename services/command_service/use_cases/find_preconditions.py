"""Which preconditions commands have that are just sent to their vehicles."""

import json
from collections.abc import Mapping, Sequence

from command_service.domain.command import Command
from command_service.domain.preconditions import PreconditionRules, Required
from command_service.use_cases.ports import Storage

_REMEMBERED_VINS = 10_000


class FindPreconditions:
    def __init__(self, storage: Storage, rules: PreconditionRules) -> None:
        self._storage = storage
        self._rules = rules
        # A vehicle keeps its VIN.
        self._vins: dict[str, str] = {}

    async def __call__(self, commands: Sequence[Command]) -> Mapping[str, list[Required]]:
        """By command_id; what has none is missing."""
        concerned = [command for command in commands if command.command_name in self._rules.of_types]
        if not concerned:
            return {}
        await self._learn_vins({command.vehicle_id for command in concerned})
        return {command.command_id: required for command in concerned if (required := self._required(command))}

    async def _learn_vins(self, vehicle_ids: set[str]) -> None:
        unknown = vehicle_ids - self._vins.keys()
        if not unknown:
            return
        if len(self._vins) + len(unknown) > _REMEMBERED_VINS:
            self._vins.clear()
            unknown = vehicle_ids
        async with self._storage.reading() as uow:
            self._vins.update(await uow.vehicles.vins(unknown))

    def _required(self, command: Command) -> list[Required]:
        parameters = json.loads(command.command_params)
        return self._rules.required(command.command_name, parameters, self._vins[command.vehicle_id])
