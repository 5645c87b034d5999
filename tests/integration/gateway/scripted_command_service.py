"""A command service that does what a test says, behind a real gRPC server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from service_kit.errors import Conflict, NotFound, ServiceError, Unavailable
from service_kit.grpc_errors import to_domain_error
from service_kit.grpc_server import create_server
from sovd_protos.command.v1 import command_pb2 as pb
from sovd_protos.command.v1 import command_pb2_grpc
from tests.unit.gateway.live_fakes import RecordedCommand

SERVICE_TOKEN = "service-token-of-the-tests"
# The vehicle's own JSON, with the white space and the number format that re-encoding would lose.
VEHICLE_JSON = '{ "code":"0x012345",  "value": 1.50, "text":"Größe" }'
NOON_US = 1_769_860_800_000_000


@dataclass
class ScriptedCommandService(command_pb2_grpc.CommandServiceServicer):
    """`refused`: what to answer to submissions for a vehicle. `away`: so many calls fail as if it were away.

    `loses_answers`: so many submits take effect, but their answers do not arrive. `gate` holds submits back.
    """

    commands: dict[str, pb.Command] = field(default_factory=dict)
    recorded: dict[str, RecordedCommand] = field(default_factory=dict)
    refused: dict[str, ServiceError] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    batches: list[list[pb.Submission]] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)
    away: int = 0
    loses_answers: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def SubmitCommands(self, request: pb.SubmitCommandsRequest, context: Any) -> pb.SubmitCommandsResponse:
        self.batches.append(list(request.submissions))
        self.asked.set()
        await self.gate.wait()
        self._be_there()
        results = [self._submit(submission) for submission in request.submissions]
        if self.loses_answers:
            self.loses_answers -= 1
            raise Unavailable("DATABASE_UNAVAILABLE", "The answer is lost.")
        return pb.SubmitCommandsResponse(results=results)

    async def GetCommand(self, request: pb.GetCommandRequest, context: Any) -> pb.Command:
        self._be_there()
        return self._command(request.command_id)

    async def ListCommands(self, request: pb.ListCommandsRequest, context: Any) -> pb.ListCommandsResponse:
        self.queries.append(request)
        found = sorted(self.commands.values(), key=lambda command: command.command_id, reverse=True)
        return pb.ListCommandsResponse(commands=found[: request.limit], next_cursor="next" if found else "")

    async def ListResponses(self, request: pb.ListResponsesRequest, context: Any) -> pb.ListResponsesResponse:
        self._command(request.command_id)
        self.queries.append(request)
        number = request.after + 1
        one = pb.RecordedResponse(sequence_number=number, attempt=1, body=VEHICLE_JSON, received_at_us=NOON_US)
        return pb.ListResponsesResponse(responses=[one], has_more=True)

    async def ListEvidence(self, request: pb.ListEvidenceRequest, context: Any) -> pb.ListEvidenceResponse:
        self._command(request.command_id)
        late: dict[str, Any] = {"attempt": 1, "reason": "after_end", "received_at_us": NOON_US}
        return pb.ListEvidenceResponse(
            evidence=[
                pb.Evidence(evidence_id=1, number=4, kind="response", body=VEHICLE_JSON, **late),
                pb.Evidence(evidence_id=2, number=5, kind="outcome", body="completed", **late),
            ]
        )

    async def CancelCommand(self, request: pb.CancelCommandRequest, context: Any) -> pb.CancelCommandResponse:
        self.queries.append(request)
        return pb.CancelCommandResponse(outcome="requested", command=self._command(request.command_id))

    async def ReadUpdates(self, request: pb.ReadUpdatesRequest, context: Any) -> pb.ReadUpdatesResponse:
        self._be_there()
        updates = []
        for known in request.known:
            recorded = self.recorded.get(known.command_id)
            updates.append(recorded.updates(known) if recorded else pb.CommandUpdates(unknown=True))
        return pb.ReadUpdatesResponse(updates=updates)

    async def ListCommandTypes(self, request: Any, context: Any) -> pb.ListCommandTypesResponse:
        schema = json.dumps({"type": "object", "required": ["ecuAddress"]})
        kind = pb.CommandType(name="ReadDTC", command_class="read", parameters_schema=schema, response_schema="{}")
        kind.preconditions.add(name="vehicle speed", comparison="=", unit="km/h", when={"action": "start"})
        return pb.ListCommandTypesResponse(command_types=[kind])

    def _be_there(self) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("DATABASE_UNAVAILABLE", "The database is away.")

    def _command(self, command_id: str) -> pb.Command:
        if command_id not in self.commands:
            raise NotFound("UNKNOWN_COMMAND", f"there is no command {command_id}")
        return self.commands[command_id]

    def _submit(self, submission: pb.Submission) -> pb.SubmitResult:
        try:
            return pb.SubmitResult(command=self._accept(submission))
        except ServiceError as error:
            return pb.SubmitResult(error=to_domain_error(error))

    def _accept(self, submission: pb.Submission) -> pb.Command:
        if submission.vehicle_id in self.refused:
            raise self.refused[submission.vehicle_id]
        key = (submission.actor.user_id, submission.idempotency_key)
        known = self.keys.get(key) if submission.idempotency_key else None
        if known is not None:
            if known[0] != submission.request_hash:
                raise Conflict("IDEMPOTENCY_CONFLICT", "the key was used for a different request")
            return self.commands[known[1]]
        self.keys[key] = (submission.request_hash, submission.command_id)
        return self.commands.setdefault(submission.command_id, a_command(submission))


def a_command(submission: pb.Submission) -> pb.Command:
    return pb.Command(
        command_id=submission.command_id,
        vehicle_id=submission.vehicle_id,
        vin="WDD1234567890ABCD",
        command_name=submission.command_name,
        command_params=submission.command_params,
        command_class="read",
        repeatable=True,
        status="pending",
        user_id=submission.actor.user_id,
        username=submission.actor.username,
        priority=submission.priority,
        timeout_seconds=submission.timeout_seconds or 30,
        attempt=1,
        revision=1,
        created_at_us=NOON_US,
        expires_at_us=NOON_US + 900_000_000,
        traceparent=submission.traceparent,
    )


@asynccontextmanager
async def serving(service: ScriptedCommandService) -> AsyncIterator[str]:
    """The address of a gRPC server of `service`."""
    server, port = create_server(SERVICE_TOKEN, port_address="127.0.0.1:0")
    command_pb2_grpc.add_CommandServiceServicer_to_server(service, server)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        service.gate.set()
        await server.stop(None)
