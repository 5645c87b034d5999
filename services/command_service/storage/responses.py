"""Responses, as recorded and shown, and evidence: results that came too late to count."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter

from sqlalchemy import BigInteger, Column, Integer, bindparam, delete, lateral, select, true, update

from command_service.domain.results import Evidence, RecordedResponse
from command_service.storage.session import (
    GivenRows,
    InsertRows,
    Session,
    columns_of,
    is_identifier,
    storable,
)
from command_service.storage.tables import commands, evidence, responses
from service_kit.database import UtcDateTime, any_of, db_now

_LARGEST_NUMBER = 2**31 - 1

_response_columns = columns_of(responses, [field.name for field in fields(RecordedResponse)])
_append_responses = InsertRows(responses, _response_columns)
_page_of_responses = (
    select(*_response_columns)
    .where(
        responses.c.command_id == bindparam("command_id"),
        responses.c.sequence_number > bindparam("after", type_=Integer()),
    )
    .order_by(responses.c.sequence_number)
    .limit(bindparam("limit", type_=Integer()))
)

_known_columns = [responses.c.command_id, Column("after", Integer)]
_given_known = GivenRows(_known_columns)
_known = _given_known.table
_next_of_each = lateral(
    select(*_response_columns)
    .where(responses.c.command_id == _known.c.command_id, responses.c.sequence_number > _known.c.after)
    .order_by(responses.c.sequence_number)
    .limit(bindparam("limit", type_=Integer()))
)
_after_each = select(_next_of_each).select_from(_known.join(_next_of_each, true()))

# Two that clean up at once take different commands.
_kept = (
    select(commands.c.command_id)
    .where(
        commands.c.completed_at < bindparam("before", type_=UtcDateTime()),
        commands.c.completed_at.is_not(None),
        commands.c.responses_deleted_at.is_(None),
    )
    .order_by(commands.c.completed_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(key_share=True, skip_locked=True)
)
_delete_responses = delete(responses).where(any_of(responses.c.command_id, "ids"))
_mark_deleted = update(commands).where(any_of(commands.c.command_id, "ids")).values(responses_deleted_at=db_now())

_evidence_columns = columns_of(evidence, [field.name for field in fields(Evidence) if field.name != "evidence_id"])
_evidence_values = attrgetter(*(column.name for column in _evidence_columns))
_append_evidence = InsertRows(evidence, _evidence_columns, ignore_stored=True)
_page_of_evidence = (
    select(*_evidence_columns, evidence.c.evidence_id)
    .where(
        evidence.c.command_id == bindparam("command_id"),
        evidence.c.evidence_id > bindparam("after", type_=BigInteger()),
    )
    .order_by(evidence.c.evidence_id)
    .limit(bindparam("limit", type_=Integer()))
)


class SqlResponseRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def append(self, new: Sequence[RecordedResponse]) -> None:
        await _append_responses(
            self._session,
            [(one.command_id, one.sequence_number, one.attempt, storable(one.body), one.received_at) for one in new],
        )

    async def page(self, command_id: str, after: int, limit: int) -> list[RecordedResponse]:
        if not is_identifier(command_id):
            return []
        parameters = {"command_id": command_id, "after": min(after, _LARGEST_NUMBER), "limit": limit}
        return [RecordedResponse(*row) for row in await self._session.rows(_page_of_responses, parameters)]

    async def after_each(self, known: Sequence[tuple[str, int]], limit_each: int) -> dict[str, list[RecordedResponse]]:
        if self._session.sqlite:
            return {command_id: await self.page(command_id, after, limit_each) for command_id, after in known}
        rows = [(command_id, min(after, _LARGEST_NUMBER)) for command_id, after in known if is_identifier(command_id)]
        found: defaultdict[str, list[RecordedResponse]] = defaultdict(list)
        if rows:
            parameters = _given_known.parameters(rows) | {"limit": limit_each}
            for row in await self._session.rows(_after_each, parameters):
                found[row[0]].append(RecordedResponse(*row))
        return found

    async def delete_of_commands_completed_before(self, before: datetime, limit: int) -> int:
        ids = await self._session.column(_kept, {"before": before, "limit": limit})
        if not ids:
            return 0
        deleted = await self._session.execute(_delete_responses, {"ids": ids})
        await self._session.execute(_mark_deleted, {"ids": ids})
        return deleted.rowcount


class SqlEvidenceRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def append(self, new: Sequence[Evidence]) -> None:
        clean = [replace(one, body=storable(one.body)) for one in new]
        await _append_evidence(self._session, [_evidence_values(one) for one in clean])

    async def page(self, command_id: str, limit: int, after: int) -> list[Evidence]:
        if not is_identifier(command_id):
            return []
        parameters = {"command_id": command_id, "after": after, "limit": limit}
        return [Evidence(*row) for row in await self._session.rows(_page_of_evidence, parameters)]
