"""What the gateway asks for to show it at a glance."""

from typing import TYPE_CHECKING

from command_service.domain.command import Status
from command_service.grpc_api import command_filter, require_uuid
from command_service.grpc_mapping import to_microseconds
from command_service.use_cases.count_commands import CountCommands
from command_service.use_cases.fault_memory import EcuFaultMemory, ReadFaultMemory, Reading
from command_service.use_cases.summary import Hour, Summarise, Summary
from sovd_protos.reports.v1 import reports_pb2, reports_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context

_MAX_COUNT = 1_000_000


class ReportApi(reports_pb2_grpc.ReportServiceServicer):
    def __init__(self, fault_memory: ReadFaultMemory, summarise: Summarise, count: CountCommands) -> None:
        self._fault_memory = fault_memory
        self._summarise = summarise
        self._count = count

    async def ReadFaultMemory(  # noqa: N802
        self, request: reports_pb2.ReadFaultMemoryRequest, context: "Context"
    ) -> reports_pb2.ReadFaultMemoryResponse:
        found = await self._fault_memory(require_uuid("vehicle_id", request.vehicle_id))
        return reports_pb2.ReadFaultMemoryResponse(ecus=[_ecu_to_proto(ecu) for ecu in found])

    async def Summarise(  # noqa: N802
        self, request: reports_pb2.SummariseRequest, context: "Context"
    ) -> reports_pb2.Summary:
        return _summary_to_proto(await self._summarise(request.hours))

    async def CountCommands(  # noqa: N802
        self, request: reports_pb2.CountCommandsRequest, context: "Context"
    ) -> reports_pb2.CountCommandsResponse:
        count = await self._count(command_filter(request.filter), min(request.at_most, _MAX_COUNT))
        return reports_pb2.CountCommandsResponse(count=count)


def _summary_to_proto(summary: Summary) -> reports_pb2.Summary:
    return reports_pb2.Summary(
        generated_at_us=to_microseconds(summary.generated_at),
        vehicles_online=summary.vehicles_online,
        vehicles_offline=summary.vehicles_offline,
        by_status=summary.by_status,
        waiting_for_offline_vehicles=summary.waiting_for_offline_vehicles,
        p50_seconds=summary.p50_seconds,
        p95_seconds=summary.p95_seconds,
        hours=[_hour_to_proto(hour) for hour in summary.hours],
    )


def _hour_to_proto(hour: Hour) -> reports_pb2.Hour:
    return reports_pb2.Hour(
        start_us=to_microseconds(hour.start),
        completed=hour.ended.get(Status.COMPLETED, 0),
        failed=hour.ended.get(Status.FAILED, 0),
        timed_out=hour.ended.get(Status.TIMED_OUT, 0),
        expired=hour.ended.get(Status.EXPIRED, 0),
        cancelled=hour.ended.get(Status.CANCELLED, 0),
    )


def _ecu_to_proto(ecu: EcuFaultMemory) -> reports_pb2.EcuFaultMemory:
    previous = None if ecu.previous is None else _reading_to_proto(ecu.previous)
    return reports_pb2.EcuFaultMemory(ecu_address=ecu.address, latest=_reading_to_proto(ecu.latest), previous=previous)


def _reading_to_proto(reading: Reading) -> reports_pb2.FaultMemoryReading:
    return reports_pb2.FaultMemoryReading(
        command_id=reading.command.command_id,
        completed_at_us=to_microseconds(reading.command.completed_at),
        faults=reading.faults,
        truncated=reading.truncated,
    )
