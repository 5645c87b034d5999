"""What the gateway asks of the command service about commands; concurrent submits share one call."""

import asyncio
import random
import time
from collections.abc import Sequence

import grpc.aio

from gateway.answers import ask
from service_kit.batcher import Batcher
from service_kit.errors import ServiceError, Unavailable
from service_kit.grpc_errors import from_domain_error
from sovd_protos.command.v1 import command_pb2 as pb
from sovd_protos.command.v1.command_pb2_grpc import CommandServiceStub

# The largest submission is a little over 32 KiB, so a full batch is far below gRPC's message limit.
MAX_BATCH = 200
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.05, 1.0


class CommandClient:
    """Raises ServiceError: what the command service said, or Unavailable when it is away."""

    def __init__(
        self, channel: grpc.aio.Channel, *, submit_deadline_seconds: float = 10.0, call_deadline_seconds: float = 5.0
    ) -> None:
        self._stub = CommandServiceStub(channel)
        self._submit_deadline = submit_deadline_seconds
        self._call_deadline = call_deadline_seconds
        self._submits: Batcher[pb.Submission, pb.Command] = Batcher(self._submit_batch, max_items=MAX_BATCH)

    async def submit(self, submission: pb.Submission) -> pb.Command:
        """Tried again while the command service is away: the command_id makes a repeat harmless."""
        deadline = time.monotonic() + self._submit_deadline
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                return await self._submits.submit(submission)
            except Unavailable:
                pause = delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter
                if time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def get_command(self, command_id: str) -> pb.Command:
        return await ask(self._stub.GetCommand(pb.GetCommandRequest(command_id=command_id)))

    async def list_commands(self, request: pb.ListCommandsRequest) -> pb.ListCommandsResponse:
        return await ask(self._stub.ListCommands(request))

    async def list_responses(self, command_id: str, after: int, limit: int) -> pb.ListResponsesResponse:
        request = pb.ListResponsesRequest(command_id=command_id, after=after, limit=limit)
        return await ask(self._stub.ListResponses(request))

    async def list_evidence(self, command_id: str, limit: int, cursor: str) -> pb.ListEvidenceResponse:
        request = pb.ListEvidenceRequest(command_id=command_id, limit=limit, cursor=cursor)
        return await ask(self._stub.ListEvidence(request))

    async def cancel_command(self, command_id: str, actor: pb.Actor) -> pb.CancelCommandResponse:
        return await ask(self._stub.CancelCommand(pb.CancelCommandRequest(command_id=command_id, actor=actor)))

    async def list_command_types(self) -> Sequence[pb.CommandType]:
        return (await ask(self._stub.ListCommandTypes(pb.ListCommandTypesRequest()))).command_types

    async def read_updates(self, known: Sequence[pb.KnownState]) -> Sequence[pb.CommandUpdates]:
        """For viewers, in the order asked."""
        request = pb.ReadUpdatesRequest(known=known)
        response = await ask(self._stub.ReadUpdates(request, timeout=self._call_deadline))
        return response.updates

    async def drain(self) -> None:
        """Returns when no submit is waiting or under way."""
        await self._submits.drain()

    async def _submit_batch(self, submissions: list[pb.Submission]) -> Sequence[pb.Command | ServiceError]:
        request = pb.SubmitCommandsRequest(submissions=submissions)
        response = await ask(self._stub.SubmitCommands(request, timeout=self._call_deadline))
        return [
            from_domain_error(result.error) if result.HasField("error") else result.command
            for result in response.results
        ]
