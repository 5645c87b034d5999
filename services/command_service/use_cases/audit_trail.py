"""The audit trail: taken in, listed, sealed into its chain, verified."""

from collections.abc import Sequence
from dataclasses import dataclass

from command_service.domain.audit import AuditEntry, ChainCheck, seal
from command_service.use_cases.cursors import decode_time_and_text, encode_cursor
from command_service.use_cases.ports import AuditFilter, Storage

_SEALED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """`broken_at`: first place of the chain that does not verify, None when it is intact."""

    sealed: int
    unsealed: int
    broken_at: int | None
    reason: str


class AuditTrail:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """An entry that is recorded already is left as it is."""
        async with self._storage.transaction() as uow:
            await uow.audit.append(entries)
            await uow.commit()

    async def page(self, filter_: AuditFilter, limit: int, cursor: str) -> tuple[list[AuditEntry], str]:
        """Newest first; the next cursor is "" at the end."""
        before = decode_time_and_text(cursor)
        async with self._storage.reading() as uow:
            found = await uow.audit.page(filter_, limit + 1, before)
        page = found[:limit]
        if len(found) <= limit:
            return page, ""
        return page, encode_cursor(int(page[-1].at.timestamp() * 1_000_000 + 0.5), page[-1].entry_id)

    async def seal(self) -> int:
        """Chains what is committed and not sealed; returns how many entries that were."""
        async with self._storage.transaction() as uow:
            number, last_hash = await uow.audit.lock_chain()
            entries = await uow.audit.unsealed(_SEALED_AT_ONCE)
            if entries:
                await uow.audit.store_seals(seal(entries, number, last_hash))
                await uow.commit()
        return len(entries)

    async def verify(self) -> Verification:
        """Recomputes the chain from its start. A tail that was cut off shows by the recorded end."""
        check = ChainCheck()
        async with self._storage.reading() as uow:
            end_number, end_hash = await uow.audit.chain_end()
            async for page in uow.audit.sealed():
                check.feed([entry for entry in page if entry.chain_number <= end_number])
            unsealed = await uow.audit.count_unsealed()
        broken_at, reason = check.broken_at, check.reason
        if broken_at is None and (check.last_number, check.last_hash) != (end_number, end_hash):
            broken_at, reason = (
                check.last_number + 1,
                f"the chain ends at {check.last_number}, recorded end is {end_number}",
            )
        return Verification(check.last_number, unsealed, broken_at, reason)
