"""The composed command service over gRPC, with a scripted connector on its stream and messaging in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from command_service.composition import CommandService, compose
from command_service.settings import Settings
from command_service.storage import migrate
from service_kit.errors import ServiceError
from service_kit.grpc_channel import open_channel
from service_kit.grpc_errors import from_rpc_error
from service_kit.live_events.memory import InMemoryLiveEvents
from service_kit.messaging.memory import MemoryBroker, MemoryMessaging
from sovd_protos.audit.v1 import audit_pb2
from sovd_protos.command.v1 import command_pb2
from sovd_protos.connector.v1 import connector_pb2
from sovd_protos.live.v1.live_pb2 import CommandEvents, VehicleEvents
from sovd_protos.vehicle.v1 import vehicle_pb2
from tests.integration.command_service.played_parts import ADMIN, ENGINEER, TOKEN, VIN, Client, Connector
from tests.support.waiting import until, until_it

COMPLETED = connector_pb2.Outcome(kind=connector_pb2.Outcome.COMPLETED)


@pytest.fixture
async def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def service(tmp_path: Path, broker: MemoryBroker) -> AsyncIterator[tuple[CommandService, InMemoryLiveEvents]]:
    url = f"sqlite:///{tmp_path / 'commands.db'}"
    await migrate(url)
    preconditions = tmp_path / "preconditions.json"
    signals = {"vehicle_speed": {"ecuAddress": "0x10", "dataId": "0xF40D"}}
    preconditions.write_text(json.dumps({"vehicles": [{"vin": VIN[:3], "signals": signals}]}))
    settings = Settings(
        database_url=url,
        redis_url="redis://unused",
        rabbitmq_url="amqp://unused",
        service_token=TOKEN,  # type: ignore[arg-type]
        grpc_host="127.0.0.1",
        grpc_port=0,
        metrics_port=0,
        drain_seconds=2,
        preconditions_file=preconditions,
    )
    live = InMemoryLiveEvents()
    async with compose(settings, messaging=MemoryMessaging(broker), live_events=live) as running:
        await until(lambda: running.ready)
        yield running, live


@pytest.fixture
async def client(service: tuple[CommandService, InMemoryLiveEvents], broker: MemoryBroker) -> AsyncIterator[Client]:
    async with open_channel(f"127.0.0.1:{service[0].port}", TOKEN) as channel:
        made = Client(channel, broker, service[1])
        yield made
        await made.messaging.close()


async def refused(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_command_from_submit_to_its_last_event(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    registered = await connector.attach()
    assert registered.lease_ms == 10_000
    session = await connector.open_session()
    assert (session.vehicle_id, session.request_id, session.error_code) == (vehicle_id, 7, "")

    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    submitted = await client.submit(vehicle_id, traceparent=traceparent)
    payloads: list[bytes] = []
    await client.live.subscribe(f"command.{submitted.command_id}", payloads.append, lambda: None)
    dispatched, answer = await connector.claim()
    assert (dispatched.command_id, dispatched.timeout_ms, answer.granted) == (submitted.command_id, 30_000, True)
    acks = await connector.report(
        submitted.command_id, '{"code":"0x042011"}', connector_pb2.Progress(nrc=0x78), COMPLETED
    )
    assert [(ack.number, ack.closed) for ack in acks] == [(3, True)]

    await until(
        lambda: any(event.terminal for payload in payloads for event in CommandEvents.FromString(payload).events)
    )
    events = [event for payload in payloads for event in CommandEvents.FromString(payload).events]
    assert CommandEvents.FromString(payloads[0]).traceparent == traceparent
    by_number = [event.sequence_number for event in events if event.sequence_number]
    assert by_number == [1]
    assert [event.revision for event in events if event.revision] == sorted(
        event.revision for event in events if event.revision
    )
    response = json.loads(next(event.json for event in events if event.sequence_number))
    assert response["response"] == {"code": "0x042011"}
    end = json.loads(events[-1].json)
    assert (end["status"], end["responses"]) == ("completed", 1)

    stored = await client.get(submitted.command_id)
    assert (stored.status, stored.vin, stored.responses) == ("completed", VIN, 1)
    updates = await client.commands.ReadUpdates(
        command_pb2.ReadUpdatesRequest(known=[command_pb2.KnownState(command_id=submitted.command_id)])
    )
    assert [event.sequence_number for event in updates.updates[0].events] == [1, 0]
    assert updates.updates[0].traceparent == traceparent


async def test_what_changes_a_vehicle_goes_with_what_must_hold_before(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.attach()
    await connector.open_session()
    await client.submit(vehicle_id, "ClearDTC")
    dispatched, _ = await connector.claim()
    assert [(one.name, one.comparison, one.value) for one in dispatched.preconditions] == [
        ("vehicle speed", "=", 0),
        ("ignition (1: on)", "=", 1),
    ]
    speed = connector_pb2.Reading(ecu_address=0x10, data_id=0xF40D, scale=1)
    assert [one.reading for one in dispatched.preconditions if one.HasField("reading")] == [speed]
    types = await client.commands.ListCommandTypes(command_pb2.ListCommandTypesRequest())
    visible = {kind.name: [one.name for one in kind.preconditions] for kind in types.command_types}
    assert visible["ClearDTC"] == ["vehicle speed", "ignition (1: on)"]
    assert visible["ReadDTC"] == []


async def test_a_negative_response_is_told_with_its_name(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.attach()
    await connector.open_session()
    submitted = await client.submit(vehicle_id, "ClearDTC")
    await connector.claim()
    refusal = connector_pb2.Outcome(kind=connector_pb2.Outcome.FAILED, code="NEGATIVE_RESPONSE", message="no", nrc=0x22)
    await connector.report(submitted.command_id, refusal)
    stored = await client.get(submitted.command_id)
    assert (stored.status, stored.error_code, stored.nrc, stored.nrc_name) == (
        "failed",
        "NEGATIVE_RESPONSE",
        0x22,
        "conditionsNotCorrect",
    )


async def test_a_cancel_reaches_the_control_queue(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.attach()
    await connector.open_session()
    submitted = await client.submit(vehicle_id)
    await connector.claim()
    answer = await client.commands.CancelCommand(
        command_pb2.CancelCommandRequest(command_id=submitted.command_id, actor=ENGINEER)
    )
    assert answer.outcome == "requested"
    async with asyncio.timeout(5):
        message = await connector.control.get()
    control = connector_pb2.ControlMessage.FromString(message.body)
    assert control.cancel.command_id == submitted.command_id
    await connector.report(submitted.command_id, connector_pb2.Outcome(kind=connector_pb2.Outcome.CANCELLED))
    assert (await client.get(submitted.command_id)).cancel_outcome == "cancelled"


async def test_vehicles_come_and_go_and_it_is_announced(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    payloads: list[bytes] = []
    await client.live.subscribe("vehicles", payloads.append, lambda: None)
    await connector.attach()
    session = await connector.open_session()
    get = vehicle_pb2.GetVehicleRequest(vehicle_id=vehicle_id)
    online = await client.vehicles.GetVehicle(get)
    assert (online.connection_status, [(ecu.address, ecu.name) for ecu in online.ecus]) == ("online", [(0x10, "ECM")])
    seen = connector_pb2.SessionSeen(vehicle_id=vehicle_id, session_epoch=session.session_epoch)
    closed = connector_pb2.SessionClosed(vehicle_id=vehicle_id, session_epoch=session.session_epoch, reason="closed")
    await connector.say(sessions_seen=[seen])
    await connector.say(sessions_closed=[closed])
    await until(lambda: len(payloads) == 2)
    assert (await client.vehicles.GetVehicle(get)).connection_status == "offline"
    events = [json.loads(text) for payload in payloads for text in VehicleEvents.FromString(payload).json]
    assert [(event["vin"], event["connection_status"]) for event in events] == [(VIN, "online"), (VIN, "offline")]


async def test_an_unknown_vin_is_refused_and_the_stream_goes_on(client: Client) -> None:
    connector = Connector(client)
    await connector.attach()
    answer = await connector.open_session(vin="WDDNOBODYKNOWSME0")
    assert answer.error_code == "UNKNOWN_VEHICLE"
    await connector.say(lease_renewal=connector_pb2.LeaseRenewal(nonce=5))
    granted = await connector.hear(lambda answer: answer.HasField("lease_granted"))
    assert granted.lease_granted.nonce == 5


async def test_a_stream_begins_with_a_registration(client: Client) -> None:
    connector = Connector(client)
    await connector.say(lease_renewal=connector_pb2.LeaseRenewal(nonce=1))
    assert await connector.ending() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_connector_takes_the_session_over(client: Client) -> None:
    vehicle_id, first, second = await client.vehicle(), Connector(client), Connector(client, "c2")
    await first.attach()
    await first.open_session()
    submitted = await client.submit(vehicle_id)
    await first.claim()
    await second.attach()
    session = await second.open_session(connector_pb2.OpenCommand(command_id=submitted.command_id, attempt=1))
    (take_up,) = session.take_ups
    assert (take_up.wanted, take_up.next_number, take_up.command_name) == (True, 1, "ReadDTC")
    async with asyncio.timeout(5):
        control = connector_pb2.ControlMessage.FromString((await first.control.get()).body)
    assert control.superseded.vehicle_id == vehicle_id
    (ack,) = await first.report(submitted.command_id, COMPLETED)
    assert ack.closed
    assert (await client.get(submitted.command_id)).status == "in_progress"
    await second.report(submitted.command_id, COMPLETED)
    assert (await client.get(submitted.command_id)).status == "completed"


async def test_fields_of_a_newer_version_are_passed_over(client: Client) -> None:
    request = command_pb2.ListCommandTypesRequest.FromString(b"\xf2\x3f\x03new")
    types = await client.commands.ListCommandTypes(request)
    assert {entry.name for entry in types.command_types} >= {"ReadDTC", "ClearDTC", "StreamDataByID"}
    read = next(entry for entry in types.command_types if entry.name == "ReadDTC")
    assert (read.command_class, read.repeatable) == ("read", True)
    assert json.loads(read.parameters_schema)["required"] == ["ecuAddress"]


async def test_bad_requests_say_what_is_wrong(client: Client) -> None:
    nowhere = str(uuid4())
    for call, code in (
        (client.get("not a uuid"), "VALIDATION_FAILED"),
        (client.get(nowhere), "UNKNOWN_COMMAND"),
        (
            client.commands.ListCommands(command_pb2.ListCommandsRequest(statuses=["finished"])),
            "VALIDATION_FAILED",
        ),
        (client.commands.ListCommands(command_pb2.ListCommandsRequest(cursor="garbage")), "INVALID_CURSOR"),
        (client.vehicles.GetVehicle(vehicle_pb2.GetVehicleRequest(vehicle_id=nowhere)), "UNKNOWN_VEHICLE"),
        (
            client.vehicles.ListVehicles(vehicle_pb2.ListVehiclesRequest(connection_status="away")),
            "VALIDATION_FAILED",
        ),
        (
            client.audit.RecordAudit(
                audit_pb2.RecordAuditRequest(
                    entries=[audit_pb2.AuditEntry(entry_id=nowhere, details_json="{", at_us=1)]
                )
            ),
            "VALIDATION_FAILED",
        ),
    ):
        assert (await refused(call)).code == code


async def test_the_fleet_is_managed_by_admins(client: Client) -> None:
    vehicle_id = await client.vehicle()
    create = vehicle_pb2.CreateVehicleRequest(vin=VIN, make="M", model="E", year=2024, actor=ADMIN)
    assert (await refused(client.vehicles.CreateVehicle(create))).code == "DUPLICATE_VIN"
    create.actor.CopyFrom(ENGINEER)
    assert (await refused(client.vehicles.CreateVehicle(create))).code == "FORBIDDEN"
    create.actor.CopyFrom(ADMIN)
    create.link.kind = "doip"
    assert (await refused(client.vehicles.CreateVehicle(create))).code == "VALIDATION_FAILED"
    create.link.kind = "pigeon"
    assert (await refused(client.vehicles.CreateVehicle(create))).code == "VALIDATION_FAILED"
    link = vehicle_pb2.Link(kind="doip", address="192.0.2.10")
    update = vehicle_pb2.UpdateVehicleRequest(vehicle_id=vehicle_id, model="EQE", year=2025, link=link, actor=ADMIN)
    updated = await client.vehicles.UpdateVehicle(update)
    assert (updated.make, updated.model, updated.year, updated.link.kind) == ("Mercedes", "EQE", 2025, "doip")

    command = await client.submit(vehicle_id)
    delete = vehicle_pb2.DeleteVehicleRequest(vehicle_id=vehicle_id, actor=ADMIN)
    assert (await refused(client.vehicles.DeleteVehicle(delete))).code == "VEHICLE_HAS_OPEN_COMMANDS"
    cancel = command_pb2.CancelCommandRequest(command_id=command.command_id, actor=ENGINEER)
    assert (await client.commands.CancelCommand(cancel)).outcome == "prevented"
    await client.vehicles.DeleteVehicle(delete)
    assert (await refused(client.vehicles.DeleteVehicle(delete))).code == "UNKNOWN_VEHICLE"
    assert (await client.get(command.command_id)).vin == VIN


async def test_lists_and_pages(client: Client) -> None:
    vehicle_id = await client.vehicle()
    sent = [(await client.submit(vehicle_id)).command_id for _ in range(3)]
    request = command_pb2.ListCommandsRequest(vehicle_id=vehicle_id, limit=2, statuses=["pending"])
    first = await client.commands.ListCommands(request)
    request.cursor = first.next_cursor
    second = await client.commands.ListCommands(request)
    assert [one.command_id for one in [*first.commands, *second.commands]] == sent[::-1]
    vehicles = await client.vehicles.ListVehicles(vehicle_pb2.ListVehiclesRequest(search="merc"))
    assert [one.vin for one in vehicles.vehicles] == [VIN]
    responses = await client.commands.ListResponses(command_pb2.ListResponsesRequest(command_id=sent[0]))
    evidence = await client.commands.ListEvidence(command_pb2.ListEvidenceRequest(command_id=sent[0]))
    assert (len(responses.responses), len(evidence.evidence)) == (0, 0)


async def test_the_audit_trail_is_recorded_sealed_and_verified(client: Client) -> None:
    vehicle_id = await client.vehicle()
    await client.submit(vehicle_id)
    entry = audit_pb2.AuditEntry(
        entry_id=str(uuid4()),
        at_us=1_700_000_000_000_000,
        action="user.login",
        actor_name="engineer",
        outcome="success",
    )
    for _ in range(2):
        await client.audit.RecordAudit(audit_pb2.RecordAuditRequest(entries=[entry]))

    async def verify() -> audit_pb2.VerifyAuditResponse:
        verified: audit_pb2.VerifyAuditResponse = await client.audit.VerifyAudit(audit_pb2.VerifyAuditRequest())
        return verified

    async def sealed() -> bool:
        return not (await verify()).unsealed

    await until_it(sealed)
    verified = await verify()
    assert (verified.intact, verified.sealed) == (True, 3)
    first = await client.audit.ListAudit(audit_pb2.ListAuditRequest(limit=2))
    rest = await client.audit.ListAudit(audit_pb2.ListAuditRequest(limit=2, cursor=first.next_cursor))
    actions = [one.action for one in [*first.entries, *rest.entries]]
    assert actions == ["command.submitted", "vehicle.created", "user.login"]
    logins = await client.audit.ListAudit(audit_pb2.ListAuditRequest(action="user.login"))
    assert [one.entry_id for one in logins.entries] == [entry.entry_id]
    assert len(logins.entries[0].hash) == 64


async def test_a_rejected_submission_carries_its_error(client: Client) -> None:
    with pytest.raises(ServiceError) as caught:
        await client.submit(str(uuid4()))
    assert caught.value.code == "UNKNOWN_VEHICLE"


async def test_a_dispatch_that_nobody_takes_waits_for_its_connector(client: Client) -> None:
    """The session is there before the connector's queue: unroutable, back to the queue, found again by the sweep."""
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.say(registration=connector_pb2.Registration(connector_id="c1"))
    await connector.hear(lambda answer: answer.HasField("registered"))
    await connector.open_session()
    submitted = await client.submit(vehicle_id)

    async def went_back() -> bool:
        return (await client.get(submitted.command_id)).revision >= 3

    await until_it(went_back)
    name = "connector.c1"
    await client.messaging.consume(name, [name], connector.delivered.put, prefetch=100)
    dispatched, answer = await connector.claim()
    assert answer.granted
    assert (dispatched.dispatch_number > 1, answer.attempt) == (True, 1)


async def test_a_connector_that_leaves_comes_back_with_what_it_holds(client: Client) -> None:
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.attach()
    session = await connector.open_session()
    submitted = await client.submit(vehicle_id)
    await connector.claim()
    await connector.leave()
    assert await connector.ending() is grpc.StatusCode.OK
    again = Connector(client)
    registered = await again.attach(
        sessions=[connector_pb2.OpenSession(vehicle_id=vehicle_id, session_epoch=session.session_epoch)],
        commands=[connector_pb2.OpenCommand(command_id=submitted.command_id, attempt=1)],
    )
    assert [(take_up.wanted, take_up.next_number) for take_up in registered.take_ups] == [(True, 1)]
    assert not registered.superseded
    await again.report(submitted.command_id, COMPLETED)
    assert (await client.get(submitted.command_id)).status == "completed"
