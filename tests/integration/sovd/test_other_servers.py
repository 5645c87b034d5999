"""Servers that differ from the simulator: how they spell things, how they refuse, and what they send instead."""

import asyncio
from typing import Any

import pytest

from tests.integration.sovd.bench import linked
from tests.integration.sovd.fake_server import ECM, Reply, fake_server
from tests.support.waiting import until

FAULTS, DATA, OPERATIONS, LOCKS = f"{ECM}/faults", f"{ECM}/data", f"{ECM}/operations", f"{ECM}/locks"
EXECUTIONS = f"{OPERATIONS}/selfTest/executions"
LOCKABLE = {"id": "ecm", "name": "ECM", "variant": {"logical_address": "0x10"}, "locks": "locks"}


async def test_status_in_snake_case_and_codes_as_displayed_are_understood() -> None:
    faults = [
        {"code": "P0420-11", "status": {"test_failed": True, "confirmed_dtc": 1, "warning_indicator_requested": "0"}},
        {"code": "0012E3", "display_code": "P102", "severity": 1, "status": {"testFailed": "1", "pendingDTC": "0"}},
        {"code": "017100", "fault_name": "System too lean", "status": {"mask": "0x28"}},
        {"code": "modelMissing", "status": {"aggregatedStatus": "active"}},
    ]
    async with fake_server({("GET", FAULTS): {"items": faults}}) as server, linked(server.address) as bench:
        *found, count = (await bench.run("ReadDTC")).responses
    assert [(fault["code"], fault["display_code"], fault["status"]["raw"]) for fault in found] == [
        ("0x042011", "P0420-11", "0x09"),
        ("0x0012E3", "P0012-E3", "0x01"),
        ("0x017100", "P0171-00", "0x28"),
        ("modelMissing", "modelMissing", "0x00"),
    ]
    assert found[2]["status"]["confirmedDTC"] is True
    assert found[3]["status"]["aggregatedStatus"] == "active"
    assert count == {"ecuAddress": "0x10", "count": 4}


async def test_a_fault_is_asked_for_and_cleared_as_its_server_spells_it() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", FAULTS): {"items": [{"code": "P042011", "status": {}}]},
        ("GET", f"{FAULTS}/P042011"): {
            "item": {"code": "P042011", "status": {"testFailed": True}},
            "environment_data": {"extended_data_records": {"first": "today"}, "battery_voltage": 12.8},
        },
        ("DELETE", f"{FAULTS}/P042011"): None,
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        (details,) = (await bench.run("ReadDTCDetails", dtcCode="0x042011")).responses
        cleared = await bench.run("ClearDTC", dtcCode="P0420")
    assert (details["code"], details["snapshots"]) == ("0x042011", [])
    assert details["extended_data"] == {"first": "today"}
    assert details["environment_data"] == {"battery_voltage": 12.8}
    assert cleared.outcome == ("completed", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "rpm", "data": {"rpm": 812.5}}, {"raw": "", "value": 812.5}),
        (
            {"id": "rpm", "value": 812.5, "raw": "0CB2", "unit": "1/min"},
            {"raw": "0x0CB2", "value": 812.5, "unit": "1/min"},
        ),
        ({"id": "rpm", "data": "0x0CB2"}, {"raw": "0x0CB2"}),
        ({"data": {"rpm": 1, "unit": "1/min", "raw": "01"}}, {"raw": "0x01", "value": 1, "unit": "1/min"}),
        ({"id": "rpm", "data": {"a": 1, "b": 2}}, {"raw": "", "value": {"a": 1, "b": 2}}),
    ],
)
@pytest.mark.parametrize(
    "declared", [{"did": "F40C"}, {"x-did": "0xF40C"}, {"x-sovd2uds-serviceAbstract": ["22 F4 0C", "2EF40C"]}]
)
async def test_data_are_found_by_what_declares_their_identifier(
    value: dict[str, Any], expected: dict[str, Any], declared: dict[str, Any]
) -> None:
    answers = {("GET", DATA): {"items": [{"id": "rpm", **declared}]}, ("GET", f"{DATA}/rpm"): value}
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDataByID", dataId="0xF40C")
    (response,) = attempt.responses
    name = {"name": "rpm"} if "id" in value else {}
    assert response == {"ecuAddress": "0x10", "id": "0xF40C", **name, **expected}


