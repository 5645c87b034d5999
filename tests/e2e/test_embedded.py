"""`sovd up` as somebody runs it for the first time: a real process, the demo data, a restart."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

SOVD = [sys.executable, "-m", "sovd_cli"]
DEMO_VIN, SECOND_VIN, OFFLINE_VIN = "WDD1234567890ABCD", "WDD0987654321ZYXW", "WBA1122334455FFEE"
READ_DTC = ("run", "ReadDTC", "--vin", DEMO_VIN, "--param", "ecuAddress=0x10", "--json")


class Running:
    """A running `sovd up` and the command line of one of its users."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, directory: Path) -> None:
        self.process = process
        self.url = url
        self.directory = directory
        self._environment = {**os.environ, "SOVD_URL": url, "SOVD_CONFIG": str(directory / "credentials.json")}

    def sovd(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*SOVD, *arguments], env=self._environment, input=stdin, capture_output=True, text=True, check=False
        )

    def documents(self, *arguments: str) -> list[Any]:
        ran = self.sovd(*arguments)
        assert (ran.returncode, ran.stderr) == (0, "")
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def log_in(self, username: str = "engineer", password: str = "engineer123") -> None:
        ran = self.sovd("login", "--username", username, "--password-stdin", stdin=password)
        assert ran.returncode == 0, ran.stderr


