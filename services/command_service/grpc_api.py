"""What the gateway calls: commands, vehicles and the audit trail."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_service import metrics
from command_service.domain.catalogue import CATALOGUE
from command_service.domain.command import Status
from command_service.domain.preconditions import PreconditionRules
from command_service.grpc_mapping import (
    actor_from_proto,
    audit_entry_from_proto,
    audit_entry_to_proto,
    command_to_proto,
    evidence_to_proto,
    from_microseconds,
    precondition_to_proto,
    response_to_proto,
    submission_from_proto,
    vehicle_to_proto,
    viewer_event_to_proto,
)
from command_service.use_cases.actor import Actor
from command_service.use_cases.audit_trail import AuditTrail
from command_service.use_cases.cancel_command import CancelCommand
from command_service.use_cases.lock_vehicles import LockVehicles
from command_service.use_cases.manage_vehicles import ManageVehicles
from command_service.use_cases.ports import AuditFilter, CommandFilter
from command_service.use_cases.read_commands import KnownState, ReadCommands
from command_service.use_cases.submission_batch import Accepted
from command_service.use_cases.submit_commands import SubmitCommands
from service_kit.errors import InvalidInput, ServiceError
from service_kit.grpc_errors import to_domain_error
from service_kit.tracing import ActiveSpan, SpanKind, is_sampled, start_sampled
from sovd_protos.audit.v1 import audit_pb2, audit_pb2_grpc
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context

_DEFAULT_PAGE = 50
_MAX_PAGE = 500


class CommandApi(command_pb2_grpc.CommandServiceServicer):
    def __init__(
        self, submit: SubmitCommands, cancel: CancelCommand, read: ReadCommands, preconditions: PreconditionRules
    ) -> None:
        self._submit = submit
        self._preconditions = preconditions
        self._cancel = cancel
        self._read = read

    async def SubmitCommands(  # noqa: N802
        self, request: command_pb2.SubmitCommandsRequest, context: "Context"
    ) -> command_pb2.SubmitCommandsResponse:
        metrics.BATCH_SIZE.labels("submit").observe(len(request.submissions))
        spans = _start_spans(request.submissions)
        try:
            answers = await self._submit([submission_from_proto(submission) for submission in request.submissions])
        except BaseException as error:
            for span in spans.values():
                span.end(error)
            raise
        _end_spans(spans, answers)
        return command_pb2.SubmitCommandsResponse(results=[_submit_result(answer) for answer in answers])

    async def GetCommand(  # noqa: N802
        self, request: command_pb2.GetCommandRequest, context: "Context"
    ) -> command_pb2.Command:
        return command_to_proto(*await self._read.get(require_uuid("command_id", request.command_id)))

    async def ListCommands(  # noqa: N802
        self, request: command_pb2.ListCommandsRequest, context: "Context"
    ) -> command_pb2.ListCommandsResponse:
        filter_ = command_filter(request)
        commands, next_cursor = await self._read.page(filter_, page_limit(request.limit), request.cursor)
        return command_pb2.ListCommandsResponse(
            commands=[command_to_proto(*found) for found in commands], next_cursor=next_cursor
        )

    async def ListResponses(  # noqa: N802
        self, request: command_pb2.ListResponsesRequest, context: "Context"
    ) -> command_pb2.ListResponsesResponse:
        command_id = require_uuid("command_id", request.command_id)
        responses, has_more = await self._read.responses(command_id, request.after, page_limit(request.limit))
        return command_pb2.ListResponsesResponse(
            responses=[response_to_proto(response) for response in responses], has_more=has_more
        )

    async def ListEvidence(  # noqa: N802
        self, request: command_pb2.ListEvidenceRequest, context: "Context"
    ) -> command_pb2.ListEvidenceResponse:
        command_id = require_uuid("command_id", request.command_id)
        evidence, next_cursor = await self._read.evidence(command_id, page_limit(request.limit), request.cursor)
        return command_pb2.ListEvidenceResponse(
            evidence=[evidence_to_proto(one) for one in evidence], next_cursor=next_cursor
        )

    async def CancelCommand(  # noqa: N802
        self, request: command_pb2.CancelCommandRequest, context: "Context"
    ) -> command_pb2.CancelCommandResponse:
        command_id = require_uuid("command_id", request.command_id)
        outcome, command, vin = await self._cancel(command_id, actor_from_proto(request.actor))
        return command_pb2.CancelCommandResponse(outcome=outcome, command=command_to_proto(command, vin))

    async def ReadUpdates(  # noqa: N802
        self, request: command_pb2.ReadUpdatesRequest, context: "Context"
    ) -> command_pb2.ReadUpdatesResponse:
        known = [
            KnownState(require_uuid("command_id", state.command_id), state.after, state.revision)
            for state in request.known
        ]
        answer = command_pb2.ReadUpdatesResponse()
        for update in await self._read.updates(known):
            traceparent = update.command.traceparent if update.command else ""
            answer.updates.add(
                command_id=update.command_id,
                unknown=update.command is None,
                events=[viewer_event_to_proto(event) for event in update.events],
                has_more=update.has_more,
                traceparent=traceparent if is_sampled(traceparent) else "",
            )
        return answer

    async def ListCommandTypes(  # noqa: N802
        self, request: command_pb2.ListCommandTypesRequest, context: "Context"
    ) -> command_pb2.ListCommandTypesResponse:
        return command_pb2.ListCommandTypesResponse(
            command_types=[
                command_pb2.CommandType(
                    name=entry.name,
                    description=entry.description,
                    parameters_schema=json.dumps(entry.parameters_schema),
                    response_schema=json.dumps(entry.response_schema),
                    command_class=entry.command_class,
                    repeatable=entry.repeatable,
                    default_timeout_seconds=entry.default_timeout_seconds,
                    preconditions=map(precondition_to_proto, self._preconditions.of_types.get(entry.name, ())),
                )
                for entry in CATALOGUE.values()
            ]
        )


class VehicleApi(vehicle_pb2_grpc.VehicleServiceServicer):
    def __init__(self, vehicles: ManageVehicles, locks: LockVehicles) -> None:
        self._vehicles = vehicles
        self._locks = locks

    async def ListVehicles(  # noqa: N802
        self, request: vehicle_pb2.ListVehiclesRequest, context: "Context"
    ) -> vehicle_pb2.ListVehiclesResponse:
        vehicles, next_cursor = await self._vehicles.page(
            request.search, request.connection_status, page_limit(request.limit), request.cursor, request.sort
        )
        return vehicle_pb2.ListVehiclesResponse(
            vehicles=[vehicle_to_proto(vehicle) for vehicle in vehicles], next_cursor=next_cursor
        )

    async def GetVehicle(  # noqa: N802
        self, request: vehicle_pb2.GetVehicleRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        return vehicle_to_proto(await self._vehicles.get(require_uuid("vehicle_id", request.vehicle_id)))

    async def CreateVehicle(  # noqa: N802
        self, request: vehicle_pb2.CreateVehicleRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        vehicle = await self._vehicles.create(
            actor_from_proto(request.actor),
            request.vin,
            request.make,
            request.model,
            request.year,
            request.link.kind,
            request.link.address,
        )
        return vehicle_to_proto(vehicle)

    async def UpdateVehicle(  # noqa: N802
        self, request: vehicle_pb2.UpdateVehicleRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        given: dict[str, Any] = {
            name: getattr(request, name) for name in ("make", "model", "year") if request.HasField(name)
        }
        if request.HasField("link"):
            given["link"] = (request.link.kind, request.link.address)
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        return vehicle_to_proto(await self._vehicles.update(actor_from_proto(request.actor), vehicle_id, **given))

    async def DeleteVehicle(  # noqa: N802
        self, request: vehicle_pb2.DeleteVehicleRequest, context: "Context"
    ) -> vehicle_pb2.DeleteVehicleResponse:
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        await self._vehicles.delete(actor_from_proto(request.actor), vehicle_id)
        return vehicle_pb2.DeleteVehicleResponse()

    async def TakeLock(  # noqa: N802
        self, request: vehicle_pb2.LockRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        return vehicle_to_proto(await self._locks.take(*_lock_arguments(request)))

    async def RenewLock(  # noqa: N802
        self, request: vehicle_pb2.LockRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        return vehicle_to_proto(await self._locks.renew(*_lock_arguments(request)))

    async def ReleaseLock(  # noqa: N802
        self, request: vehicle_pb2.ReleaseLockRequest, context: "Context"
    ) -> vehicle_pb2.Vehicle:
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        actor = actor_from_proto(request.actor)
        return vehicle_to_proto(await self._locks.release(actor, vehicle_id, break_it=request.break_it))


class AuditApi(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    async def RecordAudit(  # noqa: N802
        self, request: audit_pb2.RecordAuditRequest, context: "Context"
    ) -> audit_pb2.RecordAuditResponse:
        for entry in request.entries:
            require_uuid("entry_id", entry.entry_id)
        await self._audit.record([audit_entry_from_proto(entry) for entry in request.entries])
        return audit_pb2.RecordAuditResponse()

    async def ListAudit(  # noqa: N802
        self, request: audit_pb2.ListAuditRequest, context: "Context"
    ) -> audit_pb2.ListAuditResponse:
        filter_ = AuditFilter(
            action=request.action or None,
            actor_id=request.actor_id or None,
            subject_id=request.subject_id or None,
            from_=from_microseconds(request.from_us),
            to=from_microseconds(request.to_us),
        )
        entries, next_cursor = await self._audit.page(filter_, page_limit(request.limit), request.cursor)
        return audit_pb2.ListAuditResponse(
            entries=[audit_entry_to_proto(entry) for entry in entries], next_cursor=next_cursor
        )

    async def VerifyAudit(  # noqa: N802
        self, request: audit_pb2.VerifyAuditRequest, context: "Context"
    ) -> audit_pb2.VerifyAuditResponse:
        verification = await self._audit.verify()
        return audit_pb2.VerifyAuditResponse(
            intact=verification.broken_at is None,
            sealed=verification.sealed,
            unsealed=verification.unsealed,
            broken_at=verification.broken_at or 0,
            reason=verification.reason,
        )


def _start_spans(submissions: Iterable[command_pb2.Submission]) -> dict[int, ActiveSpan]:
    """By place in the batch, of those that are sampled: their commands' traces go on from the acceptance."""
    spans = {}
    for index, submission in enumerate(submissions):
        span = start_sampled(
            "command.accept",
            submission.traceparent,
            SpanKind.SERVER,
            command_id=submission.command_id,
            command_name=submission.command_name,
            vehicle_id=submission.vehicle_id,
        )
        if span is not None:
            submission.traceparent = span.traceparent
            spans[index] = span
    return spans


