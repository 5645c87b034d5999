"""The agent of a vehicle that is known by its certificate: a process of its own, from its code to its second start."""

import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service_kit.settings import EXIT_BAD_SETTINGS
from tests.integration.vehicle_identity.conftest import VIN, System
from tests.support.waiting import until_it
from tests.unit.vehicle_agent.conftest import AgentProcess, started
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript

MOST_BYTES = 80_000_000


@pytest.fixture
async def entity() -> AsyncIterator[DoipEntity]:
    made = DoipEntity(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript())
    await made.start("127.0.0.1", 0)
    yield made
    await made.stop()


def agent_of(system: System, entity: DoipEntity, **more: Any) -> dict[str, Any]:
    return {
        "environment": "production",
        "connector_address": f"localhost:{system.connector.session_port}",
        "enrolment_address": f"localhost:{system.connector.enrolment_port}",
        "grpc_tls_ca_file": system.files.server_ca,
        "vehicle_vin": VIN,
        "doip_address": f"127.0.0.1:{entity.port}",
        "state_dir": system.directory / "state",
        "drain_seconds": 1,
        **more,
    }


async def test_an_agent_enrols_executes_and_needs_no_code_again(system: System, entity: DoipEntity) -> None:
    vehicle_id = await system.add_vehicle()
    for code in (await system.code(vehicle_id), ""):
        agent = AgentProcess(await started(agent_of(system, entity, enrolment_code=code)))
        try:
            await system.until_status(vehicle_id, "online", 30)
            assert (await system.read_dtc(vehicle_id)).status == "completed"
            assert agent.resident_bytes < MOST_BYTES
            assert await agent.terminate() == 0
            await system.until_status(vehicle_id, "offline")
        finally:
            await agent.kill()
    assert _mode(system.directory / "state" / "identity" / "identity.pem") == 0o600
    assert len(await system.certificates(vehicle_id)) == 1


async def test_with_a_new_code_one_that_was_revoked_is_enrolled_anew(system: System, entity: DoipEntity) -> None:
    vehicle_id = await system.add_vehicle()
    used = await system.code(vehicle_id)
    agent = AgentProcess(await started(agent_of(system, entity, enrolment_code=used)))
    await system.until_status(vehicle_id, "online", 30)
    await system.revoke(vehicle_id)
    await agent.kill()
    for code, status, certificates in ((used, "offline", 1), (await system.code(vehicle_id), "online", 2)):
        again = AgentProcess(await started(agent_of(system, entity, enrolment_code=code)))
        try:
            if status == "offline":  # the code that is used up changes nothing
                await until_it(lambda: system.is_turned_away(vehicle_id), 30)
            await system.until_status(vehicle_id, status, 30)
            assert len(await system.certificates(vehicle_id)) == certificates
        finally:
            await again.kill()


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(
    ("code", "reason"), [("", "NOT_ENROLLED|has no certificate"), ("AAAA-BBBB", "the code is not one for this VIN")]
)
async def test_what_cannot_enrol_says_why_in_one_line(
    system: System, entity: DoipEntity, code: str, reason: str
) -> None:
    await system.add_vehicle()
    agent = AgentProcess(await started(agent_of(system, entity, enrolment_code=code), subprocess.PIPE))
    output = await agent.output()
    assert agent.exit_code == EXIT_BAD_SETTINGS  # tried again and again, a wrong code would make the right one void
    assert output.count("\n") == 1
    assert any(part in output for part in reason.split("|"))
