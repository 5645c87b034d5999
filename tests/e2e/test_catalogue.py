"""The whole catalogue, over every way to a vehicle, by the API and by the command line: the answers are the same."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from sovd_cli import program
from tests.support.roads import WAYS, Roads
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import ADMIN, System
from tests.support.waiting import wait_for

ECU = {"ecuAddress": "0x10"}
Json = dict[str, Any]
Answers = list[Json]


def _codes(answers: Answers) -> list[str]:
    return [answer["display_code"] for answer in answers if "display_code" in answer]


# Of each type: parameters, and what the answers must show. What one changes, none of the others reads.
EXAMPLES: dict[str, tuple[Json, Callable[[Answers], object]]] = {
    "ScanECUs": ({}, lambda answers: answers[0]["ecuAddress"] == "0x10" and answers[-1] == {"count": 6}),
    "ReadDTC": (ECU, lambda answers: _codes(answers) == ["P0420-11", "P0171-00"] and answers[-1]["count"] == 2),
    "ReadDTCDetails": (
        ECU | {"dtcCode": "P0420-11"},
        lambda answers: answers[0]["snapshots"][0]["data"][0]["id"] == "0xF405" and answers[0]["extended_data"],
    ),
    "ReadDataByID": (ECU | {"dataId": "0xF190"}, lambda answers: bytes.fromhex(answers[0]["raw"][2:])[:3] == b"WDD"),
    "StreamDataByID": (
        ECU | {"dataIds": ["0xF40C"], "interval_ms": 50, "duration_s": 1},
        lambda answers: len(answers) >= 3 and {answer["id"] for answer in answers} == {"0xF40C"},
    ),
    "WriteDataByID": (ECU | {"dataId": "0x2001", "value": "0x0320"}, lambda answers: answers[0]["raw"] == "0x0320"),
    "RoutineControl": (ECU | {"routineId": "0x0203", "action": "start"}, lambda answers: len(answers) == 1),
    "ClearDTC": ({"ecuAddress": "0x18"}, lambda answers: [answer["ecuAddress"] for answer in answers] == ["0x18"]),
    "ECUReset": (ECU | {"resetType": "soft"}, lambda answers: len(answers) == 1),
}
# What a way cannot say: over DoIP a routine returns what its maker wants, and SOVD says nothing of what was written.
UNLIKE = {"RoutineControl": {"status", "value"}, "WriteDataByID": {"name", "value", "unit"}}


@pytest.fixture(scope="module")
def system(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    database_url, rabbitmq_url = postgres_server.new_database(), rabbitmq_server.new_vhost()
    roads = Roads(database_url, rabbitmq_url, redis_server.url, tmp_path_factory.mktemp("ways"), vehicles=0)
    roads.lay(WAYS)
    try:
        roads.start()
        with roads.client() as client:
            roads.open(client)
            roads.wait_for_vehicles(client, len(WAYS))
        yield roads
    finally:
        roads.kill_all()
    postgres_server.drop_database(database_url)
    rabbitmq_server.drop_vhost(rabbitmq_url)


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[httpx.Client]:
    with system.client() as client:
        yield client


@pytest.fixture(scope="module")
def credentials(system: System) -> Path:
    """Somebody has logged in at the command line."""
    path = system.directory / "credentials.json"
    username, password = ADMIN
    login = [sys.executable, "-m", "sovd_cli", "login", "--username", username, "--password-stdin"]
    environment = system.processes["gateway"].environment | {"SOVD_URL": system.url, "SOVD_CONFIG": str(path)}
    subprocess.run(login, env=environment, input=password, text=True, check=True)
    return path


@pytest.fixture(scope="module")
def catalogue(api: httpx.Client) -> dict[str, Json]:
    return {kind["name"]: kind for kind in api.get("/api/v1/command-types").json()["items"]}


def test_every_type_is_tried(catalogue: dict[str, Json]) -> None:
    assert catalogue.keys() == EXAMPLES.keys()


@pytest.fixture(scope="module")
def told(api: httpx.Client) -> dict[str, dict[str, Answers]]:
    """What each vehicle has answered to each type of command, by way and name."""
    return {way: all_answers(api, way) for way in WAYS}


def all_answers(api: httpx.Client, way: str) -> dict[str, Answers]:
    (vehicle,) = api.get("/api/v1/vehicles", params={"search": WAYS[way]}).json()["items"]

    def ask(name: str, parameters: Json) -> Answers:
        body = {"vehicle_id": vehicle["vehicle_id"], "command_name": name, "command_params": parameters}
        return answers_to(api, body)

    # Until whoever speaks DoIP there has read its files.
    wait_for(lambda: "fault_name" in ask("ReadDTC", ECU)[0])
    return {name: ask(name, parameters) for name, (parameters, _) in EXAMPLES.items()}


@pytest.mark.parametrize("way", WAYS)
def test_by_the_api(way: str, told: dict[str, dict[str, Answers]], catalogue: dict[str, Json]) -> None:
    for name, (_, expected) in EXAMPLES.items():
        check(told[way][name], catalogue[name], expected)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_answers_have_the_same_shape_over_every_way(name: str, told: dict[str, dict[str, Answers]]) -> None:
    shapes = {way: {shape(answer, UNLIKE.get(name, set())) for answer in told[way][name]} for way in WAYS}
    assert len(set(map(frozenset, shapes.values()))) == 1, shapes


def shape(value: object, unlike: Set[str] = frozenset()) -> object:
    """Which names there are, on every level."""
    if isinstance(value, dict):
        return frozenset((name, shape(part)) for name, part in value.items() if name not in unlike)
    if isinstance(value, list):
        return frozenset(map(shape, value))
    return None


def answers_to(api: httpx.Client, body: Json) -> Answers:
    path = api.post("/api/v1/commands", json=body).raise_for_status().headers["Location"]
    wait_for(lambda: api.get(path).json()["completed_at"])
    command = api.get(path).json()
    assert command["status"] == "completed", command
    return [answer["response"] for answer in api.get(f"{path}/responses").json()["items"]]


@pytest.mark.parametrize("way", WAYS)
def test_by_the_command_line(
    way: str,
    system: System,
    credentials: Path,
    catalogue: dict[str, Json],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOVD_URL", system.url)
    monkeypatch.setenv("SOVD_CONFIG", str(credentials))
    for name, (parameters, expected) in EXAMPLES.items():
        given = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in parameters.items()]
        options = [part for parameter in given for part in ("--param", parameter)]
        code = program.run(["run", name, "--vin", WAYS[way], "--json", *options])
        said = capsys.readouterr()
        assert code == 0, said
        events = [json.loads(line) for line in said.out.splitlines()]
        check([event["response"] for event in events if event.get("event") == "response"], catalogue[name], expected)


def check(answers: Answers, kind: Json, expected: Callable[[Answers], object]) -> None:
    for answer in answers:
        jsonschema.validate(answer, kind["response_schema"])
    assert expected(answers), (kind["name"], answers)
