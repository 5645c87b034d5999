"""What the real processes log: one JSON object per line, with the ids of the command it is about, and no noise."""

import re

import pytest

from tests.integration.conftest import SERVICES, Observed, trace_id_of
from tests.support.system import ADMIN, SERVICE_TOKEN, VEHICLE_SECRET

ALL = (*SERVICES, "vehicle_simulator")


@pytest.mark.parametrize("service", ALL)
def test_every_line_is_json_and_says_when_where_and_how_bad(observed: Observed, service: str) -> None:
    lines = observed.log(service)
    assert lines
    for line in lines:
        assert line["service"] == service
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["ts"])
        assert line["level"] in {"info", "warning", "error"}
        assert line["event"]
        assert line["logger"]


@pytest.mark.parametrize("service", ALL)
def test_libraries_keep_quiet(observed: Observed, service: str) -> None:
    loggers = {line["logger"].partition(".")[0] for line in observed.log(service)}
    assert loggers <= {service, "service_kit"}


@pytest.mark.parametrize("service", ALL)
def test_no_secret_is_in_a_log(observed: Observed, service: str) -> None:
    text = observed.system.processes[service].output.read_text()
    for secret in (SERVICE_TOKEN, VEHICLE_SECRET, ADMIN[1], "eyJ", "a-jwt-secret"):
        assert secret not in text


def test_a_command_that_is_tried_again(observed: Observed) -> None:
    line = observed.about("command_service", "command_waits_again", "retried")
    assert line["trace_id"] == trace_id_of("retried")
    assert (line["attempt"], line["dispatches"]) == (2, 1)


def test_a_result_that_came_too_late(observed: Observed) -> None:
    line = observed.about("command_service", "late_results_kept", "retried")
    assert line["trace_id"] == trace_id_of("retried")
    assert (line["results"], line["attempt"], line["reason"]) == (1, 1, "older_attempt")


@pytest.mark.parametrize(
    ("command", "outcome", "code"),
    [
        ("expired", "expired", "EXPIRED_OFFLINE"),
        ("broken", "failed", "BAD_VEHICLE_RESPONSE"),
        ("refused", "failed", "NEGATIVE_RESPONSE"),
    ],
)
def test_a_command_that_did_not_complete(observed: Observed, command: str, outcome: str, code: str) -> None:
    line = observed.about("command_service", "command_not_completed", command)
    assert line["trace_id"] == trace_id_of(command)
    assert (line["outcome"], line["code"]) == (outcome, code)


def test_the_watchdog_says_what_it_found(observed: Observed) -> None:
    (line,) = [line for line in observed.log("command_service") if line["event"] == "commands_recovered"]
    assert (line["look"], line["commands"]) == ("expire_waiting", 1)


def test_a_vehicle_that_answers_with_garbage(observed: Observed) -> None:
    line = observed.about("vehicle_connector", "bad_vehicle_response", "broken")
    assert line["trace_id"] == trace_id_of("broken")
    assert line["level"] == "warning"


def test_a_message_that_nobody_understands(observed: Observed) -> None:
    (line,) = [line for line in observed.log("vehicle_connector") if line["event"] == "malformed_message"]
    assert (line["level"], line["size"]) == ("error", len(b"nonsense"))
    assert line["trace_id"] == trace_id_of("nonsense")


def test_a_command_that_runs_as_it_should_is_not_worth_a_line(observed: Observed) -> None:
    command_id = observed.commands["completed"]["command_id"]
    for service in ALL:
        assert command_id not in observed.system.processes[service].output.read_text()
