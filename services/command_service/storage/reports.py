"""What is asked about many commands at once, in few statements."""

from sqlalchemy import select

from command_service.domain.command import Command, Status
from command_service.storage.commands import command_columns, command_of
from command_service.storage.session import Session, at_most, is_identifier, is_value
from command_service.storage.tables import commands


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
