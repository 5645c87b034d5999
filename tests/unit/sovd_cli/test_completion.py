"""What the shell offers while one types a command; typer asks for it as bash and zsh do."""

import pytest

from sovd_cli.program import run
from tests.unit.sovd_cli.fake_api import READ_DTC, VEHICLE, VIN, FakeApi, problem

ROUTINE = {
    **READ_DTC,
    "name": "RoutineControl",
    "parameters_schema": {"properties": {"ecuAddress": {}, "action": {"enum": ["start", "stop"]}, "parameters": {}}},
}
ECUS = [("0x10", "ECM"), ("0x18", "TCM"), ("0x1A", "tcm"), ("0x28", "Left door"), ("0x40", "")]


@pytest.fixture(autouse=True)
def known(api: FakeApi) -> None:
    api.kinds = [READ_DTC, ROUTINE]
    ecus = [{"address": address, "name": name} for address, name in ECUS]
    api.vehicles = [{**VEHICLE, "ecus": ecus}, {**VEHICLE, "vin": "WBA1122334455FFEE"}]


class Shell:
    """Asks as bash does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def offers(self, *words: str) -> list[str]:
        given = {"COMP_WORDS": " ".join(("sovd", *words)), "COMP_CWORD": str(len(words))}
        for name, value in {"_SOVD_COMPLETE": "complete_bash", **given}.items():
            self._monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            run()
        said = self._capsys.readouterr()
        assert (ended.value.code, said.err) == (0, "")
        return said.out.split()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


RUN = ("run", "routinecontrol", "--vin", VIN, "--param")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "R"), ["ReadDTC", "RoutineControl"]),
        (("commands", "--name", "Rea"), ["ReadDTC"]),
        (("run", "ReadDTC", "--vin", "WDD"), [VIN]),
        (("vehicles", "show", "WB"), ["WBA1122334455FFEE"]),
        ((*RUN, "ecu"), [f"ecuAddress={ecu}" for ecu in ("ECM", "0x18", "0x1A", "0x28", "0x40")]),
        ((*RUN, "ecuAddress=EC"), ["ecuAddress=ECM"]),
        ((*RUN, "a"), ["action=start", "action=stop"]),
        ((*RUN, "p"), []),
        (("run", "Unknown", "--param", "ecu"), []),
    ],
)
@pytest.mark.usefixtures("sovd")
def test_what_the_server_knows_is_offered(shell: Shell, words: tuple[str, ...], expected: list[str]) -> None:
    assert shell.offers(*words) == expected


@pytest.mark.parametrize("words", [("run", "R"), ("run", "ReadDTC", "--vin", "W"), (*RUN, "ecu")])
@pytest.mark.usefixtures("stranger")
def test_nothing_is_offered_to_who_is_not_logged_in(shell: Shell, api: FakeApi, words: tuple[str, ...]) -> None:
    assert shell.offers(*words) == []
    assert api.calls == []


@pytest.mark.usefixtures("sovd")
def test_a_server_that_fails_is_asked_once(shell: Shell, api: FakeApi) -> None:
    api.problems = {"/api/v1/command-types": [lambda: problem(503, "UNAVAILABLE")]}
    assert shell.offers("run", "R") == []
    assert api.calls == ["GET /api/v1/command-types"]


@pytest.mark.usefixtures("stranger")
def test_a_server_that_is_away_is_no_trouble(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVD_TOKEN", "given")
    monkeypatch.setenv("SOVD_URL", "http://127.0.0.1:9")
    assert shell.offers("run", "R") == []
