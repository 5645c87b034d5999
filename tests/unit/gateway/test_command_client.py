"""The client of the command service against a fake one behind a real gRPC server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.command_client import CommandClient
from service_kit.errors import Conflict, LimitExceeded, NotFound, Unavailable
from service_kit.grpc_channel import open_channel
from sovd_protos.command.v1 import command_pb2 as pb
from tests.integration.gateway.scripted_command_service import SERVICE_TOKEN, ScriptedCommandService, serving
from tests.unit.gateway.live_fakes import COMMAND, RecordedCommand, response

VEHICLE = "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10"


@pytest.fixture
def service() -> ScriptedCommandService:
    return ScriptedCommandService()


@pytest.fixture
async def client(service: ScriptedCommandService) -> AsyncIterator[CommandClient]:
    async with serving(service) as address, open_channel(address, SERVICE_TOKEN) as channel:
        yield CommandClient(channel, submit_deadline_seconds=5)


def submission(number: int, vehicle_id: str = VEHICLE) -> pb.Submission:
    return pb.Submission(command_id=f"01970c3a-6f2e-7d5a-8c1b-{number:012x}", vehicle_id=vehicle_id)


async def test_submits_that_come_together_share_calls(client: CommandClient, service: ScriptedCommandService) -> None:
    service.gate.clear()
    submits = [asyncio.create_task(client.submit(submission(number))) for number in range(300)]
    await service.asked.wait()
    service.gate.set()
    commands = await asyncio.gather(*submits)
    assert [command.command_id for command in commands] == [submission(number).command_id for number in range(300)]
    assert len(service.batches) <= 3


async def test_what_is_wrong_with_one_submit_is_its_own(client: CommandClient, service: ScriptedCommandService) -> None:
    service.refused = {"full": LimitExceeded("VEHICLE_QUEUE_FULL", "enough", {"limit": 100})}
    answers = await asyncio.gather(
        client.submit(submission(1)),
        client.submit(submission(2, "full")),
        client.submit(submission(3)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [pb.Command, LimitExceeded, pb.Command]
    refusal = answers[1]
    assert isinstance(refusal, LimitExceeded)
    assert (refusal.code, refusal.details) == ("VEHICLE_QUEUE_FULL", {"limit": 100})


async def test_a_lost_answer_is_asked_for_again_under_the_same_id(
    client: CommandClient, service: ScriptedCommandService
) -> None:
    service.away, service.loses_answers = 1, 1
    command = await client.submit(submission(1))
    assert len(service.batches) == 3
    assert list(service.commands) == [command.command_id]


async def test_a_command_service_that_stays_away_is_unavailable(
    service: ScriptedCommandService, client: CommandClient
) -> None:
    service.away = 1000
    client._submit_deadline = 0.2
    with pytest.raises(Unavailable):
        await client.submit(submission(1))
    assert len(service.batches) >= 2


async def test_a_command_service_that_is_not_there_is_unavailable() -> None:
    async with open_channel("127.0.0.1:1", SERVICE_TOKEN) as channel:
        client = CommandClient(channel, submit_deadline_seconds=0.1)
        with pytest.raises(Unavailable) as caught:
            await client.submit(submission(1))
    assert caught.value.code == "COMMAND_SERVICE_UNAVAILABLE"


async def test_other_errors_are_not_tried_again(client: CommandClient, service: ScriptedCommandService) -> None:
    service.refused = {VEHICLE: Conflict("IDEMPOTENCY_CONFLICT", "another request")}
    with pytest.raises(Conflict):
        await client.submit(submission(1))
    assert len(service.batches) == 1


async def test_draining_waits_for_what_is_under_way(client: CommandClient, service: ScriptedCommandService) -> None:
    submit = asyncio.create_task(client.submit(submission(1)))
    await asyncio.sleep(0)
    await client.drain()
    assert (await submit).command_id in service.commands


async def test_viewers_are_read_in_one_call(client: CommandClient, service: ScriptedCommandService) -> None:
    recorded = service.recorded[COMMAND] = RecordedCommand()
    recorded.record(response(1), response(2))
    known = [pb.KnownState(command_id=COMMAND, after=1), pb.KnownState(command_id="other")]
    first, second = await client.read_updates(known)
    assert [event.sequence_number for event in first.events] == [2]
    assert second.unknown


async def test_reads_answer_or_say_why_not(client: CommandClient, service: ScriptedCommandService) -> None:
    command = await client.submit(submission(1))
    assert await client.get_command(command.command_id) == command
    assert len((await client.list_commands(pb.ListCommandsRequest(limit=5))).commands) == 1
    assert (await client.list_responses(command.command_id, 7, 5)).responses[0].sequence_number == 8
    assert len((await client.list_evidence(command.command_id, 5, "")).evidence) == 2
    assert (await client.cancel_command(command.command_id, pb.Actor(username="a"))).outcome == "requested"
    assert [kind.name for kind in await client.list_command_types()] == ["ReadDTC"]
    with pytest.raises(NotFound):
        await client.get_command(COMMAND)
