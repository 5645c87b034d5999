"""Password hashes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher

from gateway.passwords import Passwords
from service_kit.errors import Unavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    await passwords.close()


async def test_the_right_password_and_the_wrong_one(passwords: Passwords) -> None:
    password_hash = await passwords.hash("correct horse")
    assert password_hash.startswith("$argon2id$")
    assert "correct" not in password_hash
    assert await passwords.verify(password_hash, "correct horse")
    assert not await passwords.verify(password_hash, "wrong horse")
    assert not await passwords.verify("not a hash", "correct horse")


async def test_an_unknown_user_is_checked_too_and_never_right(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes | str] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, password_hash: bytes | str, password: bytes | str) -> bool:
        checked.append(password_hash)
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    assert not await passwords.verify(None, "nobody has this password")
    assert len(checked) == 1


async def test_parameters_of_the_past_are_noticed(passwords: Passwords) -> None:
    assert not passwords.is_outdated(await passwords.hash("x"))
    assert passwords.is_outdated(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash("x"))


async def test_only_so_many_wait(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.passwords.MAX_WAITING", 3)
    results = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [bool, bool, bool, Unavailable, Unavailable]