@pytest.mark.parametrize(
    ("value", "sent", "told"),
    [
        ("0x0384", "0384", {"raw": "0x0384"}),
        ("900", 900, {"value": 900}),
        ('{"rpm": 900}', {"rpm": 900}, {"value": {"rpm": 900}}),
        ("fast", "fast", {"value": "fast"}),
        ("NaN", "NaN", {"value": "NaN"}),
    ],
)
async def test_what_is_written_goes_as_bytes_or_as_its_server_understands_it(
    value: str, sent: object, told: dict[str, Any]
) -> None:
    answers: dict[tuple[str, str], Any] = {
        ("PUT", f"{DATA}/0x2001"): None,
        ("POST", f"{OPERATIONS}/0x0310/executions"): {"status": "completed"},
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        written = await bench.run("WriteDataByID", dataId="0x2001", value=value)
        ran = await bench.run("RoutineControl", routineId="0x0310", action="start", parameters=value)
    assert (written.outcome, ran.outcome) == (("completed", ""), ("completed", ""))
    assert written.responses == [{"ecuAddress": "0x10", "id": "0x2001"} | told]
    assert [body for _, body in server.asked("PUT", f"{DATA}/0x2001")] == [{"data": sent}]
    assert [body for _, body in server.asked("POST", f"{OPERATIONS}/0x0310/executions")] == [{"parameters": sent}]


async def test_nonsense_of_one_component_hides_no_other() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", "/components"): {"items": [{"id": "ecm", "name": "ECM"}, {"id": "tcm", "name": "TCM"}]},
        ("GET", "/components/tcm"): {"id": "tcm", "name": "TCM", "variant": {"logical_address": "0x18"}},
        ("GET", FAULTS): {"items": "all of them"},
        ("GET", "/components/tcm/faults"): {"items": [{"code": "074100", "status": {}}]},
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDTC", ecuAddress="0xE400")
    assert attempt.outcome == ("failed", "BAD_VEHICLE_RESPONSE")
    assert [response["code"] for response in attempt.responses] == ["0x074100"]
    assert attempt.finished is not None
    assert "that of ECM" in attempt.finished.message
    assert attempt.finished.unreadable == '{"items": "all of them"}'


async def test_an_answer_about_other_data_is_not_taken() -> None:
    answers = {("GET", f"{DATA}/0xF40C"): {"id": "0xF40D", "data": 5}}
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDataByID", dataId="0xF40C")
    assert attempt.outcome == ("failed", "BAD_VEHICLE_RESPONSE")


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (
            Reply(502, {"error_code": "error-response", "parameters": {"service": 34, "nrc": 0x22}}),
            "NEGATIVE_RESPONSE",
            "0x22",
        ),
        (
            Reply(502, {"error_code": "error-response", "parameters": {"nrc": "0x33"}}),
            "NEGATIVE_RESPONSE",
            "securityAccess",
        ),
        (Reply(504, {"error_code": "not-responding", "message": "no answer"}), "VEHICLE_TIMEOUT", "no answer"),
        (Reply(502, {"error_code": "not-responding"}), "VEHICLE_TIMEOUT", "not-responding"),
        (Reply(408, {"message": "Request timed out"}), "VEHICLE_TIMEOUT", "timed out"),
        (Reply(500, b"oops"), "VEHICLE_ERROR", "oops"),
        (Reply(503, {"message": "starting"}), "VEHICLE_BUSY", "starting"),
        (Reply(401, {"message": "who?"}), "VEHICLE_UNAUTHORIZED", "who?"),
        (Reply(403), "VEHICLE_ACCESS_DENIED", "403"),
        (Reply(404, {"error": {"code": "ERR", "message": "no such thing"}}), "NOT_FOUND_ON_VEHICLE", "no such thing"),
        (Reply(409, {"message": "locked", "parameters": {"owner": "workshop"}}), "VEHICLE_LOCKED", "workshop"),
        (Reply(423), "VEHICLE_LOCKED", "423"),
        (Reply(400, {"message": "what?"}), "VEHICLE_REFUSED", "what?"),
        (Reply(501), "UNSUPPORTED_COMMAND", "501"),
        (Reply(307, headers={"location": "http://127.0.0.1:9/"}), "VEHICLE_REDIRECTS", "not followed"),
        (Reply(200, b"\xff\xfe"), "BAD_VEHICLE_RESPONSE", "\\xff\\xfe"),
        (Reply(200, b"[1, 2"), "BAD_VEHICLE_RESPONSE", "[1, 2"),
        (Reply(200, [1, 2]), "BAD_VEHICLE_RESPONSE", "[1, 2]"),
        (Reply(200, {"items": [7]}), "BAD_VEHICLE_RESPONSE", "not a list of items"),
        (Reply(200, {"items": [{}]}), "BAD_VEHICLE_RESPONSE", "without a code"),
        (Reply(200, {"items": []}, {"content-encoding": "gzip"}), "BAD_VEHICLE_RESPONSE", "gzip"),
        (Reply(200, b"[" * 100_000), "BAD_VEHICLE_RESPONSE", "[[["),
        (Reply(200, b"x" * (5 * 1024 * 1024)), "BAD_VEHICLE_RESPONSE", "larger than"),
        (Reply(raw=b"\x16\x03\x01 this is no HTTP\r\n\r\n"), "BAD_VEHICLE_RESPONSE", "no HTTP"),
    ],
)
async def test_each_refusal_is_the_right_failure(reply: Reply, code: str, said: str) -> None:
    async with fake_server({("GET", FAULTS): reply}) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDTC")
        assert attempt.outcome == ("failed", code)
        assert attempt.finished is not None
        assert said in attempt.finished.message
        assert bool(attempt.finished.unreadable) == (code == "BAD_VEHICLE_RESPONSE")
        assert (await bench.run("ReadDataByID", dataId="0x1234")).outcome == ("failed", "NOT_FOUND_ON_VEHICLE")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(500), ("lost", "VEHICLE_CONNECTION_LOST")),
        (Reply(504, {"error_code": "not-responding"}), ("lost", "VEHICLE_CONNECTION_LOST")),
        (Reply(408), ("lost", "VEHICLE_CONNECTION_LOST")),
        (Reply(502, {"parameters": {"nrc": 0x22}}), ("failed", "NEGATIVE_RESPONSE")),
        (Reply(503), ("failed", "VEHICLE_BUSY")),
        (Reply(307, headers={"location": "/elsewhere"}), ("failed", "VEHICLE_REDIRECTS")),
    ],
)
async def test_of_a_change_it_is_unknown_what_the_server_itself_does_not_know(
    reply: Reply, outcome: tuple[str, str]
) -> None:
    async with fake_server({("DELETE", FAULTS): reply}) as server, linked(server.address) as bench:
        attempt = await bench.run("ClearDTC")
        assert attempt.outcome == outcome
        assert len(server.asked("DELETE", FAULTS)) == 1


