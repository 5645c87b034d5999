"""Vehicles that cannot introduce themselves, and such as talk nonsense: they harm themselves only."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import grpc
import pytest

from service_kit.vehicle_credential import vehicle_credential
from sovd_protos.session.v1.session_pb2 import (
    CommandUpdate,
    Execute,
    Finished,
    FromVehicle,
    Heartbeat,
    HeldCommand,
    Hello,
    Pending,
    ToVehicle,
)
from sovd_protos.vehicle.v1.vehicle_pb2 import Ecu
from tests.integration.robustness.harness import Api
from tests.support.system import VEHICLE_SECRET
from tests.support.waiting import until

VIN = "WBAZZZZZZZZZZ0001"


class Vehicle:
    """One stream to the connector; says what it is told to, as bytes if need be."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        method = "/sovd_protos.session.v1.VehicleSessionService/OpenSession"
        open_session: Any = channel.stream_stream
        self._call = open_session(method, response_deserializer=ToVehicle.FromString)()

    async def say(self, *messages: FromVehicle | bytes) -> None:
        for message in messages:
            await self._call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def hear(self) -> ToVehicle | None:
        """None: the connector has ended the stream."""
        heard = await self._call.read()
        return heard if isinstance(heard, ToVehicle) else None

    async def executes(self) -> Execute:
        while not (message := await self._hear_something()).execute:
            pass
        (execute,) = message.execute
        return execute

    async def leave(self) -> None:
        self._call.cancel()
        await until(self._call.done)

    async def _hear_something(self) -> ToVehicle:
        message = await self.hear()
        assert message is not None, "the connector has ended the session"
        return message


@pytest.fixture
async def channel(api: Api) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{api.system.session_ports[0]}") as channel:
        yield channel


@pytest.fixture
async def vehicle_id(api: Api) -> str:
    """A vehicle that nothing is simulated of."""
    await api.http.post("/api/v1/vehicles", json={"vin": VIN, "make": "Bad", "model": "Manners", "year": 2024})
    (vehicle,) = (await api.http.get("/api/v1/vehicles", params={"search": VIN})).json()["items"]
    return str(vehicle["vehicle_id"])


def hello(**facts: Any) -> FromVehicle:
    vin = facts.get("vin", VIN)
    fields = {"protocol_version": 1, "vin": vin, "credential": vehicle_credential(VEHICLE_SECRET, vin)}
    return FromVehicle(hello=Hello(**(fields | facts)))


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (hello(credential="wrong"), "BAD_CREDENTIAL"),
        (hello(credential=""), "BAD_CREDENTIAL"),
        (hello(credential="ü\0"), "BAD_CREDENTIAL"),
        (hello(vin="WDD1234567890ABCD", credential=vehicle_credential(VEHICLE_SECRET, VIN)), "BAD_CREDENTIAL"),
        (hello(protocol_version=2), "UNSUPPORTED_PROTOCOL"),
        (hello(protocol_version=0), "UNSUPPORTED_PROTOCOL"),
        (hello(vin="WBAZZZZZZZZZZ9999"), "UNKNOWN_VEHICLE"),
        (hello(vin=""), "UNKNOWN_VEHICLE"),
        (hello(vin="\0" * 17), "UNKNOWN_VEHICLE"),
        (hello(vin="W" * 100_000), "UNKNOWN_VEHICLE"),
        (FromVehicle(), "UNSUPPORTED_PROTOCOL"),
        (FromVehicle(heartbeat=Heartbeat(number=1)), "UNSUPPORTED_PROTOCOL"),
        (FromVehicle(updates=[CommandUpdate(command_id=str(uuid4()), response="{}")]), "UNSUPPORTED_PROTOCOL"),
        (b"\xff" * 100, "UNSUPPORTED_PROTOCOL"),
        (hello().SerializeToString().replace(b"WBA", b"\xff\xfe\xfd"), "UNSUPPORTED_PROTOCOL"),
    ],
)
async def test_who_cannot_introduce_himself_is_sent_away(
    channel: grpc.aio.Channel, first: FromVehicle | bytes, code: str
) -> None:
    vehicle = Vehicle(channel)
    await vehicle.say(first)
    answer = await vehicle.hear()
    assert answer is not None
    assert answer.refusal.code == code
    assert answer.refusal.message
    assert await vehicle.hear() is None


