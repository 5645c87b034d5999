"""The commands that list and show: for people and for scripts."""

import os
import subprocess
import sys

import pytest

from tests.unit.sovd_cli.conftest import Sovd
from tests.unit.sovd_cli.fake_api import CERTIFICATE, COMMAND, COMMAND_ID, READ_DTC, VEHICLE, VIN, FakeApi, answer


def test_vehicles(sovd: Sovd, api: FakeApi) -> None:
    ran = sovd("vehicles", "--search", "wdd", "--status", "online")
    assert ran.code == 0
    assert VIN in ran.out
    assert "0x10 Engine" in ran.out
    assert api.queries[-1] == {"search": "wdd", "status": "online", "limit": "100"}
    assert sovd("vehicles", "--json").documents == [VEHICLE]


def test_a_long_list_is_read_page_by_page(sovd: Sovd, api: FakeApi) -> None:
    api.page_size = 2
    api.commands = [{**COMMAND, "command_id": str(number)} for number in range(5)]
    shown = [command["command_id"] for command in sovd("commands", "--json").documents]
    assert shown == ["0", "1", "2", "3", "4"]
    assert len(sovd("commands", "--json", "--limit", "3").documents) == 3


def test_an_empty_list_says_so(sovd: Sovd, api: FakeApi) -> None:
    api.vehicles = []
    ran = sovd("vehicles")
    assert (ran.code, ran.out, ran.err) == (0, "", "no vehicles\n")
    assert sovd("vehicles", "--json").out == ""


def test_one_vehicle(sovd: Sovd) -> None:
    ran = sovd("vehicles", "show", VIN.lower())
    assert "E-Class" in ran.out
    assert "Engine" in ran.out
    assert sovd("vehicles", "show", VIN, "--json").documents == [VEHICLE]
    assert sovd("vehicles", "show", "X").code == 2


def test_add_and_remove_a_vehicle(sovd: Sovd, api: FakeApi) -> None:
    api.vehicles = []
    assert sovd("vehicles", "add", VIN, "--make", "M", "--model", "E", "--year", "2024").code == 0
    assert api.vehicles[0]["link"] == {"kind": "session"}
    assert sovd("vehicles", "remove", VIN).code == 0
    assert api.vehicles == []


@pytest.mark.parametrize("minutes", ["nan", "inf", "-inf", "0", "-1", "480.5"])
def test_a_lock_is_for_some_minutes(sovd: Sovd, api: FakeApi, minutes: str) -> None:
    ran = sovd("vehicles", "lock", VIN, "--minutes", minutes)
    assert (ran.code, ran.err) == (2, f"sovd: --minutes {minutes}: must be more than 0 and at most 480\n")
    assert not api.terms


@pytest.mark.parametrize(("minutes", "seconds"), [("0.001", 1), ("1.5", 90), ("480", 28_800)])
def test_the_minutes_of_a_lock_are_sent_in_seconds(sovd: Sovd, api: FakeApi, minutes: str, seconds: int) -> None:
    assert sovd("vehicles", "lock", VIN, "--minutes", minutes).code == 0
    assert api.terms == [{"expires_in_seconds": seconds}]


def test_lock_and_unlock_a_vehicle(sovd: Sovd, api: FakeApi) -> None:
    assert f"locked {VIN} until 20" in sovd("vehicles", "lock", VIN).err
    assert "engineer" in sovd("vehicles").out
    assert "engineer, until 20" in sovd("vehicles", "show", VIN).out
    assert sovd("vehicles", "lock", VIN, "--minutes", "1.5", "--json").documents[0]["owner"] == "engineer"
    assert api.terms == [{}, {"expires_in_seconds": 90}]
    assert f"unlocked {VIN}" in sovd("vehicles", "unlock", VIN).err
    assert api.queries[-1] == {}
    assert "until" not in sovd("vehicles", "show", VIN).out
    assert sovd("vehicles", "unlock", VIN, "--break").code == 0
    assert api.queries[-1] == {"break": "true"}


def test_a_vehicle_is_enrolled_with_a_code(sovd: Sovd, api: FakeApi) -> None:
    ran = sovd("vehicles", "enrol", VIN, "--connector", "vehicles.example")
    assert ran.code == 0
    assert "ABCD-EFGH" in ran.out
    assert f"sovd agent --vin {VIN} --connector vehicles.example:50052" in ran.err
    assert "--enrolment-code ABCD-EFGH" in ran.err
    (document,) = sovd("vehicles", "enrol", VIN, "--json").documents
    assert document["code"] == "ABCD-EFGH"
    assert sovd("vehicles", "enrol", "X").code == 2


def test_certificates_are_listed_and_revoked(sovd: Sovd, api: FakeApi) -> None:
    ran = sovd("vehicles", "certificates", VIN)
    assert "ab12" in ran.out
    assert "revoked" in ran.out
    assert sovd("vehicles", "certificates", VIN, "--json").documents == [CERTIFICATE]
    assert sovd("vehicles", "revoke", VIN).err == f"revoked all certificates of {VIN}\n"
    assert sovd("vehicles", "revoke", VIN, "--serial", "ab12").code == 0
    assert api.revoked == ["", "ab12"]