@contextmanager
def running(directory: Path, port: int = 0) -> Iterator[Running]:
    """Ends it with Ctrl-C, and that must be clean."""
    command = [*SOVD, "up", "--port", str(port), "--data-dir", str(directory / "data")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        greeting = ""
        while "Ctrl-C" not in greeting:
            line = process.stdout.readline()
            assert line or process.poll() is None, process.communicate()[1]
            greeting += line
        found = re.search(r"http://\S+:\d+", greeting)
        assert found is not None
        yield Running(process, found[0], directory)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
        assert (process.returncode, complaints) == (0, "")
    finally:
        process.kill()
        process.communicate()


def events_over_websocket(url: str, command_id: str) -> list[Any]:
    """As the README's tour does it, without the command line."""
    with httpx.Client(base_url=url) as http:
        login = http.post("/api/v1/auth/login", json={"username": "engineer", "password": "engineer123"}).json()
        bearer = {"Authorization": f"Bearer {login['access_token']}"}
        ticket = http.post("/api/v1/auth/ws-ticket", headers=bearer).json()["ticket"]
    with connect(f"{url.replace('http', 'ws')}/ws/responses/{command_id}?ticket={ticket}") as events:
        return [json.loads(event) for event in events]


@pytest.fixture(scope="module")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """In which the second vehicle drives."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DRIVING_VEHICLES", SECOND_VIN)
        with running(tmp_path_factory.mktemp("system")) as system:
            yield system


@pytest.fixture
def system(shared_system: Running, tmp_path: Path) -> Running:
    """As somebody sees it who has not logged in yet."""
    return Running(shared_system.process, shared_system.url, tmp_path)


def test_a_vehicle_that_drives_is_not_changed(system: Running) -> None:
    system.log_in()
    assert "vehicle speed = 0 km/h" in system.sovd("command-types").stdout
    clear = ("run", "ClearDTC", "--param", "ecuAddress=0x10", "--vin")
    assert system.sovd(*clear, DEMO_VIN).returncode == 0
    refused = system.sovd(*clear, SECOND_VIN)
    assert refused.returncode != 0
    assert re.search(r"PRECONDITION_FAILED: vehicle speed is \d+ km/h, must be 0 km/h", refused.stdout)
    assert system.sovd("run", "ReadDTC", "--param", "ecuAddress=0x10", "--vin", SECOND_VIN).returncode == 0


def test_a_locked_vehicle_is_changed_by_nobody_else(system: Running) -> None:
    system.log_in("admin", "admin123")
    assert system.sovd("vehicles", "lock", DEMO_VIN, "--minutes", "1").returncode == 0
    system.log_in()
    refused = system.sovd("run", "ClearDTC", "--param", "ecuAddress=0x10", "--vin", DEMO_VIN)
    assert f"VEHICLE_LOCKED: vehicle {DEMO_VIN} is locked by admin until" in refused.stderr
    assert system.sovd(*READ_DTC).returncode == 0
    assert "FORBIDDEN" in system.sovd("vehicles", "unlock", DEMO_VIN, "--break").stderr
    system.log_in("admin", "admin123")
    assert system.sovd("vehicles", "unlock", DEMO_VIN).returncode == 0


def test_the_main_job_and_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        system.log_in()
        fleet = {vehicle["vin"]: vehicle["connection_status"] for vehicle in system.documents("vehicles", "--json")}
        assert fleet == {DEMO_VIN: "online", "WDD0987654321ZYXW": "online", OFFLINE_VIN: "offline"}

        command, *events = system.documents(*READ_DTC)
        answers = [event["response"] for event in events if event["event"] == "response"]
        assert len(answers) == 3
        assert all({"code", "display_code", "status"} <= answer.keys() for answer in answers[:2])
        assert answers[2] == {"ecuAddress": "0x10", "count": 2}
        assert events[-1]["event"] == "status"
        assert events[-1]["status"] == "completed"
        assert events[-1]["responses"] == 3

        watched = events_over_websocket(system.url, command["command_id"])
        assert [event["response"] for event in watched if event["event"] == "response"] == answers
        assert watched[-1]["status"] == "completed"

    port = httpx.URL(system.url).port
    assert port is not None
    with running(tmp_path, port) as system:  # the log-in is still good, and the history is there
        [again] = system.documents("commands", "--vin", DEMO_VIN, "--json")
        assert (again["command_id"], again["status"], again["responses"]) == (command["command_id"], "completed", 3)
        shown = system.documents("show", command["command_id"], "--json")
        assert [answer["response"] for answer in shown[1:]] == answers
        assert system.documents(*READ_DTC)[-1]["status"] == "completed"
        system.log_in("admin", "admin123")
        [trail] = system.documents("audit", "verify", "--json")
        assert trail["intact"]


def test_a_vehicle_that_is_away(system: Running) -> None:
    system.log_in()
    run = ("run", "ReadDTC", "--vin", OFFLINE_VIN, "--param", "ecuAddress=0x10")
    [command] = system.documents(*run, "--no-wait", "--json")
    assert command["status"] == "pending"
    assert system.sovd("cancel", command["command_id"]).stdout == "prevented\n"
    assert system.sovd("watch", command["command_id"]).returncode == 5
    expired = system.sovd(*run, "--expires-in", "1")
    assert expired.returncode == 4, expired.stderr


def test_bad_use_of_a_real_server(system: Running) -> None:
    assert system.sovd("vehicles").returncode == 7
    refused = system.sovd("login", "--username", "engineer", "--password-stdin", stdin="wrong")
    assert refused.returncode == 7
    assert refused.stderr.startswith("sovd: INVALID_CREDENTIALS: ")
    system.log_in()
    given = ("--param", "ecuAddress=0x10", "--param", "statusMask=all")
    wrong = system.sovd("run", "ReadDTC", "--vin", DEMO_VIN, *given)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("sovd: INVALID_PARAMETERS: ")
    assert system.sovd("audit", "list").returncode == 7
    for command in ("show", "watch", "cancel"):
        unknown = system.sovd(command, "01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b")
        assert (unknown.returncode, unknown.stderr.startswith("sovd: UNKNOWN_COMMAND: ")) == (2, True)
        assert len(unknown.stderr.splitlines()) == 1


def failed_start(*options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **variables}
    return subprocess.run([*SOVD, "up", *options], env=environment, capture_output=True, text=True, check=False)


def test_one_system_for_each_data_directory_and_port(shared_system: Running, tmp_path: Path) -> None:
    data = shared_system.directory / "data"
    second = failed_start("--port", "0", "--data-dir", str(data))
    assert second.returncode == 1
    assert second.stderr.startswith(f"sovd: another sovd runs on {data}")
    taken = httpx.URL(shared_system.url).port
    third = failed_start("--port", str(taken), "--data-dir", str(tmp_path / "other"))
    assert third.returncode == 1
    assert third.stderr.startswith(f"sovd: cannot listen on 127.0.0.1 port {taken}: Address already in use")


@pytest.mark.parametrize(
    ("variables", "options", "code", "line"),
    [
        ({"LOG_LEVEL": "LOUD"}, (), 78, "LOG_LEVEL: "),
        ({}, ("--data-dir", "/proc/nowhere"), 1, "sovd: "),
        ({}, ("--port", "70000"), 2, "sovd: "),
    ],
)
def test_a_start_that_cannot_be_is_one_line(
    tmp_path: Path, variables: dict[str, str], options: tuple[str, ...], code: int, line: str
) -> None:
    failed = failed_start("--port", "0", "--data-dir", str(tmp_path), *options, **variables)
    assert failed.returncode == code
    assert failed.stderr.startswith(line)
    assert len(failed.stderr.splitlines()) == 1
