"""What no service of ours would say to another: refused by itself, and the next good message is taken as ever."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiormq
import grpc
import pytest

from service_kit.errors import InvalidInput, NotAuthenticated, ServiceError
from service_kit.grpc_channel import ServiceChannel, open_channel
from service_kit.grpc_errors import from_domain_error, from_rpc_error
from service_kit.messaging.port import COMMANDS_EXCHANGE, DEAD_LETTER_QUEUE
from sovd_protos.audit.v1 import audit_pb2
from sovd_protos.audit.v1.audit_pb2_grpc import AuditServiceStub
from sovd_protos.command.v1 import command_pb2
from sovd_protos.command.v1.command_pb2_grpc import CommandServiceStub
from sovd_protos.connector.v1 import connector_pb2
from sovd_protos.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from sovd_protos.vehicle.v1 import vehicle_pb2
from sovd_protos.vehicle.v1.vehicle_pb2_grpc import VehicleServiceStub
from tests.integration.robustness.harness import INTERNALS, Api
from tests.support.system import SERVICE_TOKEN
from tests.support.waiting import until_it

# A field 2000 of some newer version: "abc".
UNKNOWN_FIELD = b"\x82\x7d\x03abc"


# --- AMQP


class Broker:
    """Who publishes straight to a connector's queues."""

    def __init__(self, channel: Any, connector_id: str) -> None:
        self._channel = channel
        self._connector_id = connector_id

    async def publish(self, queue: str, body: bytes, **properties: Any) -> None:
        await self._channel.basic_publish(
            body,
            exchange=COMMANDS_EXCHANGE,
            routing_key=f"{queue}.{self._connector_id}",
            properties=aiormq.spec.Basic.Properties(**properties),
            mandatory=True,
        )

    async def dead(self) -> list[bytes]:
        """The dead letters, taken out."""
        bodies = []
        while isinstance(
            (message := await self._channel.basic_get(DEAD_LETTER_QUEUE, no_ack=True)).delivery, aiormq.spec.Basic.GetOk
        ):
            bodies.append(message.body)
        return bodies


@pytest.fixture
async def broker(api: Api) -> AsyncIterator[Broker]:
    connection = await aiormq.connect(api.system.rabbitmq_url)
    yield Broker(await connection.channel(), attached_connector(api.system.processes["command_service"].output))
    await connection.close()


def attached_connector(log: Path) -> str:
    attached = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "connector_attached"]
    return str(attached[-1]["connector_id"])


def dispatched(**facts: Any) -> bytes:
    fields: dict[str, Any] = {
        "command_id": str(uuid4()),
        "dispatch_number": 1,
        "vehicle_id": str(uuid4()),
        "session_epoch": 1,
        "command_name": "ReadDTC",
        "command_params": '{"ecuAddress":"0x10"}',
        "timeout_ms": 1000,
    }
    command = connector_pb2.DispatchedCommand(**(fields | facts))
    return connector_pb2.DispatchedCommands(commands=[command]).SerializeToString()


def control(**facts: Any) -> bytes:
    return connector_pb2.ControlMessage(**facts).SerializeToString()


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "random bytes": os.urandom(300),
    "JSON": b'{"command_id":"7"}',
    "all fields empty": connector_pb2.DispatchedCommands(
        commands=[connector_pb2.DispatchedCommand(dispatch_number=7)]
    ).SerializeToString(),
    "truncated": dispatched()[:-3],
    "an id that is too long": dispatched(command_id="x" * 100_000),
}
WRONG_COMMANDS = WRONG | {
    "a command that nobody knows": dispatched(),
    "ids that are none": dispatched(command_id="nonsense", vehicle_id="nonsense"),
    "NUL": dispatched(command_id="\0", command_params="\0"),
    "numbers that are too large": dispatched(dispatch_number=2**32 - 1, session_epoch=2**62, timeout_ms=2**32 - 1),
    "a trace that is none": dispatched(traceparent="00-nonsense-01"),
    "a control message": control(cancel=connector_pb2.CancelRequested(command_id=str(uuid4()))),
    "a large one": dispatched(command_params="x" * 1_000_000),
}
WRONG_CONTROLS = WRONG | {
    "no kind": UNKNOWN_FIELD,
    "a cancel of nothing": control(cancel=connector_pb2.CancelRequested(attempt=1)),
    "a session of nobody": control(superseded=connector_pb2.SessionSuperseded(session_epoch=-1)),
}
_CASES = [("connector", name) for name in WRONG_COMMANDS] + [("control", name) for name in WRONG_CONTROLS]