# --- locks and modes


async def test_a_component_is_locked_while_it_is_changed() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", ECM): LOCKABLE,
        ("POST", LOCKS): Reply(201, {"id": "l 1", "owned": True}),
        ("DELETE", f"{LOCKS}/l%201"): None,
        ("DELETE", FAULTS): None,
    }
    async with fake_server(answers) as server, linked(server.address, lock_seconds=7) as bench:
        assert (await bench.run("ClearDTC")).outcome == ("completed", "")
    changes = [(method, path) for method, path, *_ in server.requests if method != "GET"]
    assert changes == [("POST", LOCKS), ("DELETE", FAULTS), ("DELETE", f"{LOCKS}/l%201")]
    assert server.asked("POST", LOCKS)[0][1] == {"lock_expiration": 7}


async def test_a_lock_is_renewed_while_it_lasts_and_released_when_the_command_is_left_off() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", ECM): LOCKABLE,
        ("POST", LOCKS): Reply(201, {"id": "l1"}),
        ("PUT", f"{LOCKS}/l1"): None,
        ("DELETE", f"{LOCKS}/l1"): None,
        ("POST", f"{OPERATIONS}/0x0301/executions"): Reply(202, {"id": "e1"}),
        ("GET", f"{OPERATIONS}/0x0301/executions/e1"): {"status": "running"},
    }
    async with fake_server(answers) as server, linked(server.address, lock_seconds=1) as bench:
        attempt = bench.start("RoutineControl", routineId="0x0301", action="start")
        await until(lambda: len(server.asked("PUT", f"{LOCKS}/l1")) >= 2)
        bench.link.release(attempt.command.key)
        await until(lambda: server.asked("DELETE", f"{LOCKS}/l1"))


