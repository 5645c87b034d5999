"""The diagnostic lock of a vehicle: while it lasts, only its owner may change anything on the vehicle."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import ApiAnswer, ApiBody, ApiModel, Flag, Uuid, rfc3339
from gateway.app_state import app_state
from gateway.auth import CurrentUser, require_engineer
from gateway.problem_details import problems
from sovd_protos.command.v1.command_pb2 import Actor
from sovd_protos.vehicle.v1 import vehicle_pb2 as pb

router = APIRouter(prefix="/api/v1/vehicles/{vehicle_id}/lock", tags=["vehicles"])

Engineer = Annotated[CurrentUser, Depends(require_engineer)]

LOCK_EXAMPLE: dict[str, Any] = {
    "owner": "engineer",
    "owner_id": "8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11",
    "taken_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-01-31T12:15:00.000000Z",
}


class LockTerm(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"expires_in_seconds": 900}})

    expires_in_seconds: Annotated[int, Field(ge=1, le=8 * 3600)] | None = Field(
        None, description="From now on. Default: 900."
    )


class LockAnswer(ApiAnswer):
    owner: str
    owner_id: str
    taken_at: str
    expires_at: str


class ReleaseQuery(ApiModel):
    break_: Flag = Field(False, alias="break", description="Whoever has it (admin).")


@router.post(
    "",
    status_code=201,
    responses=answers(LockAnswer, LOCK_EXAMPLE, status=201, description="Taken, or renewed by who has it already.")
    | problems(403, 404, 409),
)
async def take_lock(request: Request, vehicle_id: Uuid, user: Engineer, term: LockTerm | None = None) -> Response:
    """Lock a vehicle for a while (engineer, admin).

    Others' writes and actuations are refused with `VEHICLE_LOCKED` until it ends; reading stays possible. What others
    sent before waits, unless the vehicle has it already.
    """
    return json_answer(lock_json(await ask(_service(request).TakeLock(_request(vehicle_id, user, term)))), 201)


@router.patch("", responses=answers(LockAnswer, LOCK_EXAMPLE) | problems(403, 404, 409))
async def renew_lock(request: Request, vehicle_id: Uuid, user: Engineer, term: LockTerm | None = None) -> Response:
    """Keep one's lock for longer: it ends that long from now on."""
    return json_answer(lock_json(await ask(_service(request).RenewLock(_request(vehicle_id, user, term)))))


@router.delete("", status_code=204, responses=problems(403, 404, 409))
async def release_lock(
    request: Request, vehicle_id: Uuid, query: Annotated[ReleaseQuery, Query()], user: Engineer
) -> Response:
    """Give one's lock back, or break somebody else's (admin)."""
    wanted = pb.ReleaseLockRequest(vehicle_id=vehicle_id, break_it=query.break_, actor=_actor(user))
    await ask(_service(request).ReleaseLock(wanted))
    return Response(status_code=204)


def lock_json(vehicle: pb.Vehicle) -> dict[str, Any] | None:
    """None: nobody has it."""
    if not vehicle.HasField("lock"):
        return None
    lock = vehicle.lock
    return {
        "owner": lock.owner,
        "owner_id": lock.owner_id,
        "taken_at": rfc3339(lock.taken_at_us),
        "expires_at": rfc3339(lock.expires_at_us),
    }


def _request(vehicle_id: str, user: CurrentUser, term: LockTerm | None) -> pb.LockRequest:
    seconds = term.expires_in_seconds if term else None
    return pb.LockRequest(vehicle_id=vehicle_id, seconds=seconds, actor=_actor(user))


def _actor(user: CurrentUser) -> Actor:
    return Actor(user_id=user.user_id, username=user.username, role=user.role)


def _service(request: Request) -> Any:
    return app_state(request).vehicles