@pytest.mark.parametrize(("queue", "name"), _CASES)
async def test_a_wrong_body_goes_to_the_dead_letters_and_the_next_command_runs(
    api: Api, broker: Broker, queue: str, name: str
) -> None:
    body = (WRONG_COMMANDS if queue == "connector" else WRONG_CONTROLS)[name]
    await broker.publish(queue, body)
    await api.works()
    dead: list[bytes] = []

    async def buried() -> list[bytes]:
        dead.extend(await broker.dead())
        return dead

    await until_it(buried)
    assert dead == [body]


async def test_headers_and_fields_that_nobody_knows_do_no_harm(api: Api, broker: Broker) -> None:
    cancel = control(cancel=connector_pb2.CancelRequested(command_id=str(uuid4()), attempt=1))
    headers = {"traceparent": 7, "more": {"nested": [1, 2]}}
    await broker.publish("control", cancel + UNKNOWN_FIELD, headers=headers, content_type="x/y", priority=9)
    await api.works()
    assert await broker.dead() == []


# --- gRPC


@pytest.fixture
async def channel(api: Api) -> AsyncIterator[ServiceChannel]:
    async with open_channel(f"127.0.0.1:{api.system.grpc_ports[0]}", SERVICE_TOKEN) as channel:
        yield channel


async def refused(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert not any(internal in str(error.value.details()) for internal in INTERNALS)
    return from_rpc_error(error.value)


def submission(api: Api, **facts: Any) -> command_pb2.Submission:
    fields: dict[str, Any] = {
        "command_id": str(uuid4()),
        "vehicle_id": api.vehicles[0]["vehicle_id"],
        "command_name": "ReadDTC",
        "command_params": '{"ecuAddress":"0x10"}',
        "actor": command_pb2.Actor(user_id=str(uuid4()), username="somebody", role="engineer"),
    }
    return command_pb2.Submission(**(fields | facts))


@pytest.mark.parametrize("shown", ["", "Bearer ", "Bearer wrong", SERVICE_TOKEN, f"Basic {SERVICE_TOKEN}"])
async def test_a_call_without_the_service_credential(api: Api, shown: str) -> None:
    ports = {"command service": api.system.grpc_ports[0], "vehicle connector": api.system.session_ports[0]}
    for name, port in ports.items():
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            metadata = (("authorization", shown),) if shown else None
            get = CommandServiceStub(channel).GetCommand(
                command_pb2.GetCommandRequest(command_id=str(uuid4())), metadata=metadata
            )
            error = await refused(get)
            assert (type(error), error.code) == (NotAuthenticated, "BAD_SERVICE_CREDENTIAL"), name
            attach: Any = ConnectorServiceStub(channel).Attach
            assert (await refused(attach(metadata=metadata).read())).code == "BAD_SERVICE_CREDENTIAL", name


async def test_bytes_that_are_no_message(channel: ServiceChannel) -> None:
    for method in ("GetCommand", "SubmitCommands", "NoSuchMethod"):
        call = channel.unary_unary(f"/sovd_protos.command.v1.CommandService/{method}")
        await refused(call(b"\xff\xff\xff"))


async def test_a_field_of_a_newer_version_is_passed_over(api: Api, channel: ServiceChannel) -> None:
    call = channel.unary_unary(
        "/sovd_protos.command.v1.CommandService/SubmitCommands",
        response_deserializer=command_pb2.SubmitCommandsResponse.FromString,
    )
    request = command_pb2.SubmitCommandsRequest(submissions=[submission(api)]).SerializeToString()
    (result,) = (await call(request + UNKNOWN_FIELD)).results
    assert (await api.ended(result.command.command_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"command_id": "7"}, "VALIDATION_FAILED"),
        ({"vehicle_id": "7"}, "UNKNOWN_VEHICLE"),
        ({"command_params": "{"}, "INVALID_PARAMETERS"),
        ({"command_params": "[" * 100_000}, "INVALID_PARAMETERS"),
        ({"command_params": '{"ecuAddress":"\\u0000"}'}, "INVALID_PARAMETERS"),
        ({"actor": None}, "FORBIDDEN"),
        ({"actor": command_pb2.Actor(user_id="\0", username="\0", role="admin")}, "VALIDATION_FAILED"),
        ({"idempotency_key": "\0"}, "VALIDATION_FAILED"),
        ({"traceparent": "\0"}, "VALIDATION_FAILED"),
        ({"priority": 2**31 - 1}, "VALIDATION_FAILED"),
        ({"timeout_seconds": 2**32 - 1}, "VALIDATION_FAILED"),
    ],
)
async def test_one_wrong_submission_is_refused_alone(
    api: Api, channel: ServiceChannel, facts: dict[str, Any], code: str
) -> None:
    submissions = [submission(api), submission(api, **facts), submission(api)]
    answer = await CommandServiceStub(channel).SubmitCommands(
        command_pb2.SubmitCommandsRequest(submissions=submissions)
    )
    first, second, third = answer.results
    assert from_domain_error(second.error).code == code
    for accepted in (first, third):
        assert (await api.ended(accepted.command.command_id))["status"] == "completed"