async def test_a_message_that_is_too_large_ends_the_stream(channel: grpc.aio.Channel) -> None:
    vehicle = Vehicle(channel)
    await vehicle.say(bytes(20_000_000))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await vehicle.hear()
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_another_protocol_after_the_hello_ends_the_session(channel: grpc.aio.Channel, vehicle_id: str) -> None:
    """Also when it comes before the welcome could be written."""
    for _ in range(5):
        vehicle = Vehicle(channel)
        await vehicle.say(hello(), b"\xff" * 100)
        while await vehicle.hear() is not None:
            pass


async def test_a_boastful_hello(api: Api, channel: grpc.aio.Channel, vehicle_id: str) -> None:
    vehicle = Vehicle(channel)
    held = [HeldCommand(command_id=command_id, attempt=2**32 - 1) for command_id in ("7", "\0", str(uuid4()))]
    await vehicle.say(
        hello(
            ecus=[Ecu(address=number, name="\0" + "x" * 1000) for number in range(2000)],
            held=held * 500,
            capabilities=["\0", "x" * 100_000],
            software_version="\0" * 1000,
            max_commands=2**32 - 1,
        )
    )
    answer = await vehicle.hear()
    assert answer is not None
    assert not any(resume.wanted for resume in answer.welcome.resume)
    shown = (await api.http.get(f"/api/v1/vehicles/{vehicle_id}")).json()
    assert len(shown["ecus"]) == 256
    assert all(len(ecu["name"]) <= 100 for ecu in shown["ecus"])
    await vehicle.leave()


def done() -> CommandUpdate:
    return CommandUpdate(finished=Finished(kind=Finished.COMPLETED))


def answered(*updates: CommandUpdate) -> list[CommandUpdate]:
    """Numbered in order."""
    for number, update in enumerate(updates, 1):
        update.number = number
    return list(updates)


def responded(text: str) -> list[CommandUpdate]:
    return answered(CommandUpdate(response=text), done())


def failed(**facts: Any) -> list[CommandUpdate]:
    return answered(CommandUpdate(finished=Finished(kind=Finished.FAILED, **facts)))


UNREADABLE: dict[str, Sequence[CommandUpdate]] = {
    "no JSON": responded("{"),
    "a list": responded("[]"),
    "NaN": responded('{"a":NaN}'),
    "a byte order mark": responded("\ufeff{}"),
    "a raw NUL": responded('{"a":"\0"}'),
    "too deep": responded('{"a":' + "[" * 50_000 + "]" * 50_000 + "}"),
    "too large": responded(json.dumps({"a": "x" * 256 * 1024})),
}
MISBEHAVIOUR: dict[str, Sequence[CommandUpdate]] = {
    "an empty one": responded(""),
    "nothing": answered(CommandUpdate()),
    "a kind that nobody knows": answered(CommandUpdate(finished=Finished(kind=77))),  # type: ignore[arg-type]
    "a number left out": [CommandUpdate(number=2, response="{}")],
    "the largest number": [CommandUpdate(number=2**32 - 1, response="{}")],
    "without credit": [CommandUpdate(number=number, response="{}") for number in range(1, 80)],
}
ODD_ENDS: dict[str, tuple[Sequence[CommandUpdate], tuple[str, str | None]]] = {
    "a response code of four bytes": (failed(code="NEGATIVE_RESPONSE", nrc=2**32 - 1), ("failed", "NEGATIVE_RESPONSE")),
    "a huge message": (failed(code="VEHICLE_BROKEN", message="\0" * 300_000), ("failed", "VEHICLE_BROKEN")),
    "a code that is none": (failed(code='\n"\x1b', message='\n"\x1b'), ("failed", "VEHICLE_ERROR")),
    "odd text": (responded('{"a":"\\u0000\\ud800"}'), ("completed", None)),
    "the largest response": (responded(json.dumps({"a": "x" * (256 * 1024 - 9)})), ("completed", None)),
    "pending with four bytes": (
        answered(CommandUpdate(pending=Pending(nrc=2**32 - 1, message="\0" * 100_000)), done()),
        ("completed", None),
    ),
    "the end twice": (answered(done(), done(), CommandUpdate(response="{}")), ("completed", None)),
    "of other commands": (
        [CommandUpdate(command_id="7", attempt=9, number=1), CommandUpdate(attempt=7, number=1), *answered(done())],
        ("completed", None),
    ),
}


