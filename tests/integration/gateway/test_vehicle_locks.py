"""The diagnostic lock of a vehicle over HTTP: what is asked of the command service, and how its answers look."""

from typing import Any

import pytest
from sqlalchemy import update

from gateway.storage.tables import users
from sovd_protos.command.v1.command_pb2 import Command, HeldBack
from sovd_protos.vehicle.v1 import vehicle_pb2 as pb
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService
from tests.integration.gateway.test_auth import execute, refused
from tests.integration.gateway.test_vehicles import VEHICLE_ID, VEHICLES, online_vehicle

LOCK = f"{VEHICLES}/{VEHICLE_ID}/lock"


async def test_taken_renewed_and_released(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    headers = await gateway.headers("engineer")
    refused(await gateway.client.patch(LOCK, headers=headers), 404, "NOT_LOCKED")
    taken = await gateway.client.post(LOCK, headers=headers)
    assert taken.status_code == 201
    lock = taken.json()
    assert (lock["owner"], lock["taken_at"]) == ("engineer", "2026-01-31T12:00:00.000000Z")
    assert lock["expires_at"] == "2026-01-31T12:15:00.000000Z"
    renewed = await gateway.client.patch(LOCK, json={"expires_in_seconds": 60}, headers=headers)
    assert renewed.status_code == 200
    assert renewed.json() == {**lock, "expires_at": "2026-01-31T12:01:00.000000Z"}
    vehicle = await gateway.client.get(f"{VEHICLES}/{VEHICLE_ID}", headers=headers)
    assert vehicle.json()["lock"] == renewed.json()
    held = await gateway.client.post(LOCK, headers=await gateway.headers("admin"))
    refused(held, 409, "VEHICLE_LOCKED")
    assert (await gateway.client.delete(LOCK, headers=headers)).status_code == 204
    request = command_service.requests[-1]
    assert isinstance(request, pb.ReleaseLockRequest)
    assert (request.actor.user_id, request.break_it) == (lock["owner_id"], False)


async def test_broken_on_request_only(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    headers = await gateway.headers("admin")
    await gateway.client.delete(LOCK, params={"break": "true"}, headers=headers)
    assert command_service.requests[-1].break_it
    await gateway.client.delete(LOCK, params={"break": "false"}, headers=headers)
    assert not command_service.requests[-1].break_it
    refused(await gateway.client.delete(f"{LOCK}?break=yes", headers=headers), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize("body", [{"expires_in_seconds": 0}, {"expires_in_seconds": 28_801}, {"minutes": 5}, []])
async def test_what_is_no_term(gateway: Running, command_service: FakeCommandService, body: Any) -> None:
    headers = await gateway.headers("engineer")
    for ask in (gateway.client.post, gateway.client.patch):
        refused(await ask(LOCK, json=body, headers=headers), 422, "VALIDATION_FAILED")
    assert command_service.requests == []


async def test_a_viewer_locks_nothing(
    gateway: Running, command_service: FakeCommandService, settings: dict[str, Any]
) -> None:
    await execute(settings, update(users).where(users.c.username == "engineer").values(role="viewer"))
    headers = await gateway.headers()
    for ask in (gateway.client.post, gateway.client.patch, gateway.client.delete):
        refused(await ask(LOCK, headers=headers), 403, "FORBIDDEN")
    assert command_service.requests == []


async def test_a_command_says_that_it_is_held_back(gateway: Running, command_service: FakeCommandService) -> None:
    command = Command(
        command_id="01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b",
        status="pending",
        held_back=HeldBack(owner="Olivia", until_us=1_769_860_800_000_000),
    )
    command_service.commands[command.command_id] = command
    path = f"/api/v1/commands/{command.command_id}"
    shown = (await gateway.client.get(path, headers=await gateway.headers())).json()
    assert shown["held_back"] == {"owner": "Olivia", "until": "2026-01-31T12:00:00.000000Z"}
    command.ClearField("held_back")
    shown = (await gateway.client.get(path, headers=await gateway.headers())).json()
    assert shown["held_back"] is None