@pytest.mark.parametrize(("kind", "address"), [("doip", "192.0.2.10:13400"), ("sovd", "https://192.0.2.10/sovd")])
def test_a_vehicle_that_is_dialled_is_added_with_its_address(sovd: Sovd, api: FakeApi, kind: str, address: str) -> None:
    facts = ("vehicles", "add", "W" * 17, "--make", "M", "--model", "E", "--year", "2024")
    assert sovd(*facts, f"--{kind}", address).code == 0
    assert api.vehicles[-1]["link"] == {"kind": kind, "address": address}
    assert "not both" in sovd(*facts, "--doip", address, "--sovd", address).err


def test_command_types(sovd: Sovd) -> None:
    assert "ecuAddress*, statusMask" in sovd("command-types").out
    assert "supply voltage >= 11.5 V" in sovd("command-types").out
    assert sovd("command-types", "--json").documents == [READ_DTC]


def test_commands_are_filtered(sovd: Sovd, api: FakeApi) -> None:
    ran = sovd("commands", "--vin", VIN, "--status", "completed", "--name", "ReadDTC", "--from", "2026-01-01T00:00:00Z")
    assert COMMAND_ID in ran.out
    assert api.queries[-1] == {
        "vehicle_id": VEHICLE["vehicle_id"],
        "status": "completed",
        "command_name": "ReadDTC",
        "from": "2026-01-01T00:00:00Z",
        "limit": "20",
    }


def test_show_reads_all_answers(sovd: Sovd, api: FakeApi) -> None:
    api.page_size = 2
    api.answers = [answer(number) for number in range(1, 6)]
    ran = sovd("show", COMMAND_ID)
    assert ran.code == 0
    assert "n=5" in ran.out
    assert sovd("show", COMMAND_ID, "--json").documents == [COMMAND, *api.answers]


def test_show_with_evidence(sovd: Sovd) -> None:
    assert "after_end" in sovd("show", COMMAND_ID, "--evidence").out
    assert sovd("show", COMMAND_ID, "--evidence", "--json").documents[1]["reason"] == "after_end"


def test_a_command_id_cannot_leave_its_place(sovd: Sovd, api: FakeApi) -> None:
    assert sovd("show", "../me").code == 2
    assert "GET /api/v1/auth/me" not in api.calls


def test_audit(sovd: Sovd, api: FakeApi) -> None:
    api.audit = [{"at": "2026-01-02T03:04:05Z", "action": "user.login", "actor_name": "admin", "outcome": "success"}]
    assert "user.login" in sovd("audit", "list", "--action", "user.login").out
    assert sovd("audit", "list", "--json").documents == api.audit


def test_audit_verify_fails_when_the_chain_is_broken(sovd: Sovd, api: FakeApi) -> None:
    ran = sovd("audit", "verify")
    assert (ran.code, ran.out) == (0, "intact: 2 entries sealed, 1 not sealed yet\n")
    api.verification = {"intact": False, "sealed": 2, "unsealed": 0, "broken_at": 1, "reason": "hash"}
    ran = sovd("audit", "verify")
    assert (ran.code, ran.out) == (1, "BROKEN at entry 1: hash\n")
    ran = sovd("audit", "verify", "--json")
    assert (ran.code, ran.documents) == (1, [api.verification])


def test_control_characters_do_not_reach_the_terminal(sovd: Sovd, api: FakeApi) -> None:
    api.vehicles = [{**VEHICLE, "make": "\x1b[31mred", "last_seen_at": "\x1b[2J", "model": "[bold]x"}]
    ran = sovd("vehicles")
    assert "\x1b" not in ran.out
    assert "[bold]x" in ran.out


@pytest.mark.parametrize("document", ["<html>", "{}"])
def test_what_is_no_sovd_server_is_one_line(sovd: Sovd, api: FakeApi, document: str) -> None:
    from aiohttp import web

    api.problems["/api/v1/vehicles"] = [lambda: web.Response(text=document)]
    ran = sovd("vehicles")
    assert ran.code != 0
    assert len(ran.err.splitlines()) == 1


def test_a_closed_pipe_is_no_stack_trace(sovd: Sovd, api: FakeApi) -> None:
    api.commands = [{**COMMAND, "command_name": "x" * 1000} for _ in range(100)]
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "sovd_cli", "commands", "--json", "--limit", "100"]
    process = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (process.returncode, process.stderr) == (1, "")


def test_a_vehicle_that_is_dialled_in_vain_is_marked_and_shown_why(sovd: Sovd, api: FakeApi) -> None:
    problem = {"reason": "192.0.2.10:13400:\x1b Connection refused", "since": "2026-01-31T12:00:00Z"}
    link = {"kind": "doip", "address": "192.0.2.10", "problem": problem}
    api.vehicles = [{**VEHICLE, "connection_status": "offline", "link": link}]
    assert "not reached" in " ".join(sovd("vehicles").out.split())
    shown = " ".join(sovd("vehicles", "show", VIN).out.split())
    assert "link doip 192.0.2.10" in shown
    assert "192.0.2.10:13400:\ufffd Connection refused (since 2026-01-31" in shown
    assert sovd("vehicles", "--json").documents == api.vehicles