async def answer_one(api: Api, vehicle: Vehicle, vehicle_id: str, updates: Sequence[CommandUpdate]) -> dict[str, Any]:
    """The command that the vehicle answered so."""
    command_id = await api.submit(vehicle_id=vehicle_id)
    execute = await vehicle.executes()
    message = FromVehicle(updates=updates)
    for update in message.updates:
        update.command_id = update.command_id or execute.command_id
        update.attempt = update.attempt or execute.attempt
    await vehicle.say(message)
    return await api.ended(command_id)


@pytest.fixture
async def vehicle(channel: grpc.aio.Channel, vehicle_id: str) -> AsyncIterator[Vehicle]:
    vehicle = Vehicle(channel)
    await vehicle.say(hello())
    answer = await vehicle.hear()
    assert answer is not None
    assert answer.HasField("welcome")
    yield vehicle
    await vehicle.leave()


async def test_bad_answers_end_their_command_only(api: Api, vehicle: Vehicle, vehicle_id: str) -> None:
    for name, updates in (UNREADABLE | MISBEHAVIOUR).items():
        command = await answer_one(api, vehicle, vehicle_id, updates)
        assert (command["status"], command["error_code"]) == ("failed", "BAD_VEHICLE_RESPONSE"), name
        kept = (await api.http.get(f"/api/v1/commands/{command['command_id']}/evidence")).json()["items"]
        assert [(one["kind"], one["reason"]) for one in kept] == [("unreadable", "unreadable")] * (name in UNREADABLE)
        # All of it, up to 64 KiB of bytes as DoIP has them in hexadecimal.
        sent = updates[0].response[: 128 * 1024].replace("\0", "�")
        assert all(one["body"].startswith(sent) for one in kept), name
        assert (await answer_one(api, vehicle, vehicle_id, responded("{}")))["status"] == "completed", name
        await api.works()


async def test_odd_answers_are_recorded_and_shown(api: Api, vehicle: Vehicle, vehicle_id: str) -> None:
    for name, (updates, expected) in ODD_ENDS.items():
        command = await answer_one(api, vehicle, vehicle_id, updates)
        assert (command["status"], command["error_code"]) == expected, name
        for part in ("responses", "evidence"):
            assert (await api.http.get(f"/api/v1/commands/{command['command_id']}/{part}")).status_code == 200, name
        await api.works()


async def test_an_answer_that_is_not_utf_8(api: Api, vehicle: Vehicle, vehicle_id: str) -> None:
    command_id = await api.submit(vehicle_id=vehicle_id)
    execute = await vehicle.executes()
    update = CommandUpdate(command_id=execute.command_id, attempt=execute.attempt, number=1, response='{"a":"@@"}')
    await vehicle.say(FromVehicle(updates=[update]).SerializeToString().replace(b"@@", b"\xff\xfe"))
    assert (await api.ended(command_id))["error_code"] == "BAD_VEHICLE_RESPONSE"


async def test_fields_of_a_newer_version_are_passed_over(api: Api, vehicle: Vehicle, vehicle_id: str) -> None:
    command_id = await api.submit(vehicle_id=vehicle_id)
    execute = await vehicle.executes()
    update = CommandUpdate(
        command_id=execute.command_id, attempt=execute.attempt, number=1, finished=Finished(kind=Finished.COMPLETED)
    )
    await vehicle.say(FromVehicle(updates=[update]).SerializeToString() + b"\x82\x7d\x03abc")
    assert (await api.ended(command_id))["status"] == "completed"
