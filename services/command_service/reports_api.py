"""What the gateway asks for to show it at a glance."""

from typing import TYPE_CHECKING

from command_service.grpc_api import require_uuid
from command_service.grpc_mapping import to_microseconds
from command_service.use_cases.fault_memory import EcuFaultMemory, ReadFaultMemory, Reading
from sovd_protos.reports.v1 import reports_pb2, reports_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context


class ReportApi(reports_pb2_grpc.ReportServiceServicer):
    def __init__(self, fault_memory: ReadFaultMemory) -> None:
        self._fault_memory = fault_memory

    async def ReadFaultMemory(  # noqa: N802
        self, request: reports_pb2.ReadFaultMemoryRequest, context: "Context"
    ) -> reports_pb2.ReadFaultMemoryResponse:
        found = await self._fault_memory(require_uuid("vehicle_id", request.vehicle_id))
        return reports_pb2.ReadFaultMemoryResponse(ecus=[_ecu_to_proto(ecu) for ecu in found])


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