def _end_spans(spans: Mapping[int, ActiveSpan], answers: Sequence[Accepted | ServiceError]) -> None:
    for index, span in spans.items():
        answer = answers[index]
        if isinstance(answer, ServiceError):
            span.set(code=answer.code)
        else:
            span.set(vin=answer[1])
        span.end()


def _submit_result(answer: Accepted | ServiceError) -> command_pb2.SubmitResult:
    if isinstance(answer, ServiceError):
        metrics.COMMANDS_REJECTED.labels(answer.code).inc()
        return command_pb2.SubmitResult(error=to_domain_error(answer))
    command, vin = answer
    metrics.COMMANDS_ACCEPTED.labels(command.command_name).inc()
    return command_pb2.SubmitResult(command=command_to_proto(command, vin))


def command_filter(request: command_pb2.ListCommandsRequest) -> CommandFilter:
    """Raises InvalidInput."""
    for status in request.statuses:
        if status not in list(Status):
            raise InvalidInput("VALIDATION_FAILED", f"status must be one of {', '.join(Status)}, not {status!r}")
    return CommandFilter(
        vehicle_id=_optional_uuid("vehicle_id", request.vehicle_id),
        user_id=_optional_uuid("user_id", request.user_id),
        statuses=tuple(request.statuses),
        command_name=request.command_name or None,
        from_=from_microseconds(request.from_us),
        to=from_microseconds(request.to_us),
    )


def _lock_arguments(request: vehicle_pb2.LockRequest) -> tuple[Actor, str, int | None]:
    seconds = request.seconds if request.HasField("seconds") else None
    return actor_from_proto(request.actor), require_uuid("vehicle_id", request.vehicle_id), seconds


def page_limit(asked: int) -> int:
    return min(asked, _MAX_PAGE) if asked else _DEFAULT_PAGE


def require_uuid(name: str, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise InvalidInput("VALIDATION_FAILED", f"{name} must be a UUID, not {value[:50]!r}") from None


def _optional_uuid(name: str, value: str) -> str | None:
    return require_uuid(name, value) if value else None
