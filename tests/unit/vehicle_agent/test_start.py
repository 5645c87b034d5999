"""How an agent starts, or says why it does not; and that it needs nothing of the servers."""

import asyncio
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from service_kit.settings import EXIT_BAD_SETTINGS
from tests.support.local_servers import free_port
from tests.support.system import ROOT
from tests.unit.vehicle_agent.conftest import AgentProcess, started
from vehicle_agent.settings import Settings

GIVEN: dict[str, Any] = {
    "connector_address": "localhost:50052",
    "vehicle_vin": "WDD1234567890ABCD",
    "vehicle_credential": "a credential of some length",
    "doip_address": "192.0.2.10",
    "state_dir": "/nowhere",
}
SERVER_SIDE = ("sqlalchemy", "aiormq", "redis", "fastapi", "alembic", "asyncpg", "aiosqlite", "uvicorn", "starlette")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"doip_address": ""}, "DOIP_ADDRESS, SOVD_ADDRESS: give one of them"),
        ({"sovd_address": "https://192.0.2.20"}, "DOIP_ADDRESS, SOVD_ADDRESS: give one of them"),
        ({"doip_address": "192.0.2.10:0"}, "DOIP_ADDRESS: .* neither host"),
        ({"doip_address": "", "sovd_address": "192.0.2.20"}, "SOVD_ADDRESS: the address of a SOVD server is http"),
        ({"vehicle_vin": "wdd"}, "vehicle_vin"),
        ({"connector_address": "connector.example:443"}, "CONNECTOR_ADDRESS: without certificates .* on this machine"),
        ({"connector_address": "192.0.2.1:50052", "grpc_tls_ca_file": "ca.pem"}, "CONNECTOR_ADDRESS: without"),
        ({"environment": "production"}, "CONNECTOR_ADDRESS: without .* only where ENVIRONMENT is development"),
    ],
)
def test_what_cannot_be_meant_is_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings(**(GIVEN | changed))


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1"])
def test_plain_text_stays_on_this_machine(address: str) -> None:
    assert Settings(**(GIVEN | {"connector_address": address})).connector_address == address


def test_with_a_certificate_any_connector_is_dialled_by_tls() -> None:
    given = GIVEN | {"connector_address": "vehicles.example:443", "environment": "production"}
    assert Settings(**(given | {"vehicle_credential": None})).vehicle_credential is None


async def test_a_wrong_start_is_one_line(tmp_path: Path) -> None:
    process = AgentProcess(await started(GIVEN | {"sovd_address": "x", "state_dir": tmp_path}, subprocess.PIPE))
    assert await process.output() == "DOIP_ADDRESS, SOVD_ADDRESS: give one of them\n"
    assert process.exit_code == EXIT_BAD_SETTINGS


async def test_a_state_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = AgentProcess(await started(GIVEN | {"state_dir": tmp_path / "file" / "state"}, subprocess.PIPE))
    output = await process.output()
    assert output.count("\n") == 1
    assert "start_failed" in output
    assert process.exit_code == 1


async def test_it_says_why_it_is_not_online(tmp_path: Path) -> None:
    port = free_port()
    process = AgentProcess(
        await started(GIVEN | {"doip_address": f"127.0.0.1:{port}", "state_dir": tmp_path}, subprocess.PIPE)
    )
    reason = await process.line_with("vehicle_not_reached")
    assert f"127.0.0.1:{port}: Connect call failed" in reason or "Connection refused" in reason
    await asyncio.sleep(1.5)
    assert await process.terminate() == 0
    # Once, however often it tries.
    assert "vehicle_not_reached" not in await process.output()


def test_it_runs_with_nothing_but_its_own_packages() -> None:
    """Whatever else is installed here cannot be imported, as where only its extra is."""
    ran = subprocess.run(
        [sys.executable, "-c", _ISOLATED, *sorted(_packages())],
        env={"PYTHONPATH": str(ROOT / "services")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.split())
    assert "vehicle_agent" in loaded
    assert not loaded & set(SERVER_SIDE)


def test_its_requirements_bring_nothing_of_the_servers() -> None:
    assert not _packages() & set(SERVER_SIDE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vehicle-agent"]


def _packages() -> set[str]:
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements/vehicle-agent.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(name) for name in pinned}


_ISOLATED = """
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

allowed = set(sys.argv[1:])
owners = packages_distributions()

class OnlyItsOwn(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        of = {owner.lower().replace("_", "-").replace(".", "-") for owner in owners.get(top, ())}
        if of and not of & allowed and "sovd-webapp" not in of:
            raise ModuleNotFoundError(f"{top} is of {of}", name=top)
        return None

sys.meta_path.insert(0, OnlyItsOwn())
import vehicle_agent.__main__, vehicle_agent.composition
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_example_of_its_environment_is_complete() -> None:
    lines = (ROOT / "deploy/agent/agent.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given.pop("ENROLMENT_CODE") == ""
    known = {name.upper() for name in Settings.model_fields}
    assert set(given) <= known
    without = GIVEN | {"vehicle_credential": None}
    settings = Settings(**without | {name.lower(): value for name, value in given.items()})
    assert (settings.environment, settings.link) == ("production", ("doip", "192.0.2.10"))


def test_the_unit_starts_what_is_there_and_keeps_its_state() -> None:
    unit = (ROOT / "deploy/agent/sovd-agent.service").read_text()
    assert "-m vehicle_agent" in unit
    assert f"RestartPreventExitStatus={EXIT_BAD_SETTINGS}" in unit
    assert "STATE_DIR=%S/sovd-agent" in unit
    assert "StateDirectory=sovd-agent" in unit
