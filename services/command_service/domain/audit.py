"""The audit trail: entries, and the hash chain that shows when one was changed, removed or put in later."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

GENESIS = "0" * 64
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action. `chain_number` (1..n) and `hash` are set by the sealer; 0 and "" until then."""

    entry_id: str
    at: datetime
    action: str
    actor_id: str
    actor_name: str
    subject_kind: str
    subject_id: str
    outcome: str
    details: dict[str, Any] = field(default_factory=dict)
    remote_address: str = ""
    chain_number: int = 0
    hash: str = ""


def entry_hash(previous_hash: str, chain_number: int, entry: AuditEntry) -> str:
    """SHA-256 (hex) over the previous hash, the place and every recorded fact of the entry, in one canonical form."""
    facts = [
        previous_hash,
        chain_number,
        entry.entry_id,
        int(entry.at.timestamp() * 1_000_000 + 0.5),
        entry.action,
        entry.actor_id,
        entry.actor_name,
        entry.subject_kind,
        entry.subject_id,
        entry.outcome,
        entry.details,
        entry.remote_address,
    ]
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def seal(entries: Iterable[AuditEntry], last_number: int, last_hash: str) -> list[AuditEntry]:
    """The entries, chained on after the last sealed one (0 and GENESIS when there is none)."""
    sealed = []
    for entry in entries:
        last_number += 1
        last_hash = entry_hash(last_hash, last_number, entry)
        sealed.append(replace(entry, chain_number=last_number, hash=last_hash))
    return sealed


@dataclass(slots=True)
class ChainCheck:
    """Verifies a chain page by page: feed it the sealed entries in order, then look at `broken_at`."""

    last_number: int = 0
    last_hash: str = GENESIS
    broken_at: int | None = None
    reason: str = ""

    def feed(self, entries: Iterable[AuditEntry]) -> None:
        for entry in entries:
            if self.broken_at is None:
                self._feed_one(entry)

    def _feed_one(self, entry: AuditEntry) -> None:
        expected = self.last_number + 1
        if entry.chain_number != expected:
            self.broken_at, self.reason = expected, f"entry {expected} is missing"
        elif entry_hash(self.last_hash, expected, entry) != entry.hash:
            self.broken_at, self.reason = expected, f"entry {expected} was changed"
        else:
            self.last_number, self.last_hash = expected, entry.hash
