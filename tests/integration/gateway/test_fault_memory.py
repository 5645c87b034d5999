"""The fault memory over HTTP."""

from uuid import uuid4

from sovd_protos.reports.v1 import reports_pb2 as pb
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import refused
from tests.integration.gateway.test_vehicles import VEHICLE_ID, VEHICLES, online_vehicle


async def test_the_fault_memory(gateway: Running, command_service: FakeCommandService) -> None:
    fault = '{ "code":"0x012345",  "value": 1.50 }'
    latest = pb.FaultMemoryReading(command_id="2", completed_at_us=1_769_860_800_000_001, faults=[fault])
    previous = pb.FaultMemoryReading(command_id="1", completed_at_us=1_769_860_800_000_000, truncated=True)
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    command_service.fault_memory = [
        pb.EcuFaultMemory(ecu_address=0x10, latest=latest, previous=previous),
        pb.EcuFaultMemory(ecu_address=0x18DA10F1, latest=previous),
    ]
    answer = await gateway.client.get(f"{VEHICLES}/{VEHICLE_ID}/fault-memory", headers=await gateway.headers())
    assert answer.status_code == 200
    assert fault in answer.text  # as the vehicle sent it
    older = {"command_id": "1", "completed_at": "2026-01-31T12:00:00.000000Z", "dtcs": [], "truncated": True}
    newer = {
        "command_id": "2",
        "completed_at": "2026-01-31T12:00:00.000001Z",
        "dtcs": [{"code": "0x012345", "value": 1.5}],
        "truncated": False,
    }
    assert answer.json() == {
        "items": [
            {"ecu_address": "0x10", "latest": newer, "previous": older},
            {"ecu_address": "0x18DA10F1", "latest": older, "previous": None},
        ]
    }


async def test_of_a_vehicle_that_is_not_there(gateway: Running) -> None:
    headers = await gateway.headers()
    refused(await gateway.client.get(f"{VEHICLES}/{uuid4()}/fault-memory", headers=headers), 404, "UNKNOWN_VEHICLE")
    refused(await gateway.client.get(f"{VEHICLES}/7/fault-memory", headers=headers), 422, "VALIDATION_FAILED")
    refused(await gateway.client.get(f"{VEHICLES}/{uuid4()}/fault-memory"), 401, "INVALID_TOKEN")
