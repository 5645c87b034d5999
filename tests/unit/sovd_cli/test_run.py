"""sovd run and watch: answers, outcomes, reconnects, Ctrl-C."""

import json
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from aiohttp import WSCloseCode, web

from tests.unit.sovd_cli.conftest import Sovd
from tests.unit.sovd_cli.fake_api import COMMAND, COMMAND_ID, VEHICLE_ID, VIN, FakeApi, answer, error, problem, status

RUN = ("run", "ReadDTC", "--vin", VIN, "--param", "ecuAddress=0x10")
DONE = status("completed", responses=2)


def test_json_prints_the_command_and_each_event_on_a_line(sovd: Sovd, api: FakeApi) -> None:
    raw = json.dumps(answer(2)).replace('{"n"', '{\n "n"')  # as the vehicle wrote it
    api.connections = [([status("in_progress"), answer(1), raw, DONE], 1000)]
    ran = sovd(*RUN, "--json", "--timeout", "5", "--expires-in", "60", "--priority", "-1", "--idempotency-key", "k")
    assert ran.code == 0
    assert ran.documents == [COMMAND, status("in_progress"), answer(1), answer(2), DONE]
    body = {
        "vehicle_id": VEHICLE_ID,
        "command_name": "ReadDTC",
        "command_params": {"ecuAddress": "0x10"},
        "timeout_seconds": 5,
        "expires_in_seconds": 60,
        "priority": -1,
    }
    assert api.submitted == [(body, "k")]


@pytest.mark.parametrize("by", [("--vin", VIN), ("--vehicle-id", VEHICLE_ID)])
def test_an_ecu_is_chosen_by_its_name(sovd: Sovd, api: FakeApi, by: tuple[str, str]) -> None:
    ran = sovd("run", "ReadDTC", *by, "--param", "ecuAddress=engine", "--no-wait")
    assert ran.code == 0
    ((body, _),) = api.submitted
    assert body["command_params"] == {"ecuAddress": "0x10"}


def test_people_get_a_line_per_answer_when_piped(sovd: Sovd, api: FakeApi) -> None:
    dtc = answer(1, code="0x012345", status={"testFailed": True, "confirmedDTC": False, "raw": "0x01"}, bad="\x1b[2J")
    api.connections = [([dtc, answer(2, count=1), DONE], 1000)]
    ran = sovd(*RUN)
    assert ran.out.splitlines() == [
        "   1  code=0x012345  status=testFailed (raw 0x01)  bad=\ufffd[2J",
        "   2  count=1",
        "completed, 2 responses",
    ]


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (DONE, 0),
        (error("failed", "NEGATIVE_RESPONSE", nrc="0x22", nrc_name="conditionsNotCorrect"), 1),
        (error("timed_out", "VEHICLE_TIMEOUT"), 3),
        (error("expired", "EXPIRED_OFFLINE"), 4),
        (error("cancelled", "CANCELLED"), 5),
        (error("failed", "OUTCOME_UNKNOWN"), 6),
    ],
)
def test_the_exit_code_tells_the_outcome(sovd: Sovd, api: FakeApi, last: dict[str, Any], code: int) -> None:
    api.connections = [([status("in_progress"), last], 1000)]
    assert sovd(*RUN).code == code


def test_a_negative_response_is_named(sovd: Sovd, api: FakeApi) -> None:
    pending = status("in_progress", progress={"nrc": "0x78", "nrc_name": "requestCorrectlyReceived-ResponsePending"})
    refused = error("failed", "NEGATIVE_RESPONSE", nrc="0x22", nrc_name="conditionsNotCorrect")
    api.connections = [([pending, status("pending", attempt=2), refused], 1000)]
    assert sovd(*RUN).out.splitlines() == [
        "in_progress: requestCorrectlyReceived-ResponsePending",
        "pending, attempt 2",
        "failed: NEGATIVE_RESPONSE: so it is (NRC 0x22 conditionsNotCorrect)",
    ]


def test_no_wait_prints_the_command_and_goes(sovd: Sovd, api: FakeApi) -> None:
    assert sovd(*RUN, "--no-wait").out == f"{COMMAND_ID}\n"
    assert sovd(*RUN, "--no-wait", "--json").documents == [COMMAND]
    assert api.submitted[0][1] != api.submitted[1][1]  # two calls are two commands


