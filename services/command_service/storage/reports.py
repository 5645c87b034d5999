"""What is asked about many commands at once, in few statements."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from command_service.domain.command import Command, Status
from command_service.domain.vehicle import ConnectionStatus
from command_service.storage import summary
from command_service.storage.command_filters import conditions_of, has_status
from command_service.storage.commands import command_columns, command_of
from command_service.storage.session import Session, at_most, is_identifier, is_value
from command_service.storage.tables import commands
from command_service.use_cases.ports import CommandFilter, EndedCount


class SqlReportRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def fault_readings(self, vehicle_id: str, among_newest: int) -> list[Command]:
        if not is_identifier(vehicle_id):
            return []
        # First the vehicle's newest, by the one index that gives them: only so is it sure how many rows are read.
        of_vehicle = select(commands).where(is_value(commands.c.vehicle_id, vehicle_id))
        newest = of_vehicle.order_by(commands.c.accept_number.desc()).limit(at_most(among_newest)).subquery("newest")
        query = select(*(newest.c[column.name] for column in command_columns)).where(
            newest.c.command_name == "ReadDTC",
            newest.c.status == Status.COMPLETED,
            newest.c.responses_deleted_at.is_(None),
        )
        return [command_of(row) for row in await self._session.rows(query.order_by(newest.c.accept_number.desc()))]

    async def count_commands(self, filter_: CommandFilter, at_most_: int) -> int:
        conditions = list(conditions_of(filter_, None))
        # One look per status, as for a page.
        looks = [[*conditions, has_status(status)] for status in sorted(filter_.statuses)] or [conditions]
        return min(at_most_, sum([await self._count(look, at_most_) for look in looks]))

    async def _count(self, conditions: Sequence[ColumnElement[bool]], limit: int) -> int:
        numbers = select(commands.c.accept_number).where(*conditions).order_by(commands.c.accept_number.desc())
        query = select(func.count()).select_from(numbers.limit(at_most(limit)).subquery())
        (count,) = await self._session.column(query)
        return int(count)

    async def ended_since(self, since: datetime) -> list[EndedCount]:
        return [EndedCount(*row) for row in await self._session.rows(summary.ended_since, {"since": since})]

    async def open_since(self, since: datetime) -> dict[str, int]:
        return dict(await self._session.rows(summary.open_since, {"since": since}))

    async def count_vehicles(self) -> tuple[int, int]:
        counts: dict[str, int] = dict(await self._session.rows(summary.vehicles_by_status))
        return counts.get(ConnectionStatus.ONLINE, 0), counts.get(ConnectionStatus.OFFLINE, 0)

    async def count_waiting_for_offline_vehicles(self) -> int:
        (count,) = await self._session.column(summary.waiting_for_offline)
        return int(count)

    async def first_unfolded_end(self, before: datetime) -> datetime | None:
        found: list[datetime] = await self._session.column(summary.first_unfolded_end, {"before": before})
        return found[0] if found else None

    async def lock_folded_until(self) -> datetime:
        (until,) = await self._session.column(summary.lock_folded_until)
        locked: datetime = until
        return locked

    async def fold(self, until: datetime) -> None:
        fold = summary.fold_on_sqlite if self._session.sqlite else summary.fold_on_postgresql
        await self._session.execute(fold, {"until": until})
        await self._session.execute(summary.move_mark, {"until": until})

    async def forget_hours_before(self, before: datetime) -> None:
        await self._session.execute(summary.forget_hours, {"before": before})