@pytest.mark.parametrize(
    ("refusal", "locks", "said"),
    [
        (Reply(409, {"message": "locked", "parameters": {"owner": "workshop 7"}}), [], "held by workshop 7"),
        (Reply(409), [{"id": "l9", "owned": False, "x-owner": "anna"}], "held by anna"),
        (Reply(423), [{"id": "l9", "lock_expiration": "2026-03-18T21:30:00Z"}], "until 2026-03-18T21:30:00Z"),
        (Reply(409, b"\xff"), Reply(500), "does not say whom"),
    ],
)
async def test_a_lock_of_another_is_told_with_its_owner(refusal: Reply, locks: Any, said: str) -> None:
    listed = locks if isinstance(locks, Reply) else {"items": locks}
    answers = {("GET", ECM): LOCKABLE, ("POST", LOCKS): refusal, ("GET", LOCKS): listed}
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("ClearDTC")
        assert attempt.outcome == ("failed", "VEHICLE_LOCKED")
        assert attempt.finished is not None
        assert said in attempt.finished.message
        assert server.asked("DELETE", FAULTS) == []


async def test_an_own_lock_that_was_left_behind_serves_again() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", ECM): LOCKABLE,
        ("POST", LOCKS): Reply(409),
        ("GET", LOCKS): {"items": [{"id": "l0", "owned": True}]},
        ("DELETE", FAULTS): None,
        ("DELETE", f"{LOCKS}/l0"): None,
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        assert (await bench.run("ClearDTC")).outcome == ("completed", "")
        assert len(server.asked("DELETE", f"{LOCKS}/l0")) == 1


async def test_a_component_is_put_into_the_session_that_changes_need() -> None:
    described = {**LOCKABLE, "modes": "modes"}
    answers: dict[tuple[str, str], Any] = {
        ("GET", ECM): described,
        ("POST", LOCKS): Reply(404),
        ("PUT", f"{ECM}/modes/session"): {"id": "session", "value": "extended"},
        ("DELETE", FAULTS): None,
        ("GET", FAULTS): {"items": []},
    }
    async with fake_server(answers) as server, linked(server.address, session_mode="extended") as bench:
        assert (await bench.run("ReadDTC")).outcome == ("completed", "")
        assert server.asked("PUT", f"{ECM}/modes/session") == []
        assert (await bench.run("ClearDTC")).outcome == ("completed", "")
        assert server.asked("PUT", f"{ECM}/modes/session")[0][1] == {"value": "extended"}


# --- operations


