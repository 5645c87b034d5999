"""The command service as the gateway sees it, on a real gRPC server: keeps what it is told, decides next to nothing."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from service_kit.errors import Conflict, InvalidInput, NotFound, ServiceError, Unavailable
from service_kit.grpc_server import create_server
from sovd_protos.audit.v1 import audit_pb2, audit_pb2_grpc
from sovd_protos.command.v1 import command_pb2, command_pb2_grpc
from sovd_protos.identity.v1 import identity_pb2, identity_pb2_grpc
from sovd_protos.reports.v1 import reports_pb2, reports_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc

SERVICE_TOKEN = "service-token-of-tests"


def now_us() -> int:
    return time.time_ns() // 1000


class FakeCommandService(
    vehicle_pb2_grpc.VehicleServiceServicer,
    identity_pb2_grpc.IdentityServiceServicer,
    audit_pb2_grpc.AuditServiceServicer,
    command_pb2_grpc.CommandServiceServicer,
    reports_pb2_grpc.ReportServiceServicer,
):
    def __init__(self) -> None:
        self.address = ""
        self.vehicles: dict[str, vehicle_pb2.Vehicle] = {}
        self.certificates: list[identity_pb2.Certificate] = []
        self.commands: dict[str, command_pb2.Command] = {}
        self.entries: dict[str, audit_pb2.AuditEntry] = {}
        self.requests: list[Any] = []
        # Of ListCommands, until it is as if the database went away; below 0 it stays.
        self.pages_left = -1
        self.summary = reports_pb2.Summary(generated_at_us=now_us())
        self.fault_memory: list[reports_pb2.EcuFaultMemory] = []
        # Raised by RecordAudit for an entry with this action.
        self.refuses: dict[str, ServiceError] = {}

    def audited(self, action: str) -> list[audit_pb2.AuditEntry]:
        return [entry for entry in self.entries.values() if entry.action == action]

    # Vehicles

    async def ListVehicles(self, request: vehicle_pb2.ListVehiclesRequest, context: Any) -> Any:
        self.requests.append(request)
        if request.cursor not in ("", "next"):
            raise InvalidInput("INVALID_CURSOR", "no such cursor")
        found = sorted(self.vehicles.values(), key=lambda vehicle: vehicle.vin)
        page = found[1:] if request.cursor else found[: request.limit]
        return vehicle_pb2.ListVehiclesResponse(vehicles=page, next_cursor="next" if len(page) < len(found) else "")

    async def GetVehicle(self, request: vehicle_pb2.GetVehicleRequest, context: Any) -> Any:
        return self._vehicle(request.vehicle_id)

    async def CreateVehicle(self, request: vehicle_pb2.CreateVehicleRequest, context: Any) -> Any:
        self.requests.append(request)
        if any(vehicle.vin == request.vin for vehicle in self.vehicles.values()):
            raise Conflict("DUPLICATE_VIN", f"there is a vehicle {request.vin} already")
        vehicle = vehicle_pb2.Vehicle(
            vehicle_id=str(uuid4()),
            vin=request.vin,
            make=request.make,
            model=request.model,
            year=request.year,
            link=request.link,
            connection_status="offline",
            created_at_us=now_us(),
        )
        self.vehicles[vehicle.vehicle_id] = vehicle
        return vehicle

    async def UpdateVehicle(self, request: vehicle_pb2.UpdateVehicleRequest, context: Any) -> Any:
        self.requests.append(request)
        vehicle = self._vehicle(request.vehicle_id)
        for field in ("make", "model", "year"):
            if request.HasField(field):
                setattr(vehicle, field, getattr(request, field))
        if request.HasField("link"):
            vehicle.link.CopyFrom(request.link)
        return vehicle

    async def DeleteVehicle(self, request: vehicle_pb2.DeleteVehicleRequest, context: Any) -> Any:
        self.requests.append(request)
        self._vehicle(request.vehicle_id)
        if any(command.vehicle_id == request.vehicle_id for command in self.commands.values()):
            raise Conflict("VEHICLE_HAS_OPEN_COMMANDS", "the vehicle has open commands")
        del self.vehicles[request.vehicle_id]
        return vehicle_pb2.DeleteVehicleResponse()

    async def TakeLock(self, request: vehicle_pb2.LockRequest, context: Any) -> Any:
        self.requests.append(request)
        vehicle = self._vehicle(request.vehicle_id)
        if vehicle.HasField("lock") and vehicle.lock.owner_id != request.actor.user_id:
            raise Conflict("VEHICLE_LOCKED", f"locked by {vehicle.lock.owner}", {"owner": vehicle.lock.owner})
        taken_at = 1_769_860_800_000_000
        vehicle.lock.CopyFrom(
            vehicle_pb2.Lock(
                owner_id=request.actor.user_id,
                owner=request.actor.username,
                taken_at_us=taken_at,
                expires_at_us=taken_at + (request.seconds or 900) * 1_000_000,
            )
        )
        return vehicle

    async def RenewLock(self, request: vehicle_pb2.LockRequest, context: Any) -> Any:
        if not self._vehicle(request.vehicle_id).HasField("lock"):
            raise NotFound("NOT_LOCKED", "the vehicle is not locked")
        return await self.TakeLock(request, context)

    async def ReleaseLock(self, request: vehicle_pb2.ReleaseLockRequest, context: Any) -> Any:
        self.requests.append(request)
        self._vehicle(request.vehicle_id).ClearField("lock")
        return self._vehicle(request.vehicle_id)

    # Identities

    async def Enrol(self, request: identity_pb2.EnrolRequest, context: Any) -> Any:
        raise AssertionError("no gateway enrols a vehicle")

    async def Renew(self, request: identity_pb2.RenewForVehicleRequest, context: Any) -> Any:
        raise AssertionError("no gateway renews a certificate")

    async def ReportRefused(self, request: identity_pb2.ReportRefusedRequest, context: Any) -> Any:
        raise AssertionError("no gateway knows whom a connector refused")

    async def CreateEnrolmentCode(self, request: identity_pb2.CreateEnrolmentCodeRequest, context: Any) -> Any:
        self.requests.append(request)
        vehicle = self._vehicle(request.vehicle_id)
        return identity_pb2.EnrolmentCode(code="ABCD-EFGH", vin=vehicle.vin, expires_at_us=now_us())

    async def ListCertificates(self, request: identity_pb2.ListCertificatesRequest, context: Any) -> Any:
        self.requests.append(request)
        self._vehicle(request.vehicle_id)
        return identity_pb2.ListCertificatesResponse(certificates=self.certificates)

    async def RevokeCertificates(self, request: identity_pb2.RevokeCertificatesRequest, context: Any) -> Any:
        self.requests.append(request)
        self._vehicle(request.vehicle_id)
        if request.serial and all(one.serial != request.serial for one in self.certificates):
            raise NotFound("UNKNOWN_CERTIFICATE", "no such certificate")
        return identity_pb2.RevokeCertificatesResponse()

    # Reports

    async def ReadFaultMemory(self, request: reports_pb2.ReadFaultMemoryRequest, context: Any) -> Any:
        self._vehicle(request.vehicle_id)
        return reports_pb2.ReadFaultMemoryResponse(ecus=self.fault_memory)

    async def Summarise(self, request: reports_pb2.SummariseRequest, context: Any) -> Any:
        self.requests.append(request)
        return self.summary

    async def CountCommands(self, request: reports_pb2.CountCommandsRequest, context: Any) -> Any:
        return reports_pb2.CountCommandsResponse(count=min(len(self.commands), request.at_most))

    # Audit

    async def RecordAudit(self, request: audit_pb2.RecordAuditRequest, context: Any) -> Any:
        for entry in request.entries:
            if entry.action in self.refuses:
                raise self.refuses[entry.action]
        for entry in request.entries:
            self.entries.setdefault(entry.entry_id, entry)
        return audit_pb2.RecordAuditResponse()

    async def ListAudit(self, request: audit_pb2.ListAuditRequest, context: Any) -> Any:
        self.requests.append(request)
        newest_first = sorted(self.entries.values(), key=lambda entry: entry.entry_id, reverse=True)
        return audit_pb2.ListAuditResponse(entries=newest_first[: request.limit])

    async def VerifyAudit(self, request: audit_pb2.VerifyAuditRequest, context: Any) -> Any:
        return audit_pb2.VerifyAuditResponse(intact=True, sealed=len(self.entries), unsealed=1)

    # Commands

    async def SubmitCommands(self, request: command_pb2.SubmitCommandsRequest, context: Any) -> Any:
        return command_pb2.SubmitCommandsResponse(
            results=[command_pb2.SubmitResult(command=self._accept(submission)) for submission in request.submissions]
        )

    async def GetCommand(self, request: command_pb2.GetCommandRequest, context: Any) -> Any:
        return self._command(request.command_id)

    async def ListCommands(self, request: command_pb2.ListCommandsRequest, context: Any) -> Any:
        self.requests.append(command_pb2.ListCommandsRequest.FromString(request.SerializeToString()))
        if self.pages_left == 0:
            raise Unavailable("DATABASE_UNAVAILABLE", "The database is away.")
        self.pages_left -= 1
        begin = int(request.cursor or 0)
        found = list(self.commands.values())[begin : begin + request.limit]
        end = begin + len(found)
        return command_pb2.ListCommandsResponse(
            commands=found, next_cursor=str(end) if end < len(self.commands) else ""
        )

    async def ListResponses(self, request: command_pb2.ListResponsesRequest, context: Any) -> Any:
        self._command(request.command_id)
        return command_pb2.ListResponsesResponse()

    async def ListEvidence(self, request: command_pb2.ListEvidenceRequest, context: Any) -> Any:
        self._command(request.command_id)
        return command_pb2.ListEvidenceResponse()

    async def CancelCommand(self, request: command_pb2.CancelCommandRequest, context: Any) -> Any:
        command = self._command(request.command_id)
        return command_pb2.CancelCommandResponse(outcome="requested", command=command)

    async def ListCommandTypes(self, request: command_pb2.ListCommandTypesRequest, context: Any) -> Any:
        read_dtc = command_pb2.CommandType(
            name="ReadDTC",
            description="Read the fault memory",
            parameters_schema='{"type":"object"}',
            response_schema='{"type":"object"}',
            command_class="read",
            repeatable=True,
            default_timeout_seconds=30,
        )
        return command_pb2.ListCommandTypesResponse(command_types=[read_dtc])

    async def ReadUpdates(self, request: command_pb2.ReadUpdatesRequest, context: Any) -> Any:
        return command_pb2.ReadUpdatesResponse(
            updates=[
                command_pb2.CommandUpdates(command_id=known.command_id, unknown=known.command_id not in self.commands)
                for known in request.known
            ]
        )

    def _vehicle(self, vehicle_id: str) -> vehicle_pb2.Vehicle:
        if vehicle_id not in self.vehicles:
            raise NotFound("UNKNOWN_VEHICLE", "there is no such vehicle")
        return self.vehicles[vehicle_id]

    def _command(self, command_id: str) -> command_pb2.Command:
        if command_id not in self.commands:
            raise NotFound("UNKNOWN_COMMAND", "there is no such command")
        return self.commands[command_id]

    def _accept(self, submission: command_pb2.Submission) -> command_pb2.Command:
        command = command_pb2.Command(
            command_id=submission.command_id,
            vehicle_id=submission.vehicle_id,
            command_name=submission.command_name,
            command_params=submission.command_params,
            status="pending",
            user_id=submission.actor.user_id,
            username=submission.actor.username,
            timeout_seconds=30,
            attempt=1,
            revision=1,
            created_at_us=now_us(),
            expires_at_us=now_us() + 900_000_000,
            command_class="read",
            repeatable=True,
        )
        self.commands[command.command_id] = command
        return command


@asynccontextmanager
async def serving(fake: FakeCommandService, port: int = 0) -> AsyncIterator[int]:
    """Serves the fake, on the same port again after an outage."""
    server, bound = create_server(SERVICE_TOKEN, port_address=f"127.0.0.1:{port}")
    vehicle_pb2_grpc.add_VehicleServiceServicer_to_server(fake, server)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(fake, server)
    command_pb2_grpc.add_CommandServiceServicer_to_server(fake, server)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(fake, server)
    reports_pb2_grpc.add_ReportServiceServicer_to_server(fake, server)
    await server.start()
    fake.address = f"127.0.0.1:{bound}"
    try:
        yield bound
    finally:
        await server.stop(None)
