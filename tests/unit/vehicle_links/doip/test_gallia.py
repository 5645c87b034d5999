"""`sovd simulate --doip-port`, as gallia understands it: a scanner of others, in an environment of its own."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.local_servers import free_port
from tests.support.waiting import until
from tests.unit.vehicle_links.doip.conftest import Relay
from tests.unit.vehicle_links.doip.test_dissected import capture, dissected, is_wrong, values
from vehicle_simulator.data_identifiers import IDENTIFICATION
from vehicle_simulator.ecus import ECU_TYPES

ROOT = Path(__file__).parents[4]
PINS = ROOT / "requirements/gallia.txt"
VIN = "WDD12345678900001"

# Its installation takes a while.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def gallia() -> Path:
    """Installed once, and again when it is pinned anew."""
    place = ROOT / ".tools/gallia"
    installed = place / "installed.txt"
    if not installed.exists() or installed.read_text() != PINS.read_text():
        venv.create(place, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install"]
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, *options, "-r", str(PINS)], check=True)
        installed.write_text(PINS.read_text())
    return place / "bin/gallia"


@pytest.fixture
async def simulator() -> AsyncIterator[int]:
    """The port of a simulated vehicle in a process of its own."""
    port = free_port()
    options = ["--vehicles", "0", "--vin", VIN, "--doip-port", str(port), "--no-dial-in"]
    environment = os.environ | {
        "VEHICLE_CREDENTIAL_SECRET": "a secret that nobody asks for",
        "METRICS_PORT": "0",
        "DOIP_HOST": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sovd_cli", "simulate", *options, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        await until(lambda: is_open(port), 60)
        yield port
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def relay(simulator: int) -> AsyncIterator[Relay]:
    """To the vehicle; it records what passes."""
    made = Relay(simulator)
    await made.start()
    yield made
    await made.stop()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Scanner:
    """Runs gallia in a directory of its own."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program = program
        self._directory = directory

    async def __call__(self, port: int, *command: str, ecu: int | None = None) -> str:
        """What it reports."""
        target = f"doip://127.0.0.1:{port}?src_addr=0x0e00&activation_type=0x00&protocol_version=2"
        target += "" if ecu is None else f"&target_addr={ecu:#x}"
        scan = await asyncio.create_subprocess_exec(
            self._program,
            *(*command, "--target", target, "--no-volatile-info", "--timeout", "2"),
            cwd=self._directory,
            env=os.environ | {"HOME": str(self._directory), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        report = (await scan.communicate())[0].decode()
        assert scan.returncode == 0, report
        return report


@pytest.fixture
def scan(gallia: Path, tmp_path: Path) -> Scanner:
    return Scanner(gallia, tmp_path)


def found(report: str, pattern: str) -> set[int]:
    return {int(number, 16) for number in re.findall(pattern, report)}


async def test_its_services_sessions_and_data_are_understood_and_nothing_it_says_is_malformed(
    scan: Scanner, relay: Relay, tmp_path: Path
) -> None:
    services = await scan(relay.port, "scan", "uds", "services", "--no-dumpcap", "--sessions", "1", "3", ecu=0x10)
    default, extended = services.split("findings in session 0x01")[1].split("findings in session 0x03")
    assert found(default, r"\[(0x\w\w)\] ") == {0x10, 0x11, 0x14, 0x19, 0x22, 0x3E}
    assert found(extended, r"\[(0x\w\w)\] ") == {0x10, 0x11, 0x14, 0x19, 0x22, 0x27, 0x2E, 0x31, 0x3E}
    data_ids = ("--start", "0xF180", "--end", "0xF19F")
    data = await scan(relay.port, "scan", "uds", "identifiers", "--no-dumpcap", *data_ids, ecu=0x10)
    assert found(data, r"(0x\w{4}): ReadDataByIdentifierResponse") == set(IDENTIFICATION)
    assert "Abnormal replies: 0" in data
    assert "Timeouts: 0" in data
    vin = await scan(relay.port, "primitive", "uds", "vin", "--no-dumpcap", ecu=0x28)
    assert VIN in vin or VIN.encode().hex() in vin
    # What it asks is malformed on purpose now and then.
    said = [(direction, piece) for direction, piece in relay.recorded if direction == "down"]
    packets = dissected(capture(said, tmp_path / "gallia.pcapng"))
    assert [packet for packet in packets if is_wrong(packet)] == []
    assert len(packets) > 100
    assert values(packets, "uds.sid") >= {0x10, 0x22, 0x3E}


async def test_its_ecus_are_found(scan: Scanner, simulator: int) -> None:
    report = await scan(simulator, "discover", "doip", "--start", "0x00", "--stop", "0x70")
    assert VIN in report
    assert found(report.split("responsive")[-1], r"target_addr=(0x\w+)") == set(ECU_TYPES)
