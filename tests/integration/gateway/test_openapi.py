"""schemathesis: whatever the OpenAPI document allows or forbids, the gateway does as it says."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_vehicles import online_vehicle

CONFIG = Path(__file__).with_name("schemathesis.toml")
LOGOUT = "/api/v1/auth/logout"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "10")


async def schemathesis(gateway: Running, directory: Path, *options: str) -> tuple[int, str]:
    headers = await gateway.headers("admin")
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={CONFIG}",
        "run",
        f"{gateway.client.base_url}/openapi.json",
        "--header",
        f"Authorization: {headers['Authorization']}",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        "--continue-on-failure",
        *options,
        cwd=directory,  # where it leaves what it found
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("option", [f"--exclude-path={LOGOUT}", f"--include-path={LOGOUT}"])
async def test_schemathesis_finds_nothing(
    gateway: Running, command_service: FakeCommandService, tmp_path: Path, option: str
) -> None:
    """Logging out apart from the rest: it ends the session that all requests are made in."""
    vehicle = online_vehicle(str(uuid4()))
    command_service.vehicles[vehicle.vehicle_id] = vehicle
    exit_code, output = await schemathesis(gateway, tmp_path, option)
    assert exit_code == 0, output
