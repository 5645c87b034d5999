"""Reports over gRPC, of what really ran."""

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError

from sovd_protos.command.v1 import command_pb2
from sovd_protos.reports.v1 import reports_pb2, reports_pb2_grpc
from tests.integration.command_service.played_parts import Client, Connector
from tests.integration.command_service.test_service import COMPLETED, broker, client, service

__all__ = ["broker", "client", "service"]

FAULT = '{"code":"0x042011","display_code":"P0420-11","status":{"raw":"0x2F"}}'


async def run(client: Client, vehicle_id: str, connector: Connector, *faults: str) -> str:
    submitted = await client.submit(vehicle_id)
    await connector.claim()
    await connector.report(submitted.command_id, *faults, f'{{"count":{len(faults)}}}', COMPLETED)
    return submitted.command_id


async def test_reports(client: Client) -> None:
    reports = reports_pb2_grpc.ReportServiceStub(client.channel)
    vehicle_id, connector = await client.vehicle(), Connector(client)
    await connector.attach()
    await connector.open_session()
    older = await run(client, vehicle_id, connector)
    newer = await run(client, vehicle_id, connector, FAULT)
    await client.submit(vehicle_id)

    memory = await reports.ReadFaultMemory(reports_pb2.ReadFaultMemoryRequest(vehicle_id=vehicle_id))
    (ecu,) = memory.ecus
    assert (ecu.ecu_address, ecu.latest.command_id, list(ecu.latest.faults)) == (0x10, newer, [FAULT])
    assert (ecu.previous.command_id, list(ecu.previous.faults), ecu.previous.truncated) == (older, [], False)

    summary = await reports.Summarise(reports_pb2.SummariseRequest(hours=24))
    assert (summary.vehicles_online, summary.vehicles_offline) == (1, 0)
    assert summary.by_status["completed"] == 2
    assert sum(summary.by_status.values()) == 3
    assert len(summary.hours) == 24
    assert sum(hour.completed for hour in summary.hours) == 2
    assert 0 < summary.p50_seconds <= summary.p95_seconds < 60

    for statuses, at_most, expected in (([], 10, 3), (["completed", "pending"], 10, 2), ([], 1, 1), (["failed"], 9, 0)):
        filter_ = command_pb2.ListCommandsRequest(vehicle_id=vehicle_id, statuses=statuses)
        wanted = reports_pb2.CountCommandsRequest(filter=filter_, at_most=at_most)
        assert (await reports.CountCommands(wanted)).count >= expected

    with pytest.raises(AioRpcError) as caught:
        await reports.ReadFaultMemory(reports_pb2.ReadFaultMemoryRequest(vehicle_id="7"))
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
