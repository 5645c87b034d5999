"""The fleet over HTTP: what is asked of the command service, and how its answers look."""

import json
from typing import Any

import pytest

from sovd_protos.command.v1.command_pb2 import Actor, Command
from sovd_protos.identity.v1 import identity_pb2
from sovd_protos.vehicle.v1 import vehicle_pb2 as pb
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.fake_command_service import FakeCommandService, serving
from tests.integration.gateway.test_auth import refused

VEHICLES = "/api/v1/vehicles"
NEW_VEHICLE = {"vin": "WDD1234567890ABCD", "make": "Mercedes", "model": "E-Class", "year": 2024}
VEHICLE_ID = "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10"


def online_vehicle(vehicle_id: str = VEHICLE_ID, vin: str = "WDD1234567890ABCD") -> pb.Vehicle:
    return pb.Vehicle(
        vehicle_id=vehicle_id,
        vin=vin,
        make="Mercedes",
        model="E-Class",
        year=2024,
        link=pb.Link(kind="session"),
        connection_status="online",
        last_seen_at_us=1_769_860_800_000_001,
        ecus=[
            pb.Ecu(address=0x10, name="Engine", facts=FACTS, seen_at_us=1_769_860_800_000_001),
            pb.Ecu(address=0x18DA10F1, name="Gearbox"),
        ],
        created_at_us=1_769_860_800_000_000,
    )


FACTS = {"part_number": "A1", "vin": "WDD1234567890ABCD"}
UNKNOWN: dict[str, str | None] = dict.fromkeys(
    (
        "part_number",
        "software_number",
        "software_version",
        "hardware_number",
        "hardware_version",
        "serial_number",
        "vin",
        "seen_at",
    )
)


