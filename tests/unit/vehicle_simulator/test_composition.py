"""The simulator as a service: settings, start, stop, and a process that is killed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from service_kit.lifecycle import PartFailed
from service_kit.settings import load_settings
from sovd_protos.session.v1.session_pb2 import Finished
from tests.unit.vehicle_simulator.conftest import SECRET
from tests.unit.vehicle_simulator.fake_connector import FakeConnector
from vehicle_simulator.composition import build_fleet, compose
from vehicle_simulator.faults import Fault, FaultKind
from vehicle_simulator.settings import Settings

SERVICES = Path(__file__).parents[3] / "services"


def _settings(connector: FakeConnector, **more: object) -> Settings:
    fields = {"connector_address": connector.address, "vehicle_credential_secret": SECRET, "vehicles": 0, **more}
    return Settings(**fields)  # type: ignore[arg-type]


async def test_compose_runs_the_fleet_and_stops_it(connector: FakeConnector) -> None:
    async with compose(_settings(connector, vehicles=2, vins=("WDDNAMED000000001",), demo_data=True)) as lifecycle:
        sessions = [await connector.session() for _ in range(5)]
        assert lifecycle.ready
        for session in sessions:
            session.execute("ReadDTC")
            await session.finished()
        assert REGISTRY.get_sample_value("sovd_simulated_vehicles_connected") == 5
    for session in sessions:
        await session.end()
    vins = {session.hello.vin for session in sessions}
    assert vins > {"WDDNAMED000000001", "WDD1234567890ABCD", "WDD0987654321ZYXW"}


async def test_a_vehicle_that_breaks_stops_the_service(
    connector: FakeConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with compose(_settings(connector, vehicles=1, ledger_file=tmp_path / "ledger")) as lifecycle:
        session = await connector.session()
        monkeypatch.setattr("vehicle_simulator.ledger.os.write", lambda *_: 0)
        session.execute("ClearDTC")
        with pytest.raises(PartFailed):
            await lifecycle.run_until_stopped()
        assert not session.updates


async def test_the_ledger_survives_kill_9(connector: FakeConnector, tmp_path: Path) -> None:
    async with _process(connector, tmp_path) as process:
        session = await connector.session()
        session.execute("ClearDTC")
        assert (await session.finished()).finished.kind == Finished.COMPLETED
        process.kill()
        await process.wait()
    async with _process(connector, tmp_path) as process:
        session = await connector.session()
        session.execute("ClearDTC")
        assert (await session.finished()).finished.code == "ALREADY_EXECUTED"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@asynccontextmanager
async def _process(connector: FakeConnector, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SERVICES),
        "CONNECTOR_ADDRESS": connector.address,
        "VEHICLE_CREDENTIAL_SECRET": SECRET,
        "VEHICLES": "1",
        "LEDGER_FILE": str(directory / "ledger.jsonl"),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "vehicle_simulator", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_command_is_counted(connector: FakeConnector) -> None:
    def count(name: str, outcome: str) -> float:
        labels = {"command_name": name, "outcome": outcome}
        return REGISTRY.get_sample_value("sovd_simulated_commands_total", labels) or 0

    before = count("ReadDTC", "completed"), count("other", "failed")
    async with compose(_settings(connector, vehicles=1)):
        session = await connector.session()
        session.execute("ReadDTC")
        session.execute("Nonsense", command_id="c2")
        await session.finished(2)
    assert (count("ReadDTC", "completed"), count("other", "failed")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    "text", ["negative:nrc=0x31,times=2; silent", '[{"kind":"negative","nrc":49,"times":2},{"kind":"silent"}]']
)
def test_faults_from_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS", text)
    monkeypatch.setenv("VEHICLE_CREDENTIAL_SECRET", SECRET)
    settings = load_settings(Settings)
    assert settings.faults == (Fault(FaultKind.NEGATIVE, nrc=0x31, times=2), Fault(FaultKind.SILENT))


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("FAULTS", "sleepy", "FAULTS: fault 'sleepy' is not known"),
        ("FAULTS", "[{}]", "FAULTS: fault '' is not known"),
        ("FAULTS", "[1]", "FAULTS: must be a JSON list of objects"),
        ("FAULTS", "[", "FAULTS: must be a JSON list of objects"),
        ("VEHICLES", "-1", "VEHICLES: "),
        ("VEHICLE_CREDENTIAL_SECRET", "short", "VEHICLE_CREDENTIAL_SECRET: "),
        ("CONNECTOR_ADDRESS", "nowhere", "CONNECTOR_ADDRESS: must be host:port"),
        (
            "CONNECTOR_ADDRESS",
            "192.0.2.1:50052",
            "CONNECTOR_ADDRESS: without certificates of vehicles only a connector",
        ),
        ("ENVIRONMENT", "production", "CONNECTOR_ADDRESS: without certificates of vehicles only a connector"),
    ],
)
def test_a_wrong_setting_is_named(
    variable: str,
    value: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VEHICLE_CREDENTIAL_SECRET", SECRET)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Settings)
    assert stopped.value.code == 78
    assert capsys.readouterr().err.startswith(complaint)


@pytest.mark.parametrize(
    ("fleet", "first", "allowed"),
    [
        ({"VEHICLES": "2"}, "65535", "1 to 65534, or 0 for free ones"),
        ({"VEHICLES": "1", "VINS": "A,B", "DEMO_DATA": "true"}, "65532", "1 to 65531, or 0 for free ones"),
        ({"VEHICLES": "70000"}, "1", "fewer vehicles"),
    ],
)
def test_ports_for_doip_that_there_are_not(
    fleet: dict[str, str],
    first: str,
    allowed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**fleet, "DOIP_PORT": first, "VEHICLE_CREDENTIAL_SECRET": SECRET}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Settings)
    assert stopped.value.code == 78
    complaint = capsys.readouterr().err
    assert re.fullmatch(rf"DOIP_PORT: the \d+ vehicles .+ from {first} on, .+; give {allowed}\n", complaint)


@pytest.mark.parametrize(("vehicles", "first"), [(1, 65_535), (2, 65_534), (70_000, 0)])
def test_ports_for_doip_that_there_are(vehicles: int, first: int) -> None:
    given = Settings(vehicle_credential_secret=SecretStr(SECRET), vehicles=vehicles, doip_port=first)
    assert given.doip_port == first


@pytest.mark.parametrize("instead", [{"identity_dir": "/identities"}, {"dial_in": False}])
def test_with_certificates_or_without_dialling_any_connector_will_do(instead: dict[str, Any]) -> None:
    given = {"connector_address": "vehicles.example:443", "environment": "production", **instead}
    assert Settings(vehicle_credential_secret=SecretStr(SECRET), **given).connector_address == "vehicles.example:443"


async def test_an_idle_fleet_is_built_but_not_connected(connector: FakeConnector) -> None:
    fleet = build_fleet(_settings(connector, vehicles=3))
    assert len(fleet.vehicles) == 3
    await fleet.close()
    assert connector.hellos == 0
