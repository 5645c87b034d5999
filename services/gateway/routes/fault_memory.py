"""The fault memory of a vehicle, as it was read."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from orjson import Fragment
from pydantic import Field
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import ApiAnswer, Uuid, rfc3339
from gateway.app_state import app_state
from gateway.auth import CurrentUser, current_user
from gateway.commands_json import COMMAND_EXAMPLE, RESPONSE_EXAMPLE
from gateway.problem_details import problems
from sovd_protos.reports.v1 import reports_pb2 as pb

router = APIRouter(prefix="/api/v1/vehicles", tags=["vehicles"])

READING_EXAMPLE: dict[str, Any] = {
    "command_id": COMMAND_EXAMPLE["command_id"],
    "completed_at": "2026-01-31T12:00:00.250000Z",
    "dtcs": [RESPONSE_EXAMPLE["response"]],
    "truncated": False,
}
MEMORY_EXAMPLE: dict[str, Any] = {"ecu_address": "0x10", "latest": READING_EXAMPLE, "previous": None}


class Reading(ApiAnswer):
    command_id: str
    completed_at: str
    dtcs: list[dict[str, Any]] = Field(description="The responses of `ReadDTC` that are faults.")
    truncated: bool = Field(description="There are more than are shown here: see the command's responses.")


class EcuFaultMemory(ApiAnswer):
    ecu_address: str
    latest: Reading
    previous: Reading | None = Field(description="The one before, made with the same `statusMask`.")


class FaultMemoryList(ApiAnswer):
    items: list[EcuFaultMemory]


@router.get(
    "/{vehicle_id}/fault-memory", responses=answers(FaultMemoryList, {"items": [MEMORY_EXAMPLE]}) | problems(404)
)
async def read_fault_memory(
    request: Request, vehicle_id: Uuid, _: Annotated[CurrentUser, Depends(current_user)]
) -> Response:
    """Of each ECU the newest completed `ReadDTC` and the one before it, from the vehicle's newest 5000 commands.

    Readings of all faults come first; where an ECU has none, those with the `statusMask` of its newest.
    """
    wanted = pb.ReadFaultMemoryRequest(vehicle_id=vehicle_id)
    found = await ask(app_state(request).reports.ReadFaultMemory(wanted))
    return json_answer({"items": [_memory_json(ecu) for ecu in found.ecus]})


def _memory_json(ecu: pb.EcuFaultMemory) -> dict[str, Any]:
    return {
        "ecu_address": f"0x{ecu.ecu_address:02X}",
        "latest": _reading_json(ecu.latest),
        "previous": _reading_json(ecu.previous) if ecu.HasField("previous") else None,
    }


def _reading_json(reading: pb.FaultMemoryReading) -> dict[str, Any]:
    return {
        "command_id": reading.command_id,
        "completed_at": rfc3339(reading.completed_at_us),
        "dtcs": [Fragment(fault) for fault in reading.faults],
        "truncated": reading.truncated,
    }