def test_a_reconnect_goes_on_after_the_last_answer(sovd: Sovd, api: FakeApi) -> None:
    api.connections = [
        ([answer(1), answer(2)], WSCloseCode.ABNORMAL_CLOSURE),
        ([], WSCloseCode.GOING_AWAY),
        ([answer(2), answer(3)], WSCloseCode.OK),  # an early end is no end
        ([DONE], WSCloseCode.OK),
    ]
    ran = sovd(*RUN, "--json")
    assert ran.code == 0
    assert [event["sequence_number"] for event in ran.documents[1:-1]] == [1, 2, 3]
    assert api.afters == [0, 2, 2, 3]
    assert ran.err.count("reconnecting") == 3


def test_a_reconnect_gets_a_new_ticket_with_a_new_token(sovd: Sovd, api: FakeApi) -> None:
    def expire() -> None:
        api.access = "access-9"

    api.connections = [([answer(1)], 4401), ([DONE], 1000)]
    api.on_open = expire
    ran = sovd(*RUN, "--json")
    assert ran.code == 0
    assert api.refreshes == 1


def test_it_gives_up_when_the_server_stays_away(sovd: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sovd_cli.live.GIVE_UP_AFTER_SECONDS", 0)
    api.connections = [([answer(1)], WSCloseCode.ABNORMAL_CLOSURE)]
    ran = sovd(*RUN, "--json")
    assert ran.code == 8
    assert f"go on with 'sovd watch {COMMAND_ID}'" in ran.err


def test_a_refusal_is_final(sovd: Sovd, api: FakeApi) -> None:
    api.connections = [([answer(1)], 1008)]
    ran = sovd(*RUN)
    assert (ran.code, ran.err) == (2, "sovd: the server ended the connection: because\n")


def test_what_a_newer_server_sends_is_passed_over(sovd: Sovd, api: FakeApi) -> None:
    api.connections = [([{"event": "weather"}, [1], DONE], 1000)]
    assert sovd(*RUN, "--json").documents == [COMMAND, DONE]


def test_watch_shows_from_the_first_or_after(sovd: Sovd, api: FakeApi) -> None:
    api.connections = [([answer(1), DONE], 1000), ([answer(4), error("failed", "OUTCOME_UNKNOWN")], 1000)]
    assert sovd("watch", COMMAND_ID, "--json").code == 0
    assert sovd("watch", COMMAND_ID, "--after", "3", "--json").code == 6
    assert api.afters == [0, 3]


def test_watch_of_an_unknown_command(sovd: Sovd) -> None:
    ran = sovd("watch", "nope")
    assert (ran.code, ran.err) == (2, "sovd: UNKNOWN_COMMAND: no such command\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("run", "ReadDTC"), "give the vehicle by --vin, or by --vehicle-id"),
        (("run", "ReadDTC", "--vin", "X"), "UNKNOWN_VEHICLE: no vehicle has the VIN X; 'sovd vehicles' lists them"),
        (("run", "Explode", "--vin", VIN), "UNKNOWN_COMMAND_NAME: 'Explode' is none of ReadDTC"),
        (("run", "ReadDTC", "--vin", VIN), "missing --param ecuAddress=…: the parameters are ecuAddress, statusMask"),
        (
            ("run", "ReadDTC", "--vin", VIN, "-p", "ecu=1"),
            "--param ecu is unknown here: the parameters are ecuAddress, statusMask",
        ),
        (
            ("run", "ReadDTC", "--vin", VIN, "-p", "ecuAddress=Gearbox"),
            "--param ecuAddress=Gearbox: the vehicle has no ECU of this name; it has Engine (0x10)",
        ),
        (("run", "ReadDTC", "--vin", VIN, "--timeout", "soon"), "Invalid value for '--timeout'"),
        (("run", "ReadDTC", "--vim", VIN), "No such option: --vim"),
        (("run",), "Missing argument 'NAME'."),
        (("explode",), "No such command 'explode'."),
    ],
)
def test_bad_use_is_one_line(sovd: Sovd, api: FakeApi, arguments: tuple[str, ...], line: str) -> None:
    ran = sovd(*arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"sovd: {line}")
    assert len(ran.err.splitlines()) == 1
    assert not api.submitted


