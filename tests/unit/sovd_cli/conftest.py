import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sovd_cli.program import run
from tests.unit.sovd_cli.fake_api import FakeApi, RunningFake


@dataclass(frozen=True)
class Ran:
    """What one call of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Sovd:
    """Calls the program in this process, with a configuration of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], credentials: Path, url: str) -> None:
        self._capsys = capsys
        self.credentials = credentials
        self.url = url

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = run(arguments)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def log_in(self, access_token: str = "access-1", refresh_token: str = "refresh-1") -> None:
        login = {"username": "engineer", "access_token": access_token, "refresh_token": refresh_token}
        self.credentials.write_text(json.dumps({"current": self.url, "logins": {self.url: login}}))


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def stranger(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Sovd]:
    """The program of somebody who is not logged in."""
    credentials = tmp_path / "credentials.json"
    monkeypatch.setenv("SOVD_CONFIG", str(credentials))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sovd_cli.api.RETRY_DELAYS", (0.001, 0.001))
    monkeypatch.setattr("sovd_cli.live.FIRST_DELAY", 0.001)
    with RunningFake(api) as url:
        monkeypatch.setenv("SOVD_URL", url)
        yield Sovd(capsys, credentials, url)


@pytest.fixture
def sovd(stranger: Sovd) -> Sovd:
    """The program of somebody who is logged in."""
    stranger.log_in()
    return stranger