async def test_one_vehicle(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    answer = await gateway.client.get(f"{VEHICLES}/{VEHICLE_ID.upper()}", headers=await gateway.headers())
    assert answer.status_code == 200
    assert answer.json() == {
        "vehicle_id": VEHICLE_ID,
        "vin": "WDD1234567890ABCD",
        "make": "Mercedes",
        "model": "E-Class",
        "year": 2024,
        "link": {"kind": "session", "address": None, "problem": None},
        "connection_status": "online",
        "last_seen_at": "2026-01-31T12:00:00.000001Z",
        "ecus": [
            UNKNOWN | FACTS | {"address": "0x10", "name": "Engine", "seen_at": "2026-01-31T12:00:00.000001Z"},
            UNKNOWN | {"address": "0x18DA10F1", "name": "Gearbox"},
        ],
        "created_at": "2026-01-31T12:00:00.000000Z",
        "lock": None,
    }


async def test_why_a_vehicle_is_not_reached(gateway: Running, command_service: FakeCommandService) -> None:
    vehicle = online_vehicle()
    vehicle.link.CopyFrom(pb.Link(kind="doip", address="192.0.2.10"))
    vehicle.link_problem.CopyFrom(pb.LinkProblem(reason="Connection refused", since_us=1_769_860_800_000_000))
    command_service.vehicles[VEHICLE_ID] = vehicle
    headers = await gateway.headers()
    link = {
        "kind": "doip",
        "address": "192.0.2.10",
        "problem": {"reason": "Connection refused", "since": "2026-01-31T12:00:00.000000Z"},
    }
    assert (await gateway.client.get(f"{VEHICLES}/{VEHICLE_ID}", headers=headers)).json()["link"] == link
    assert (await gateway.client.get(VEHICLES, headers=headers)).json()["items"][0]["link"] == link


async def test_the_list(gateway: Running, command_service: FakeCommandService) -> None:
    for number in range(3):
        vehicle = online_vehicle(f"{VEHICLE_ID[:-1]}{number}", f"WDD{number:014}")
        command_service.vehicles[vehicle.vehicle_id] = vehicle
    headers = await gateway.headers()
    query: dict[str, Any] = {"search": "benz é", "status": "online", "limit": 1}
    first = (await gateway.client.get(VEHICLES, params=query, headers=headers)).json()
    assert [vehicle["vin"] for vehicle in first["items"]] == ["WDD00000000000000"]
    rest = (await gateway.client.get(VEHICLES, params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert len(rest["items"]) == 2
    asked = [request for request in command_service.requests if isinstance(request, pb.ListVehiclesRequest)]
    assert asked[0] == pb.ListVehiclesRequest(search="benz é", connection_status="online", limit=1)
    assert asked[1] == pb.ListVehiclesRequest(limit=50, cursor="next")
    await gateway.client.get(VEHICLES, params={"sort": "-last_seen_at"}, headers=headers)
    assert command_service.requests[-1] == pb.ListVehiclesRequest(limit=50, sort="-last_seen_at")


async def test_an_administrator_creates_changes_and_deletes(
    gateway: Running, command_service: FakeCommandService
) -> None:
    headers = await gateway.headers("admin")
    me = (await gateway.client.get("/api/v1/auth/me", headers=headers)).json()
    actor = Actor(user_id=me["user_id"], username="admin", role="admin")
    created = await gateway.client.post(VEHICLES, json=NEW_VEHICLE, headers=headers)
    assert created.status_code == 201
    location = created.headers["location"]
    assert location == f"{VEHICLES}/{created.json()['vehicle_id']}"
    assert created.json()["last_seen_at"] is None
    link = {"kind": "doip", "address": "10.0.0.7:13400"}
    changed = await gateway.client.patch(location, json={"model": "E 300", "link": link}, headers=headers)
    facts = changed.json()
    assert (facts["make"], facts["model"], facts["link"]) == ("Mercedes", "E 300", {**link, "problem": None})
    assert (await gateway.client.patch(location, json={}, headers=headers)).json() == changed.json()
    deleted = await gateway.client.delete(location, headers=headers)
    assert (deleted.status_code, deleted.content) == (204, b"")
    refused(await gateway.client.get(location, headers=headers), 404, "UNKNOWN_VEHICLE")
    assert len(command_service.requests) == 4
    assert all(request.actor == actor for request in command_service.requests)


async def test_conflicts(gateway: Running, command_service: FakeCommandService) -> None:
    headers = await gateway.headers("admin")
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    command_service.commands["c"] = Command(vehicle_id=VEHICLE_ID)
    refused(await gateway.client.post(VEHICLES, json=NEW_VEHICLE, headers=headers), 409, "DUPLICATE_VIN")
    refused(await gateway.client.delete(f"{VEHICLES}/{VEHICLE_ID}", headers=headers), 409, "VEHICLE_HAS_OPEN_COMMANDS")


@pytest.mark.parametrize(
    "change",
    [
        {"vin": "WDD123"},
        {"vin": "WDD1234567890ABCDE"},
        {"vin": "WDD1234567890ABIO"},
        {"vin": "wdd1234567890abcd"},
        {"vin": "WDD1234567890ABC\n"},
        {"make": ""},
        {"make": "M" * 101},
        {"make": "Mer\x00cedes"},
        {"make": "\ud800"},
        {"year": "2024"},
        {"year": 1800},
        {"year": 2**40},
        {"year": 2024.5},
        {"year": True},
        {"color": "red"},
        {"link": {"kind": "carrier pigeon"}},
        {"link": {"kind": "doip"}},
        {"link": {"kind": "sovd", "address": "ftp://vehicle"}},
        {"link": {"kind": "session", "address": "10.0.0.7"}},
        {"link": {}},
    ],
)
async def test_vehicles_that_cannot_be(
    gateway: Running, command_service: FakeCommandService, change: dict[str, Any]
) -> None:

    headers = await gateway.headers("admin") | {"content-type": "application/json"}
    body = json.dumps(NEW_VEHICLE | change)
    refused(await gateway.client.post(VEHICLES, content=body, headers=headers), 422, "VALIDATION_FAILED")
    assert command_service.requests == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=many",
        "status=asleep",
        "sort=colour",
        "sort=%2Bvin",
        "search=%00",
        "color=red",
        "cursor=" + "x" * 513,
    ],
)
async def test_questions_that_make_no_sense(gateway: Running, query: str) -> None:
    headers = await gateway.headers()
    refused(await gateway.client.get(f"{VEHICLES}?{query}", headers=headers), 422, "VALIDATION_FAILED")
    refused(await gateway.client.get(f"{VEHICLES}?cursor=forged", headers=headers), 422, "INVALID_CURSOR")
    refused(await gateway.client.get(f"{VEHICLES}/not-a-uuid", headers=headers), 422, "VALIDATION_FAILED")


async def test_without_the_command_service(start_gateway: Any) -> None:
    gateway = await start_gateway(command_service_address="127.0.0.1:1")
    headers = await gateway.headers()
    refused(await gateway.client.get(VEHICLES, headers=headers), 503, "COMMAND_SERVICE_UNAVAILABLE")


async def test_a_wrong_service_token_is_not_the_user_s_fault(start_gateway: Any) -> None:
    gateway = await start_gateway(service_token="not the service token")
    headers = await gateway.headers()
    refused(await gateway.client.get(VEHICLES, headers=headers), 503, "COMMAND_SERVICE_UNAVAILABLE")


async def test_the_command_service_comes_back(start_gateway: Any) -> None:
    fake = FakeCommandService()
    async with serving(fake) as port:
        gateway = await start_gateway(command_service_address=fake.address)
        headers = await gateway.headers()
        assert (await gateway.client.get(VEHICLES, headers=headers)).status_code == 200
    refused(await gateway.client.get(VEHICLES, headers=headers), 503, "COMMAND_SERVICE_UNAVAILABLE")
    async with serving(fake, port):
        await gateway.gateway.state.channel.channel_ready()
        assert (await gateway.client.get(VEHICLES, headers=headers)).status_code == 200


async def test_a_code_that_enrols_a_vehicle(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    headers = await gateway.headers("admin")
    answer = await gateway.client.post(f"{VEHICLES}/{VEHICLE_ID}/enrolment-codes", headers=headers)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["code"], body["vin"]) == ("ABCD-EFGH", "WDD1234567890ABCD")
    assert body["expires_at"].endswith("Z")
    (asked,) = [one for one in command_service.requests if isinstance(one, identity_pb2.CreateEnrolmentCodeRequest)]
    assert (asked.vehicle_id, asked.actor.username, asked.actor.role) == (VEHICLE_ID, "admin", "admin")


async def test_certificates_are_listed_and_revoked(gateway: Running, command_service: FakeCommandService) -> None:
    command_service.vehicles[VEHICLE_ID] = online_vehicle()
    command_service.certificates = [
        identity_pb2.Certificate(
            serial="ab12",
            fingerprint="f" * 64,
            status="valid",
            issued_at_us=1_769_860_800_000_000,
            not_after_us=1_777_636_800_000_000,
        )
    ]
    path, headers = f"{VEHICLES}/{VEHICLE_ID}/certificates", await gateway.headers("admin")
    listed = (await gateway.client.get(path, headers=headers)).json()
    assert listed == {
        "items": [
            {
                "serial": "ab12",
                "fingerprint": "f" * 64,
                "status": "valid",
                "issued_at": "2026-01-31T12:00:00.000000Z",
                "expires_at": "2026-05-01T12:00:00.000000Z",
                "revoked_at": None,
            }
        ],
        "next_cursor": None,
    }
    for suffix, status in (("", 204), ("/ab12", 204), ("/cd34", 404), ("/AB12", 422), ("/nonsense", 422)):
        assert (await gateway.client.delete(f"{path}{suffix}", headers=headers)).status_code == status, suffix
    revoked = [one for one in command_service.requests if isinstance(one, identity_pb2.RevokeCertificatesRequest)]
    assert [one.serial for one in revoked] == ["", "ab12", "cd34"]


async def test_only_administrators_have_to_do_with_identities(gateway: Running) -> None:
    headers, path = await gateway.headers("engineer"), f"{VEHICLES}/{VEHICLE_ID}"
    for method, what in (
        ("POST", "enrolment-codes"),
        ("GET", "certificates"),
        ("DELETE", "certificates"),
        ("DELETE", "certificates/ab12"),
    ):
        answer = await gateway.client.request(method, f"{path}/{what}", headers=headers)
        refused(answer, 403, "FORBIDDEN")
