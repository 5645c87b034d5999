from dataclasses import replace

import pytest

from command_service.domain.audit import GENESIS, AuditEntry, ChainCheck, seal
from tests.unit.command_service.builders import after


def entries(count: int) -> list[AuditEntry]:
    return [
        AuditEntry(f"id-{n}", after(n), "command.submitted", "u", "engineer", "command", f"c{n}", "pending", {"n": n})
        for n in range(count)
    ]


def check(sealed: list[AuditEntry]) -> ChainCheck:
    chain = ChainCheck()
    chain.feed(sealed)
    return chain


def test_a_sealed_chain_verifies_and_goes_on() -> None:
    first = seal(entries(3), 0, GENESIS)
    second = seal(entries(2), first[-1].chain_number, first[-1].hash)
    chain = check(first + second)
    assert (chain.broken_at, chain.last_number) == (None, 5)


@pytest.mark.parametrize(
    "change", [{"outcome": "completed"}, {"actor_name": "someone"}, {"details": {"n": 9}}, {"hash": "0" * 64}]
)
def test_a_changed_entry_shows(change: dict[str, object]) -> None:
    sealed = seal(entries(5), 0, GENESIS)
    sealed[2] = replace(sealed[2], **change)  # type: ignore[arg-type]
    chain = check(sealed)
    assert (chain.broken_at, chain.reason) == (3, "entry 3 was changed")


def test_a_removed_entry_shows() -> None:
    sealed = seal(entries(5), 0, GENESIS)
    del sealed[1]
    assert check(sealed).reason == "entry 2 is missing"


def test_an_entry_put_in_shows() -> None:
    sealed = seal(entries(5), 0, GENESIS)
    sealed.insert(2, replace(sealed[1], entry_id="forged", chain_number=3))
    assert check(sealed).broken_at == 3