async def test_an_execution_is_found_by_its_location_but_never_elsewhere() -> None:
    routine = {"items": [{"id": "selfTest", "x-routine-id": "0301"}]}
    answers: dict[tuple[str, str], Any] = {
        ("GET", OPERATIONS): routine,
        ("POST", EXECUTIONS): [
            Reply(202, {}, {"location": f"{EXECUTIONS}/e5"}),
            Reply(202, {}, {"location": "http://192.0.2.1/executions/e6"}),
        ],
        ("GET", f"{EXECUTIONS}/e5"): {"status": "completed", "parameters": {"passed": True}},
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        first = await bench.run("RoutineControl", routineId="0x0301", action="start")
        assert first.responses[-1]["result"] == {"passed": True}
        second = await bench.run("RoutineControl", routineId="0x0301", action="start", parameters="0x01FF")
        assert [response["status"] for response in second.responses] == ["running"]
        assert server.asked("POST", EXECUTIONS)[1][1] == {"parameters": "01FF"}


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ({"status": "failed", "error": {"parameters": {"nrc": 0x72}}}, ("failed", "NEGATIVE_RESPONSE")),
        ({"status": "failed", "error": {"message": "jammed"}}, ("failed", "VEHICLE_ERROR")),
        ({"status": "stopped"}, ("completed", "")),
    ],
)
async def test_an_execution_that_ends_otherwise_says_so(state: dict[str, Any], outcome: tuple[str, str]) -> None:
    base = f"{OPERATIONS}/0x0301/executions"
    answers: dict[tuple[str, str], Any] = {
        ("POST", base): Reply(202, {"id": "e1"}),
        ("GET", f"{base}/e1"): [Reply(202, {"status": "running"}), Reply(200, state)],
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        assert (await bench.run("RoutineControl", routineId="0x0301", action="start")).outcome == outcome


async def test_a_reset_is_an_operation_where_there_is_no_status() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", OPERATIONS): {"items": [{"id": "EcuReset"}]},
        ("POST", f"{OPERATIONS}/EcuReset/executions"): Reply(200, {"status": "completed"}),
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        assert (await bench.run("ECUReset", resetType="soft")).outcome == ("completed", "")
        sent = server.asked("POST", f"{OPERATIONS}/EcuReset/executions")[0][1]
        assert sent == {"parameters": {"ResetType": "softreset"}}
    async with fake_server({}) as server, linked(server.address) as bench:
        assert (await bench.run("ECUReset", resetType="soft")).outcome == ("failed", "UNSUPPORTED_COMMAND")


# --- streams


@pytest.mark.parametrize(
    "subscribed",
    [Reply(404), Reply(201, {"id": "s1", "event_source": "http://192.0.2.1/events"}), Reply(201, {"id": "s1"})],
)
async def test_without_events_of_its_own_the_values_are_asked_for(subscribed: Reply) -> None:
    answers: dict[tuple[str, str], Any] = {
        ("POST", f"{ECM}/cyclic-subscriptions"): subscribed,
        ("DELETE", f"{ECM}/cyclic-subscriptions/s1"): None,
        ("GET", f"{DATA}/0xF40C"): {"data": 1},
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("StreamDataByID", dataIds=["0xF40C"], interval_ms=50, duration_s=0.2)
        assert (attempt.outcome, attempt.begun) == (("completed", ""), 1)
        assert 1 <= len(attempt.responses) <= 4
        deleted = server.asked("DELETE", f"{ECM}/cyclic-subscriptions/s1")
        assert len(deleted) == (0 if subscribed.status == 404 else 1)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (b'data: {"payload": {"data": 1}}\n\ndata: {"error": {"parameters": {"nrc": 49}}}\n\n', "NEGATIVE_RESPONSE"),
        (b": hello\nevent: x\ndata: {\ndata: 1}\n\n", "BAD_VEHICLE_RESPONSE"),
        (b"data: " + b"x" * 300_000, "BAD_VEHICLE_RESPONSE"),
        (b'data: {"payload": {"data": 1}}\r\n\r\n', "VEHICLE_CONNECTION_LOST"),
    ],
)
async def test_events_that_are_none_end_the_stream(events: bytes, outcome: str) -> None:
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(events)
    answers: dict[tuple[str, str], Any] = {
        ("POST", f"{ECM}/cyclic-subscriptions"): Reply(201, {"id": "s1", "event_source": "s1/events"}),
        ("GET", f"{ECM}/cyclic-subscriptions/s1/events"): Reply(raw=stream + events),
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        attempt = await bench.run("StreamDataByID", dataIds=["0xF40C"], interval_ms=50, duration_s=20)
        assert attempt.outcome[1] == outcome


# --- dialling


async def test_the_newest_base_of_the_known_version_is_taken_unless_it_is_elsewhere() -> None:
    bases = [("1.0", "/v1"), ("1.1.0", "/v15"), ("2.0", "/v2"), ("1.2", "http://192.0.2.1/v1"), ("x", "/x")]
    info = {"sovd_info": [{"version": version, "base_uri": base} for version, base in bases]}
    answers: dict[tuple[str, str], Any] = {
        ("GET", "/version-info"): info,
        ("GET", "/v15/components"): {"items": [{"id": "0x10", "href": "http://192.0.2.1/"}]},
        ("GET", "/v15/components/0x10/faults"): {"items": []},
    }
    async with fake_server(answers) as server, linked(server.address) as bench:
        assert (await bench.run("ReadDTC")).outcome == ("completed", "")


async def test_new_components_are_found_without_dialling_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vehicle_links.sovd.directory._REREAD_SECONDS", 0.1)
    async with fake_server({("GET", f"{ECM}2/faults"): {"items": []}}) as server, linked(server.address) as bench:
        assert (await bench.run("ReadDTC", ecuAddress="0x11")).outcome == ("failed", "ECU_NOT_REACHABLE")
        server.answers["GET", "/components"] = {"items": [{"id": "ecm2", "address": 0x11}, {"id": "ecm"}, {}]}
        await asyncio.sleep(0.15)
        assert (await bench.run("ReadDTC", ecuAddress="0x11")).outcome == ("completed", "")
