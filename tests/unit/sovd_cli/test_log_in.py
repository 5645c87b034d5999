"""Log-in, its storage, and refreshing it behind the user's back."""

import io
import json
import subprocess
import sys
import threading

import pytest

from sovd_cli.api import StoredTokens, http_client
from sovd_cli.credentials import CredentialStore
from tests.unit.sovd_cli.conftest import Sovd
from tests.unit.sovd_cli.fake_api import FakeApi, problem


def test_log_in_is_remembered_in_a_private_file(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("engineer123\n"))
    ran = stranger("login", "--username", "engineer", "--password-stdin")
    assert ran.code == 0
    assert ran.err == f"logged in at {stranger.url} as engineer\n"
    assert stranger.credentials.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("SOVD_URL")  # the server is remembered too
    who = stranger("whoami", "--json")
    assert who.documents == [{"username": "engineer", "role": "engineer"}]


def test_log_in_asks_for_what_is_missing(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"Username": "engineer", "Password": "engineer123"}
    monkeypatch.setattr("typer.prompt", lambda text, **_: answers[text])
    assert stranger("login").code == 0
    assert "engineer" in stranger("whoami").out


def test_wrong_password(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    ran = stranger("login", "-u", "engineer", "--password-stdin")
    assert (ran.code, ran.err) == (7, "sovd: INVALID_CREDENTIALS: wrong name or password\n")
    assert not stranger.credentials.exists()


def test_a_password_is_not_sent_in_the_clear_without_a_word(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("engineer123\n"))
    monkeypatch.setattr("sovd_cli.commands.auth.log_in", lambda *_: None)
    ran = stranger("login", "--url", "http://sovd.example", "-u", "engineer", "--password-stdin")
    assert "not encrypted" in ran.err


@pytest.mark.parametrize("url", ["ftp://host", "localhost:8000", "http://", "http://[::1"])
def test_a_url_must_be_one(stranger: Sovd, url: str) -> None:
    ran = stranger("login", "--url", url, "-u", "x")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1


def test_password_stdin_needs_a_user_name(stranger: Sovd) -> None:
    assert stranger("login", "--password-stdin").code == 2


def test_log_out_ends_the_session_and_forgets_it(sovd: Sovd, api: FakeApi) -> None:
    assert sovd("logout").code == 0
    assert api.calls == ["POST /api/v1/auth/logout"]
    assert json.loads(sovd.credentials.read_text())["logins"] == {}
    ran = sovd("logout")
    assert (ran.code, ran.err) == (7, f"sovd: not logged in at {sovd.url}\n")


def test_log_out_forgets_even_when_the_server_says_no(sovd: Sovd, api: FakeApi) -> None:
    api.problems["/api/v1/auth/logout"] = [lambda: problem(500, "INTERNAL_ERROR")]
    ran = sovd("logout")
    assert ran.code == 0
    assert "did not confirm" in ran.err
    assert json.loads(sovd.credentials.read_text())["logins"] == {}


def test_who_is_not_logged_in_is_told_how(stranger: Sovd) -> None:
    ran = stranger("vehicles")
    assert ran.code == 7
    assert ran.err == f"sovd: not logged in at {stranger.url}: run 'sovd login --url {stranger.url}'\n"


def test_an_expired_access_token_is_refreshed_silently(sovd: Sovd, api: FakeApi) -> None:
    api.access = "access-9"
    ran = sovd("whoami", "--json")
    assert (ran.code, ran.err) == (0, "")
    stored = json.loads(sovd.credentials.read_text())["logins"][sovd.url]
    assert (stored["access_token"], stored["refresh_token"]) == ("access-2", "refresh-2")
    assert sovd.credentials.stat().st_mode & 0o777 == 0o600


def test_an_ended_session_asks_for_a_new_log_in(sovd: Sovd, api: FakeApi) -> None:
    api.access, api.refresh = "access-9", "refresh-9"
    ran = sovd("whoami")
    assert ran.code == 7
    assert ran.err == "sovd: TOKEN_EXPIRED: the access token has expired; run 'sovd login'\n"
    assert json.loads(sovd.credentials.read_text())["logins"] == {}


def test_a_given_token_is_used_as_it_is(stranger: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVD_TOKEN", "access-1")
    assert stranger("whoami").code == 0
    monkeypatch.setenv("SOVD_TOKEN", "access-0")
    assert stranger("whoami").code == 7
    assert "POST /api/v1/auth/refresh" not in api.calls


def test_a_token_goes_to_no_other_server(sovd: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVD_URL", sovd.url.replace("127.0.0.1", "localhost"))
    assert sovd("whoami").code == 7
    assert api.calls == []


def test_two_that_refresh_at_once_use_the_refresh_token_once(sovd: Sovd, api: FakeApi) -> None:
    api.access, api.refresh_delay = "access-9", 0.05
    renewed: list[str | None] = []

    def renew() -> None:
        with http_client(sovd.url) as http:
            renewed.append(StoredTokens(CredentialStore(sovd.credentials), sovd.url).renewed("access-1", http))

    threads = [threading.Thread(target=renew) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert renewed == ["access-2"] * 4
    assert api.refreshes == 1


def test_two_processes_that_refresh_at_once(sovd: Sovd, api: FakeApi) -> None:
    api.access, api.refresh_delay = "access-9", 0.2
    command = [sys.executable, "-m", "sovd_cli", "whoami", "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0] and process.returncode for process in running] == [0, 0]
    assert api.refreshes == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"current": null, "logins": {"x": {"y": 1}}}', "null"])
def test_a_damaged_file_is_one_clear_line(stranger: Sovd, content: str) -> None:
    stranger.credentials.write_text(content)
    ran = stranger("whoami")
    assert ran.code == 7
    assert ran.err == f"sovd: {stranger.credentials} is damaged: delete it and run 'sovd login'\n"


def test_a_file_that_cannot_be_read_or_written(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger.credentials.mkdir()
    assert stranger("whoami").code == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("engineer123\n"))
    monkeypatch.setenv("SOVD_CONFIG", "/proc/nowhere/credentials.json")
    ran = stranger("login", "-u", "engineer", "--password-stdin")
    assert ran.code == 2
    assert "cannot lock /proc/nowhere/credentials.json" in ran.err


def test_the_file_is_under_the_xdg_directory(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOVD_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(stranger.credentials.parent / "xdg"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("engineer123\n"))
    assert stranger("login", "-u", "engineer", "--password-stdin").code == 0
    path = stranger.credentials.parent / "xdg" / "sovd" / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
