"""The simulator's SOVD server as any HTTP client sees it: paths, bodies and refusals of ISO 17978-3."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.sovd.bench import SPEC, VIN, address_of, served
from vehicle_simulator.sovd.server import SovdServer

ECM = "/v1/components/ecm"


@pytest.fixture
async def server() -> AsyncIterator[SovdServer]:
    async with served() as running:
        yield running


@pytest.fixture
async def vehicle(server: SovdServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address_of(server)) as client:
        yield client


async def items(vehicle: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    response = await vehicle.get(path)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["items"]
    return found


async def test_discovery(vehicle: httpx.AsyncClient) -> None:
    (info,) = (await vehicle.get("/version-info")).json()["sovd_info"]
    assert info["base_uri"] == f"/{VIN}/v1"
    components = await items(vehicle, "/v1/components")
    assert [component["id"] for component in components] == ["ecm", "tcm", "srs", "abs", "bcm", "ic"]
    described = (await vehicle.get(ECM)).json()
    assert described["variant"]["logical_address"] == "0x10"
    assert described["faults"] == f"/{VIN}{ECM}/faults"


async def test_data(vehicle: httpx.AsyncClient) -> None:
    listed = {item["id"]: item for item in await items(vehicle, f"{ECM}/data")}
    assert listed["VIN"] == {"id": "VIN", "name": "VIN", "category": "identData", "x-did": "0xF190"}
    assert listed["engineSpeed"]["category"] == "currentData"
    assert (await vehicle.get(f"{ECM}/data/VIN")).json()["data"] == {"VIN": SPEC.vin}
    assert (await vehicle.put(f"{ECM}/data/idleSpeedAdaptation", json={"data": "0x0320"})).status_code == 204
    assert (await vehicle.get(f"{ECM}/data/0x2001")).json()["x-raw"] == "0x0320"


async def test_faults_by_status(vehicle: httpx.AsyncClient) -> None:
    codes = [fault["code"] for fault in await items(vehicle, f"{ECM}/faults")]
    assert codes == ["042011", "017100"]
    assert [fault["code"] for fault in await items(vehicle, f"{ECM}/faults?status[testFailed]=1")] == ["042011"]
    details = (await vehicle.get(f"{ECM}/faults/042011")).json()
    assert details["item"]["status"]["mask"] == "0xAF"
    assert details["environment_data"]["snapshots"]
    assert (await vehicle.delete(f"{ECM}/faults/042011")).status_code == 204
    assert [fault["code"] for fault in await items(vehicle, f"{ECM}/faults")] == ["017100"]


async def test_operations(vehicle: httpx.AsyncClient) -> None:
    operations = {item["id"]: item for item in await items(vehicle, f"{ECM}/operations")}
    assert operations["selfTest"]["asynchronous_execution"] is True
    assert (await vehicle.get(f"{ECM}/operations/selfTest")).json()["item"]["x-routine-id"] == "0x0301"
    started = await vehicle.post(f"{ECM}/operations/selfTest/executions", json={})
    assert started.status_code == 202
    execution = started.headers["location"].removeprefix(f"/{VIN}")
    assert (await vehicle.get(execution)).json()["status"] == "running"
    assert len(await items(vehicle, f"{ECM}/operations/selfTest/executions")) == 1
    assert (await vehicle.delete(execution)).status_code == 204
    assert (await vehicle.get(execution)).json()["status"] == "stopped"


async def test_modes_and_restart(vehicle: httpx.AsyncClient) -> None:
    assert {mode["id"] for mode in await items(vehicle, f"{ECM}/modes")} == {"session", "commctrl", "dtcsetting"}
    changed = await vehicle.put(f"{ECM}/modes/session", json={"value": "extended"})
    assert changed.json() == {"id": "session", "value": "extended"}
    assert (await vehicle.get(f"{ECM}/status")).json()["status"] == "ready"
    restarted = await vehicle.put(f"{ECM}/status/restart", json={"parameters": {"ResetType": "hardReset"}})
    assert restarted.status_code == 202
    assert (await vehicle.get(f"{ECM}/modes/session")).json()["value"] == "default"


async def test_locks(vehicle: httpx.AsyncClient) -> None:
    mine, yours = {"x-client-id": "me"}, {"x-client-id": "you"}
    taken = await vehicle.post(f"{ECM}/locks", json={"lock_expiration": 60}, headers=mine)
    assert (taken.status_code, taken.json()["owned"]) == (201, True)
    lock = f"{ECM}/locks/{taken.json()['id']}"
    refused = await vehicle.post(f"{ECM}/locks", json={"lock_expiration": 60}, headers=yours)
    assert (refused.status_code, refused.json()["parameters"]) == (409, {"owner": "me"})
    assert (await vehicle.delete(f"{ECM}/faults", headers=yours)).status_code == 409
    assert (await vehicle.get(lock, headers=yours)).json()["owned"] is False
    assert (await vehicle.put(lock, json={"lock_expiration": 90}, headers=yours)).status_code == 403
    assert (await vehicle.put(lock, json={"lock_expiration": 90}, headers=mine)).status_code == 204
    assert (await vehicle.delete(lock, headers=mine)).status_code == 204
    assert await items(vehicle, f"{ECM}/locks") == []
    assert (await vehicle.get(lock)).status_code == 404


async def test_cyclic_subscriptions(vehicle: httpx.AsyncClient) -> None:
    body = {"resource": f"/{VIN}{ECM}/data/engineSpeed", "protocol": "sse", "interval": "fast", "duration": 60}
    made = await vehicle.post(f"{ECM}/cyclic-subscriptions", json=body)
    assert made.status_code == 201
    subscription = f"{ECM}/cyclic-subscriptions/{made.json()['id']}"
    assert (await vehicle.get(subscription)).json() == made.json()
    assert await items(vehicle, f"{ECM}/cyclic-subscriptions") == [made.json()]
    source = made.json()["event_source"].removeprefix(f"/{VIN}")
    async with vehicle.stream("GET", source) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        first = await anext(events.aiter_lines())
        assert first.startswith('data: {"timestamp"')
    assert (await vehicle.delete(subscription)).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/components/none", None, 404),
        ("GET", f"{ECM}/data/none", None, 404),
        ("GET", f"{ECM}/data/0x1234", None, 502),
        ("PUT", f"{ECM}/data/VIN", {"data": "00"}, 502),
        ("PUT", f"{ECM}/data/VIN", {"data": 7}, 400),
        ("PUT", f"{ECM}/data/VIN", [], 400),
        ("PUT", f"{ECM}/data/VIN", {"data": "0" * 70_000}, 413),
        ("GET", f"{ECM}/faults/none", None, 404),
        ("DELETE", f"{ECM}/faults/000000", None, 404),
        ("GET", f"{ECM}/operations/none", None, 404),
        ("GET", f"{ECM}/operations/selfTest/executions/none", None, 404),
        ("POST", f"{ECM}/operations/eraseMemory/executions", {}, 502),
        ("GET", f"{ECM}/modes/none", None, 404),
        ("PUT", f"{ECM}/modes/session", {"value": "none"}, 400),
        ("PUT", f"{ECM}/status/restart", {"parameters": {"ResetType": "none"}}, 400),
        ("PUT", f"{ECM}/status/restart", {}, 400),
        ("POST", f"{ECM}/locks", {"lock_expiration": 0}, 400),
        ("POST", f"{ECM}/cyclic-subscriptions", {"resource": "elsewhere"}, 400),
        ("POST", f"{ECM}/cyclic-subscriptions", {"resource": f"/{VIN}{ECM}/data/VIN", "interval": "never"}, 400),
        ("DELETE", f"{ECM}/cyclic-subscriptions/none", None, 404),
        ("PATCH", f"{ECM}/faults", None, 405),
    ],
)
async def test_refusals(vehicle: httpx.AsyncClient, method: str, path: str, body: Any, status: int) -> None:
    response = await vehicle.request(method, path, json=body)
    assert response.status_code == status, response.text
    if status != 405:
        assert set(response.json()) <= {"error_code", "message", "parameters"}
    if status == 502:
        assert response.json()["error_code"] == "error-response"
        assert response.json()["parameters"]["nrc"] > 0


async def test_another_vehicle_is_not_here(server: SovdServer) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{server.port}/WDD00000000000000/version-info")
    assert response.status_code == 404


async def test_a_port_that_is_taken_is_named(server: SovdServer) -> None:
    with pytest.raises(OSError, match=f"SOVD_PORT {server.port}"):
        async with served(port=server.port):
            pass
