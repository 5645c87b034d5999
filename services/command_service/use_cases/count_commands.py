"""How many commands a filter finds, as far as somebody wants to know."""

from command_service.use_cases.ports import CommandFilter, Storage


class CountCommands:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def __call__(self, filter_: CommandFilter, at_most: int) -> int:
        async with self._storage.reading() as uow:
            return await uow.reports.count_commands(filter_, at_most)
