"""The data directory: secrets that stay, and one process at a time."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from embedded.data_directory import DataDirectory


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "a" / "b")
    made = directory.secrets()
    assert DataDirectory(tmp_path / "a" / "b").secrets() == made
    assert len({made.service_token, made.jwt_secret, made.vehicle_credential_secret}) == 3
    assert (directory.path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert made.jwt_secret not in repr(made)


@pytest.mark.parametrize("content", ["", "[]", '{"service_token": "x"}'])
def test_damaged_secrets_are_said_to_be(tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets.json").write_text(content)
    with pytest.raises(OSError, match="is damaged: delete it"):
        DataDirectory(tmp_path).secrets()


@pytest.mark.parametrize("service", ["gateway", "command_service"])
@pytest.mark.parametrize("damage", [(0, b"no database"), (4096, b"\xa5" * 4096), (8192, b"\xa5" * 4096)])
def test_a_damaged_database_is_named(tmp_path: Path, service: str, damage: tuple[int, bytes]) -> None:
    file = tmp_path / f"{service}.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript("CREATE TABLE a (b); CREATE TABLE c (d); INSERT INTO c VALUES (1)")
    directory = DataDirectory(tmp_path)
    directory.check_databases()
    with file.open("r+b") as content:
        content.seek(damage[0])
        content.write(damage[1])
    with pytest.raises(OSError, match=f"^{re.escape(str(file))} is damaged \\(.+\\): put a copy .+, or delete") as told:
        directory.check_databases()
    assert "\n" not in str(told.value)


def test_a_database_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").mkdir()
    DataDirectory(tmp_path).check_databases()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path).locked(), DataDirectory(tmp_path).locked()
    with first, pytest.raises(OSError, match="another sovd runs on"), second:
        pass
    with DataDirectory(tmp_path).locked():
        pass


def test_each_service_has_a_database_of_its_own(tmp_path: Path) -> None:
    assert DataDirectory(tmp_path).database_url("gateway") == f"sqlite:///{tmp_path}/gateway.db"