async def test_requests_that_ask_for_what_there_is_not(channel: ServiceChannel) -> None:
    stub = CommandServiceStub(channel)
    known = [command_pb2.KnownState(command_id="7")]
    far = 2**62
    for call in (
        stub.GetCommand(command_pb2.GetCommandRequest(command_id="\0")),
        stub.ReadUpdates(command_pb2.ReadUpdatesRequest(known=known)),
        stub.ListCommands(command_pb2.ListCommandsRequest(from_us=far)),
        stub.ListCommands(command_pb2.ListCommandsRequest(to_us=-far)),
        stub.ListCommands(command_pb2.ListCommandsRequest(statuses=["lost"])),
    ):
        error = await refused(call)
        assert (type(error), error.code) == (InvalidInput, "VALIDATION_FAILED")


async def test_what_no_database_can_store(channel: ServiceChannel) -> None:
    admin = command_pb2.Actor(user_id=str(uuid4()), username="somebody", role="admin")
    vehicles = VehicleServiceStub(channel)
    for facts in ({"vin": "\0"}, {"vin": "WBAZZZZZZZZZZ0002", "year": 2**32 - 1}):
        create: Any = vehicle_pb2.CreateVehicleRequest(actor=admin, **facts)
        error = await refused(vehicles.CreateVehicle(create))
        assert (type(error), error.code) == (InvalidInput, "NOT_STORABLE")
    for wrong in ({"details_json": "{"}, {"details_json": '{"a":"\\ud800"}'}, {"at_us": 2**62}, {"entry_id": "7"}):
        entry: Any = audit_pb2.AuditEntry(**({"entry_id": str(uuid4()), "action": "test"} | wrong))
        error = await refused(AuditServiceStub(channel).RecordAudit(audit_pb2.RecordAuditRequest(entries=[entry])))
        assert (type(error), error.code) == (InvalidInput, "VALIDATION_FAILED")


# --- the connector's stream


def attach(channel: ServiceChannel) -> Any:
    return ConnectorServiceStub(channel).Attach(None)


async def test_nonsense_of_a_connector_harms_no_other(api: Api, channel: ServiceChannel) -> None:
    """It says what it may say, but of commands, vehicles and sessions that there are not."""
    call = attach(channel)
    registration = connector_pb2.Registration(
        connector_id=f"nonsense-{uuid4()}",
        sessions=[connector_pb2.OpenSession(vehicle_id="7", session_epoch=2**62)],
        commands=[connector_pb2.OpenCommand(command_id="7", attempt=2**32 - 1)],
    )
    await call.write(connector_pb2.FromConnector(registration=registration))
    first = await call.read()
    assert first.registered.superseded[0].vehicle_id == "7"
    assert not first.registered.take_ups[0].wanted
    known = await api.ended(await api.submit())
    outcome = connector_pb2.Outcome(kind=connector_pb2.Outcome.FAILED, code="\0", message="\0", nrc=2**32 - 1)
    await call.write(
        connector_pb2.FromConnector(
            claims=[connector_pb2.Claim(command_id="7", dispatch_number=2**32 - 1, session_epoch=-1)],
            results=[
                connector_pb2.Result(command_id="\0", attempt=1, number=1, response="not JSON"),
                connector_pb2.Result(
                    command_id=known["command_id"], attempt=2**32 - 1, number=2**32 - 1, outcome=outcome
                ),
            ],
            sessions_opened=[connector_pb2.SessionOpened(request_id=2**64 - 1, vin="\0")],
            sessions_closed=[connector_pb2.SessionClosed(vehicle_id="7", session_epoch=2**62)],
            sessions_seen=[connector_pb2.SessionSeen(vehicle_id="7", session_epoch=-1)],
            lease_renewal=connector_pb2.LeaseRenewal(nonce=2**64 - 1),
        )
    )
    answers = connector_pb2.ToConnector()

    async def all_answered() -> bool:
        answers.MergeFrom(await call.read())
        lists = (answers.claim_answers, answers.session_answers)
        return all(lists) and answers.HasField("lease_granted") and len(answers.result_acks) == 2

    await until_it(all_answered)
    assert answers.claim_answers[0].refusal == "unknown"
    assert answers.session_answers[0].error_code == "UNKNOWN_VEHICLE"
    assert await api.get(known["command_id"]) == known
    call.cancel()


async def test_a_stream_that_does_not_begin_with_a_registration(channel: ServiceChannel) -> None:
    call = attach(channel)
    await call.write(connector_pb2.FromConnector(lease_renewal=connector_pb2.LeaseRenewal(nonce=1)))
    assert (await refused(call.read())).code == "NOT_REGISTERED"
