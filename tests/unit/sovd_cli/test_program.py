"""What holds for the whole program: one line for what goes wrong, exit codes, parts that are not installed."""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from sovd_cli.__main__ import main
from sovd_cli.commands import diagnose
from tests.unit.sovd_cli.conftest import Sovd
from tests.unit.sovd_cli.fake_api import VIN, FakeApi


def test_help_tells_the_exit_codes(stranger: Sovd) -> None:
    for arguments in (("--help",), ("run", "--help")):
        ran = stranger(*arguments)
        assert ran.code == 0
        assert "6 OUTCOME_UNKNOWN" in ran.out


def test_without_arguments_it_shows_its_help(stranger: Sovd) -> None:
    ran = stranger()
    assert ran.code == 2
    assert "Usage: sovd" in ran.out


def test_an_unexpected_error_is_one_line_unless_asked_for(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sovd_cli.commands.auth.open_api", lambda: 1 / 0)
    ran = stranger("whoami")
    assert ran.code == 1
    assert ran.err == "sovd: internal error: ZeroDivisionError('division by zero') (SOVD_DEBUG=1 shows where)\n"
    monkeypatch.setenv("SOVD_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        stranger("whoami")


def test_ctrl_c_is_no_stack_trace(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sovd_cli.commands.auth.open_api", interrupted)
    ran = stranger("whoami")
    assert (ran.code, ran.err) == (130, "")


def test_the_entry_point_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sovd", "explode"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


def test_the_question_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert diagnose._wants_to_cancel() is False
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for given in (True, False):
        monkeypatch.setattr("typer.confirm", lambda *_, given=given, **__: given)
        assert diagnose._wants_to_cancel() is given

    def again(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.confirm", again)
    assert diagnose._wants_to_cancel() is False


@pytest.mark.parametrize(
    ("arguments", "extra"), [(("serve", "gateway"), "gateway"), (("up",), "embedded"), (("migrate",), "gateway")]
)
def test_a_part_that_is_not_installed(
    stranger: Sovd, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], extra: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'missing'", name="missing")

    monkeypatch.setattr("importlib.import_module", missing)
    ran = stranger(*arguments)
    assert (ran.code, ran.err) == (2, f"sovd: needs the package missing: pip install 'sovd-webapp[{extra}]'\n")


def test_serve_runs_the_module(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    ran_modules: list[str] = []
    monkeypatch.setattr("importlib.import_module", lambda name: None)
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: ran_modules.append(name))
    assert stranger("serve", "vehicle-connector").code == 0
    assert ran_modules == ["vehicle_connector"]


@pytest.mark.parametrize(
    ("url", "line"),
    [(None, "DATABASE_URL: missing; give postgresql://"), ("mysql://x/y", "DATABASE_URL: give postgresql://")],
)
def test_migrate_names_a_wrong_database_url(
    stranger: Sovd, monkeypatch: pytest.MonkeyPatch, url: str | None, line: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    ran = stranger("migrate")
    assert ran.code == 2
    assert ran.err.startswith(f"sovd: {line}")


def test_migrate_waits_for_a_database_but_not_for_ever(stranger: Sovd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sovd_cli.commands.services.RETRY_SECONDS", 0.001)
    ran = stranger("migrate", "--database-url", "postgresql://a:secret@127.0.0.1:9/x", "--wait", "1")
    assert ran.code == 8
    assert ran.err.count("\n") == 2
    assert "secret" not in ran.err


def test_migrate_brings_both_services_up_to_date_again_and_again(stranger: Sovd, tmp_path: Path) -> None:
    for _ in range(2):
        ran = stranger("migrate", "--database-url", f"sqlite:///{tmp_path}/x.db")
        assert (ran.code, ran.err) == (0, "gateway: up to date\ncommand-service: up to date\n")


def test_migrate_that_fails_is_one_line(stranger: Sovd, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    ran = stranger("migrate", "gateway", "--database-url", f"sqlite:///{tmp_path}/x.db")
    assert ran.code == 1
    assert ran.err.startswith("sovd: gateway: could not migrate: ")
    assert len(ran.err.splitlines()) == 1


SIMULATOR_SETTINGS = (
    "VEHICLES",
    "CONNECTOR_ADDRESS",
    "SEED",
    "VINS",
    "DRIVING_VEHICLES",
    "FAULTS",
    "LEDGER_FILE",
    "DOIP_PORT",
    "SOVD_PORT",
    "IDENTITY_DIR",
    "ENROLMENT_CODE",
    "ENROLMENT_ADDRESS",
    "GRPC_TLS_CA_FILE",
    "DIAL_IN",
)


def forget_simulator_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now, and again after the test, for what the program sets is not ours."""
    for name in SIMULATOR_SETTINGS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment that the simulator was started with, from one in which nothing is set."""
    seen: dict[str, str] = {}
    forget_simulator_settings(monkeypatch)
    monkeypatch.setattr("vehicle_simulator.__main__.main", lambda: seen.update(os.environ))
    return seen


def test_simulate_hands_its_options_to_the_simulator(stranger: Sovd, simulated: dict[str, str]) -> None:
    vehicles = ("--vehicles", "3", "--vin", "A", "--vin", "B", "--driving", "B")
    ran = stranger("simulate", *vehicles, "--connector", "h:1", "--fault", "silent")
    assert ran.code == 0
    assert {name: simulated[name] for name in SIMULATOR_SETTINGS if name in simulated} == {
        "VEHICLES": "3",
        "CONNECTOR_ADDRESS": "h:1",
        "SEED": "1",
        "VINS": "A,B",
        "DRIVING_VEHICLES": "B",
        "FAULTS": "silent",
        "DIAL_IN": "True",
    }


IN_THE_ENVIRONMENT = {
    "VEHICLES": "3",
    "CONNECTOR_ADDRESS": "localhost:1",
    "SEED": "2",
    "VINS": "A, B",
    "DRIVING_VEHICLES": "B",
    "FAULTS": "silent;slow:seconds=2",
    "LEDGER_FILE": "ledger",
    "DOIP_PORT": "13400",
    "SOVD_PORT": "8020",
    "IDENTITY_DIR": "identities",
    "ENROLMENT_CODE": "code",
    "ENROLMENT_ADDRESS": "localhost:2",
    "GRPC_TLS_CA_FILE": "ca.pem",
    "DIAL_IN": "False",
}


def test_simulate_takes_what_it_is_not_given_from_the_environment(
    stranger: Sovd, simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in IN_THE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert stranger("simulate").code == 0
    assert {name: simulated[name] for name in IN_THE_ENVIRONMENT} == IN_THE_ENVIRONMENT


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("VEHICLES", ("--vehicles", "10"), "10"),
        ("CONNECTOR_ADDRESS", ("--connector", "localhost:50052"), "localhost:50052"),
        ("SEED", ("--seed", "1"), "1"),
        ("VINS", ("--vin", "C", "--vin", "D"), "C,D"),
        ("DOIP_PORT", ("--doip-port", "0"), "0"),
        ("DIAL_IN", ("--dial-in",), "True"),
    ],
)
def test_what_simulate_is_given_wins_over_the_environment(
    stranger: Sovd,
    simulated: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: tuple[str, ...],
    value: str,
) -> None:
    monkeypatch.setenv(name, IN_THE_ENVIRONMENT[name])
    assert stranger("simulate", *options).code == 0
    assert simulated[name] == value


def test_simulate_names_a_wrong_variable(
    stranger: Sovd, simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEHICLES", "many")
    ran = stranger("simulate")
    assert ran.code == 2
    assert "VEHICLES" in ran.err
    assert not simulated


def test_simulate_registers_the_fleet_of_the_environment(
    sovd: Sovd, api: FakeApi, simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vins = ["W" * 17, "V" * 17]
    fleet = {"VEHICLES": "0", "VINS": ", ".join(vins), "DOIP_PORT": "13400", "DIAL_IN": "no"}
    for name, value in {**fleet, "VEHICLE_CREDENTIAL_SECRET": "s" * 16}.items():
        monkeypatch.setenv(name, value)
    assert sovd("simulate", "--register").code == 0
    assert [(vehicle["vin"], vehicle["link"]["address"]) for vehicle in api.vehicles[1:]] == [
        (vins[0], "127.0.0.1:13400"),
        (vins[1], "127.0.0.1:13401"),
    ]


@pytest.mark.usefixtures("simulated")
def test_simulate_registers_nothing_that_will_not_run(
    sovd: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEHICLE_CREDENTIAL_SECRET", "s" * 16)
    with pytest.raises(SystemExit) as stopped:
        sovd("simulate", "--vehicles", "2", "--doip-port", "65535", "--no-dial-in", "--register")
    assert stopped.value.code == 78
    assert capsys.readouterr().err.startswith("DOIP_PORT: the 2 vehicles have a port each from 65535 on")
    assert len(api.vehicles) == 1


@pytest.mark.usefixtures("simulated")
def test_simulate_registers_what_the_fleet_lacks(sovd: Sovd, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEHICLE_CREDENTIAL_SECRET", "s" * 16)
    ran = sovd("simulate", "--vehicles", "2", "--vin", VIN, "--register")
    assert (ran.code, ran.err) == (0, f"added 2 vehicles to the fleet at {sovd.url}\n")
    assert len(api.vehicles) == 3
    dialled = sovd(
        "simulate", "--vehicles", "0", "--vin", "W" * 17, "--register", "--doip-port", "13400", "--no-dial-in"
    )
    assert dialled.code == 0
    assert api.vehicles[-1]["link"] == {"kind": "doip", "address": "127.0.0.1:13400"}
    for name in ("VINS", "DOIP_PORT", "DIAL_IN"):  # what the calls before have set
        monkeypatch.delenv(name)
    assert "added 0" in sovd("simulate", "--vehicles", "2", "--register").err


def test_up_keeps_its_data_in_the_checkout_or_in_the_home(
    stranger: Sovd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[str, int, Path]] = []
    monkeypatch.setattr("embedded.__main__.main", lambda *given: started.append(given))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    stranger("up")
    (tmp_path / "services" / "embedded").mkdir(parents=True)
    stranger("up")
    stranger("up", "--port", "9", "--data-dir", "elsewhere")
    assert started == [
        ("127.0.0.1", 8000, tmp_path / "share" / "sovd"),
        ("127.0.0.1", 8000, Path("var")),
        ("127.0.0.1", 9, Path("elsewhere")),
    ]