@pytest.mark.parametrize(
    ("status_code", "code", "exit_code"),
    [(409, "IDEMPOTENCY_CONFLICT", 2), (429, "VEHICLE_QUEUE_FULL", 2), (403, "FORBIDDEN", 7)],
)
def test_a_refused_submission(sovd: Sovd, api: FakeApi, status_code: int, code: str, exit_code: int) -> None:
    api.problems["/api/v1/commands"] = [lambda: problem(status_code, code, "no")]
    ran = sovd(*RUN)
    assert (ran.code, ran.err) == (exit_code, f"sovd: {code}: no\n")


def test_a_lost_answer_is_asked_for_again_with_the_same_key(sovd: Sovd, api: FakeApi) -> None:
    api.problems["/api/v1/commands"] = [lambda: problem(503, "COMMAND_SERVICE_UNAVAILABLE")]
    assert sovd(*RUN, "--no-wait").code == 0
    assert api.calls.count("POST /api/v1/commands") == 2


@pytest.mark.parametrize(("status_code", "code"), [(503, "COMMAND_SERVICE_UNAVAILABLE"), (500, "INTERNAL")])
def test_who_got_no_answer_is_told_how_to_send_it_again_and_no_second_one(
    sovd: Sovd, api: FakeApi, status_code: int, code: str
) -> None:
    api.problems["/api/v1/commands"] = [lambda: problem(status_code, code, "no")] * 3
    ran = sovd(*RUN, "--idempotency-key", "k")
    assert ran.code == 8
    assert ran.err == (
        f"sovd: {code}: no; the server may have the command all the same: "
        "the same with '--idempotency-key k' makes no second one\n"
    )


def test_a_server_that_cannot_be_reached(sovd: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVD_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SOVD_TOKEN", "t")
    ran = sovd(*RUN)
    assert ran.code == 8
    assert ran.err.startswith("sovd: cannot reach http://127.0.0.1:9")


def test_cancel(sovd: Sovd, api: FakeApi) -> None:
    assert sovd("cancel", COMMAND_ID).out == "requested\n"
    api.cancel_outcome = "too_late"
    assert sovd("cancel", COMMAND_ID, "--json").documents == [{"outcome": "too_late", "command": COMMAND}]


def interrupt() -> None:
    """As Ctrl-C does: to the main thread, which runs the program. Raised in another one, it would not end its wait."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_may_cancel(sovd: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sovd_cli.commands.diagnose._wants_to_cancel", lambda: True)
    api.connections = [([answer(1)], None), ([error("cancelled", "CANCELLED")], 1000)]
    api.on_open = lambda: interrupt() if len(api.afters) == 1 else None
    ran = sovd(*RUN, "--json")
    assert ran.code == 5
    assert "cancel: requested" in ran.err


def test_ctrl_c_without_a_terminal_detaches(sovd: Sovd, api: FakeApi) -> None:
    api.connections = [([answer(1)], None)]
    command = [sys.executable, "-m", "sovd_cli", *RUN, "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert [json.loads(process.stdout.readline()) for _ in range(2)] == [COMMAND, answer(1)]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert f"detached, the command goes on: 'sovd watch {COMMAND_ID}' shows it" in process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert f"POST /api/v1/commands/{COMMAND_ID}/cancel" not in api.calls


def test_a_server_that_refuses_the_socket(sovd: Sovd, api: FakeApi) -> None:
    api.problems[f"/ws/responses/{COMMAND_ID}"] = [lambda: web.Response(status=403)]
    ran = sovd(*RUN)
    assert (ran.code, ran.err) == (2, "sovd: the server refused to show the command: 403\n")


def test_too_many_requests_are_no_end_of_a_command_that_was_sent(sovd: Sovd, api: FakeApi) -> None:
    api.problems["/api/v1/auth/ws-ticket"] = [lambda: problem(429, "RATE_LIMITED", "too many requests")]
    api.connections = [([error("failed", "OUTCOME_UNKNOWN")], 1000)]
    ran = sovd(*RUN)
    assert ran.code == 6
    assert "RATE_LIMITED: too many requests" in ran.err


def test_a_proxy_whose_server_is_away_is_asked_again(sovd: Sovd, api: FakeApi) -> None:
    api.problems[f"/ws/responses/{COMMAND_ID}"] = [lambda: web.Response(status=502)]
    api.connections = [([DONE], 1000)]
    ran = sovd(*RUN)
    assert ran.code == 0
    assert "502" in ran.err
