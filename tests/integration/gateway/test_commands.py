"""The routes of commands, over real HTTP and gRPC, with a command service that remembers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from service_kit.errors import LimitExceeded, NotFound
from sovd_protos.command.v1 import command_pb2 as pb
from tests.integration.gateway.scripted_command_service import VEHICLE_JSON
from tests.integration.gateway.small_gateway import SmallGateway, small_gateway
from tests.support.waiting import until
from tests.unit.gateway.live_fakes import live, response, status

VEHICLE = "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10"
UNKNOWN = "01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b"
COMMANDS = "/api/v1/commands"
READ = {"vehicle_id": VEHICLE, "command_name": "ReadDTC", "command_params": {"ecuAddress": "0x10"}}


NESTED: Any = 1
for _ in range(20):
    NESTED = [NESTED]


@pytest.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    async with small_gateway() as running:
        yield running


@pytest.fixture
async def http(gateway: SmallGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers()) as client:
        yield client


async def test_a_command_is_sent(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    answer = await http.post(COMMANDS, json={**READ, "timeout_seconds": 12, "expires_in_seconds": 60, "priority": -5})
    assert answer.status_code == 201
    command = answer.json()
    assert answer.headers["location"] == f"{COMMANDS}/{command['command_id']}"
    assert command["status"] == "pending"
    assert command["command_params"] == {"ecuAddress": "0x10"}
    assert command["created_at"] == "2026-01-31T12:00:00.000000Z"
    assert command["completed_at"] is None
    ((submission,),) = gateway.service.batches
    assert (submission.timeout_seconds, submission.expires_in_seconds, submission.priority) == (12, 60, -5)
    assert (submission.actor.username, submission.actor.role) == ("engineer", "engineer")
    assert submission.command_id[14] == "7", "a UUIDv7"
    assert (await http.get(answer.headers["location"])).json() == command


async def test_defaults_are_the_command_services_own(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    await http.post(COMMANDS, json=READ)
    ((submission,),) = gateway.service.batches
    assert not submission.HasField("timeout_seconds")
    assert not submission.HasField("expires_in_seconds")


async def test_the_trace_of_the_request_goes_with_the_command(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    answer = await http.post(COMMANDS, json=READ, headers={"traceparent": parent})
    assert gateway.service.batches[0][0].traceparent == parent
    for command in (answer, await http.get(answer.headers["location"])):
        assert command.json()["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_who_sends_with_a_socket_open_watches_without_asking(
    http: httpx.AsyncClient, gateway: SmallGateway
) -> None:
    async with connect(gateway.websocket_url(f"/ws/events?token={gateway.token()}")) as socket:
        await until(lambda: gateway.state.sessions.is_watched("session-1"))
        command_id = (await http.post(COMMANDS, json=READ)).json()["command_id"]
        gateway.live.send(f"command.{command_id}", live(status(1, 0), response(1)))
        await socket.send(json.dumps({"action": "subscribe", "command_id": command_id}))
        events = [json.loads(await socket.recv()) for _ in range(2)]
    assert [event["event"] for event in events] == ["status", "response"]
    # Nothing is recorded of it: a read would have found no such command.
    assert gateway.service.recorded == {}


@pytest.mark.parametrize("change", [{"vehicle_id": UNKNOWN}, {"priority": 0}])
async def test_what_is_refused_or_was_sent_before_is_not_waited_for(
    http: httpx.AsyncClient, gateway: SmallGateway, change: dict[str, Any]
) -> None:
    gateway.service.refused[UNKNOWN] = NotFound("UNKNOWN_VEHICLE", "there is no such vehicle")
    keyed = {"Idempotency-Key": "again"}
    await http.post(COMMANDS, json=READ, headers=keyed)
    async with connect(gateway.websocket_url(f"/ws/events?token={gateway.token()}")):
        await until(lambda: gateway.state.sessions.is_watched("session-1"))
        await http.post(COMMANDS, json={**READ, **change}, headers=keyed)
        await until(lambda: gateway.live.subscriptions == [])


async def test_the_same_key_and_body_give_the_same_command(http: httpx.AsyncClient) -> None:
    keyed = {"Idempotency-Key": "6f1c2c9e read faults"}
    reordered = {"priority": 0, "command_params": {"ecuAddress": "0x10"}, **READ}
    first = await http.post(COMMANDS, json=READ, headers=keyed)
    second = await http.post(COMMANDS, json=reordered, headers=keyed)
    assert [first.status_code, second.status_code] == [201, 201]
    assert first.json() == second.json()
    other = await http.post(COMMANDS, json={**READ, "priority": 1}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"vehicle_id": "no"}, "body.vehicle_id"),
    ({"vehicle_id": VEHICLE + "\n"}, "body.vehicle_id"),
    ({"vehicle_id": 7}, "body.vehicle_id"),
    ({"command_name": ""}, "body.command_name"),
    ({"command_name": "Read\0DTC"}, "body.command_name"),
    ({"command_params": []}, "body.command_params"),
    ({"command_params": {"a": "x\0y"}}, "body.command_params"),
    ({"command_params": {"x\0y": 1}}, "body.command_params"),
    ({"command_params": {"a": "x" * 40_000}}, "body.command_params"),
    ({"command_params": {"a": NESTED}}, "body.command_params"),
    ({"timeout_seconds": 0}, "body.timeout_seconds"),
    ({"timeout_seconds": 601}, "body.timeout_seconds"),
    ({"timeout_seconds": "30"}, "body.timeout_seconds"),
    ({"timeout_seconds": True}, "body.timeout_seconds"),
    ({"timeout_seconds": 1.5}, "body.timeout_seconds"),
    ({"expires_in_seconds": 2_592_001}, "body.expires_in_seconds"),
    ({"priority": 101}, "body.priority"),
    ({"priority": None}, "body.priority"),
    ({"urgent": True}, "body.urgent"),
]


async def test_a_wrong_field_is_named(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    for change, field in WRONG_FIELDS:
        answer = await http.post(COMMANDS, json={**READ, **change})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "VALIDATION_FAILED"), change
        assert [error["field"] for error in problem["errors"]] == [field]
        assert answer.headers["content-type"] == "application/problem+json"
    assert gateway.service.batches == []


async def test_what_is_not_json_is_malformed(http: httpx.AsyncClient) -> None:
    for body in (b"", b"{", b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}', b"[" * 5000):
        answer = await http.post(COMMANDS, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_JSON"), body[:20]


async def test_a_body_that_is_no_object_is_invalid(http: httpx.AsyncClient) -> None:
    for body in (b"[]", b"7", b"null", b'"text"'):
        answer = await http.post(COMMANDS, content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), body


async def test_a_wrong_idempotency_key_is_named(http: httpx.AsyncClient) -> None:
    for key in ("", "x" * 256, "ключ"):
        answer = await http.post(COMMANDS, json=READ, headers={b"Idempotency-Key": key.encode()})
        assert answer.status_code == 422, key
        assert [error["field"] for error in answer.json()["errors"]] == ["header.Idempotency-Key"]


async def test_viewers_may_look_but_not_send(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    viewer = gateway.headers("viewer")
    refused = await http.post(COMMANDS, json=READ, headers=viewer)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert (await http.get(COMMANDS, headers=viewer)).status_code == 200
    unknown = await http.post(COMMANDS, json=READ, headers={"authorization": "Bearer none"})
    assert (unknown.status_code, unknown.json()["code"]) == (401, "INVALID_TOKEN")


async def test_what_the_command_service_refuses_is_told(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    gateway.service.refused[VEHICLE] = NotFound("UNKNOWN_VEHICLE", "there is no such vehicle")
    answer = await http.post(COMMANDS, json=READ)
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_VEHICLE")
    gateway.service.refused[VEHICLE] = LimitExceeded("VEHICLE_QUEUE_FULL", "100 wait already", {"limit": 100})
    answer = await http.post(COMMANDS, json=READ)
    assert (answer.status_code, answer.json()["code"]) == (429, "VEHICLE_QUEUE_FULL")
    assert answer.json()["details"] == {"limit": 100}


async def test_a_command_service_that_comes_back_in_time_is_not_noticed(
    http: httpx.AsyncClient, gateway: SmallGateway
) -> None:
    gateway.service.away, gateway.service.loses_answers = 1, 1
    answer = await http.post(COMMANDS, json=READ)
    assert answer.status_code == 201
    assert list(gateway.service.commands) == [answer.json()["command_id"]]


async def test_a_command_service_that_stays_away_is_unavailable(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    gateway.service.away = 1000
    answer = await http.post(COMMANDS, json=READ)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_commands_are_listed_by_every_filter(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    sent = [(await http.post(COMMANDS, json=READ)).json() for _ in range(3)]
    query = {
        "vehicle_id": VEHICLE.upper(),
        "user_id": sent[0]["user_id"],
        "status": ["pending", "failed"],
        "command_name": "ReadDTC",
        "from": "2026-01-31T13:00:00+01:00",
        "to": "2026-01-31T12:00:01.5Z",
        "limit": 2,
        "cursor": "abc",
    }
    listed = (await http.get(COMMANDS, params=query)).json()
    assert listed == {"items": sent[:0:-1], "next_cursor": "next"}
    assert gateway.service.queries == [
        pb.ListCommandsRequest(
            vehicle_id=VEHICLE,
            user_id=sent[0]["user_id"],
            statuses=["pending", "failed"],
            command_name="ReadDTC",
            from_us=1_769_860_800_000_000,
            to_us=1_769_860_801_500_000,
            limit=2,
            cursor="abc",
        )
    ]


async def test_a_wrong_filter_is_refused(http: httpx.AsyncClient) -> None:
    wrong = ["status=done", "limit=0", "limit=201", "limit=x", "from=yesterday", "vehicle_id=1", "user=1", "to=12"]
    for query in wrong:
        answer = await http.get(f"{COMMANDS}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), query


async def test_responses_are_the_vehicles_own_text(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    command_id = (await http.post(COMMANDS, json=READ)).json()["command_id"]
    answer = await http.get(f"{COMMANDS}/{command_id}/responses?after=7&limit=9")
    assert answer.json()["has_more"] is True
    assert answer.json()["items"][0]["sequence_number"] == 8
    assert f'"response":{VEHICLE_JSON}'.encode() in answer.content
    asked = gateway.service.queries[-1]
    assert (asked.after, asked.limit) == (7, 9)


async def test_evidence_is_shown_as_it_came(http: httpx.AsyncClient) -> None:
    command_id = (await http.post(COMMANDS, json=READ)).json()["command_id"]
    answer = await http.get(f"{COMMANDS}/{command_id}/evidence")
    assert f'"body":{VEHICLE_JSON}'.encode() in answer.content
    assert [item["body"] for item in answer.json()["items"]][1] == "completed"
    assert answer.json()["next_cursor"] is None


async def test_a_command_is_cancelled(http: httpx.AsyncClient, gateway: SmallGateway) -> None:
    command_id = (await http.post(COMMANDS, json=READ)).json()["command_id"]
    answer = await http.post(f"{COMMANDS}/{command_id}/cancel")
    assert answer.status_code == 200
    assert (answer.json()["outcome"], answer.json()["command"]["command_id"]) == ("requested", command_id)
    assert gateway.service.queries[-1].actor.username == "engineer"


async def test_an_unknown_command_is_not_found(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("GET", "/responses"), ("GET", "/evidence"), ("POST", "/cancel")):
        answer = await http.request(method, f"{COMMANDS}/{UNKNOWN}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_COMMAND"), path
        answer = await http.request(method, f"{COMMANDS}/not-a-uuid{path}")
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), path


async def test_the_catalogue_is_the_command_services(http: httpx.AsyncClient) -> None:
    (kind,) = (await http.get("/api/v1/command-types")).json()["items"]
    assert kind["name"] == "ReadDTC"
    assert kind["parameters_schema"] == {"type": "object", "required": ["ecuAddress"]}
    stationary = {"name": "vehicle speed", "comparison": "=", "value": 0.0, "unit": "km/h", "when": {"action": "start"}}
    assert kind["preconditions"] == [stationary]


async def test_every_call_is_documented_with_an_example(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    operations = [
        operation
        for path, methods in paths.items()
        if path.startswith((COMMANDS, "/api/v1/command-types"))
        for operation in methods.values()
    ]
    assert len(operations) == 8
    for operation in operations:
        for code, answer in operation["responses"].items():
            (content,) = answer["content"].values()
            assert "example" in content, (operation["operationId"], code)
    submit = paths[COMMANDS]["post"]
    assert set(submit["responses"]) >= {"201", "400", "401", "403", "404", "409", "413", "422", "429", "503"}
    body = submit["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["required"]) == {"vehicle_id", "command_name", "command_params"}
    assert "example" in body
