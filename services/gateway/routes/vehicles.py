"""The fleet."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import NO_NUL, ApiAnswer, ApiBody, ApiModel, Cursor, Limit, ShortText, Uuid, rfc3339
from gateway.app_state import app_state
from gateway.auth import CurrentUser, current_user, require_admin
from gateway.problem_details import problems
from gateway.routes.vehicle_locks import LockAnswer, lock_json
from service_kit.uds.identification import FACTS
from sovd_protos.command.v1.command_pb2 import Actor
from sovd_protos.vehicle.v1 import vehicle_pb2 as pb

router = APIRouter(prefix="/api/v1/vehicles", tags=["vehicles"])

# ISO 3779: no I, O or Q. The check digit is not enforced: European VINs have none.
Vin = Annotated[str, StringConstraints(pattern=r"^[A-HJ-NPR-Z0-9]{17}$"), Field(examples=["WDD1234567890ABCD"])]
Sort = Literal["vin", "-vin", "make", "-make", "model", "-model", "year", "-year", "last_seen_at", "-last_seen_at"]
Year = Annotated[int, Field(ge=1886, le=2100)]


class SessionLink(ApiBody):
    """The vehicle dials in."""

    kind: Literal["session"]


class SovdLink(ApiBody):
    """The vehicle's own SOVD server is called at this address."""

    kind: Literal["sovd"]
    address: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,240}$")]


class DoipLink(ApiBody):
    """The vehicle is dialled at this host (and port)."""

    kind: Literal["doip"]
    address: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,250}$")]


Link = Annotated[SessionLink | SovdLink | DoipLink, Field(discriminator="kind")]

VEHICLE_EXAMPLE: dict[str, Any] = {
    "vehicle_id": "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10",
    "vin": "WDD1234567890ABCD",
    "make": "Mercedes",
    "model": "E-Class",
    "year": 2024,
    "link": {"kind": "session", "address": None, "problem": None},
    "connection_status": "online",
    "last_seen_at": "2026-01-31T12:00:00.000000Z",
    "ecus": [
        {
            "address": "0x10",
            "name": "Engine control",
            "part_number": "A2749004",
            "software_number": None,
            "software_version": "4.12.0",
            "hardware_number": "A000901HW3",
            "hardware_version": None,
            "serial_number": "SN0123456789",
            "vin": "WDD1234567890ABCD",
            "seen_at": "2026-01-31T11:59:00.000000Z",
        }
    ],
    "created_at": "2026-01-30T08:00:00.000000Z",
    "lock": None,
}
_NEW_EXAMPLE: dict[str, Any] = {"vin": "WDD1234567890ABCD", "make": "Mercedes", "model": "E-Class", "year": 2024}


class NewVehicle(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {**_NEW_EXAMPLE, "link": {"kind": "session"}}})

    vin: Vin
    make: ShortText
    model: ShortText
    year: Year
    link: Link = Field(default_factory=lambda: SessionLink(kind="session"))


class VehicleChange(ApiBody):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"model": "E 300 de"}})

    make: ShortText | None = None
    model: ShortText | None = None
    year: Year | None = None
    link: Link | None = None


class LinkProblem(ApiAnswer):
    reason: str
    since: str


class LinkAnswer(ApiAnswer):
    kind: str
    address: str | None
    problem: LinkProblem | None = Field(
        description="Why the vehicle is not reached, or was turned away, and since when that is so."
    )


class Ecu(ApiAnswer):
    """What it said of itself when `ScanECUs` found it last, at `seen_at`; null: it did not say, or none did."""

    address: str
    name: str
    part_number: str | None
    software_number: str | None
    software_version: str | None
    hardware_number: str | None
    hardware_version: str | None
    serial_number: str | None
    vin: str | None
    seen_at: str | None


class VehicleAnswer(ApiAnswer):
    vehicle_id: str
    vin: str
    make: str
    model: str
    year: int
    link: LinkAnswer
    connection_status: Literal["online", "offline"]
    last_seen_at: str | None
    ecus: list[Ecu] = Field(description="As the vehicle announced them and scans found them.")
    created_at: str
    lock: LockAnswer | None = Field(description="Who alone may change anything on it, and until when.")


class VehicleList(ApiAnswer):
    items: list[VehicleAnswer]
    next_cursor: str | None


class VehicleQuery(ApiModel):
    search: Annotated[str, StringConstraints(max_length=100, pattern=NO_NUL)] = Field(
        "", description="Part of VIN, make or model, any case."
    )
    status: Literal["online", "offline"] | None = None
    sort: Sort | None = Field(None, description="By VIN when left out; `-` before it: the other way round.")
    limit: Limit = 50
    cursor: Cursor = ""


@router.get("", responses=answers(VehicleList, {"items": [VEHICLE_EXAMPLE], "next_cursor": None}))
async def list_vehicles(
    request: Request, query: Annotated[VehicleQuery, Query()], _: Annotated[CurrentUser, Depends(current_user)]
) -> Response:
    """The fleet, by VIN or as `sort` says."""
    found = await ask(
        _service(request).ListVehicles(
            pb.ListVehiclesRequest(
                search=query.search,
                connection_status=query.status or "",
                limit=query.limit,
                cursor=query.cursor,
                sort=query.sort or "",
            )
        )
    )
    return json_answer({"items": [vehicle_json(v) for v in found.vehicles], "next_cursor": found.next_cursor or None})


@router.get("/{vehicle_id}", responses=answers(VehicleAnswer, VEHICLE_EXAMPLE) | problems(404))
async def get_vehicle(request: Request, vehicle_id: Uuid, _: Annotated[CurrentUser, Depends(current_user)]) -> Response:
    """One vehicle."""
    return json_answer(
        vehicle_json(await ask(_service(request).GetVehicle(pb.GetVehicleRequest(vehicle_id=vehicle_id))))
    )


@router.post(
    "",
    status_code=201,
    responses=answers(VehicleAnswer, VEHICLE_EXAMPLE, status=201, description="Created") | problems(403, 409),
)
async def create_vehicle(
    request: Request, new: NewVehicle, user: Annotated[CurrentUser, Depends(require_admin)]
) -> Response:
    """Add a vehicle to the fleet (admin)."""
    wanted = pb.CreateVehicleRequest(
        vin=new.vin, make=new.make, model=new.model, year=new.year, link=_link(new.link), actor=actor(user)
    )
    vehicle = await ask(_service(request).CreateVehicle(wanted))
    return json_answer(vehicle_json(vehicle), 201, {"location": f"/api/v1/vehicles/{vehicle.vehicle_id}"})


@router.patch("/{vehicle_id}", responses=answers(VehicleAnswer, VEHICLE_EXAMPLE) | problems(403, 404, 409))
async def change_vehicle(
    request: Request, vehicle_id: Uuid, change: VehicleChange, user: Annotated[CurrentUser, Depends(require_admin)]
) -> Response:
    """Change a vehicle's description or link (admin)."""
    wanted = pb.UpdateVehicleRequest(
        vehicle_id=vehicle_id,
        make=change.make,
        model=change.model,
        year=change.year,
        link=None if change.link is None else _link(change.link),
        actor=actor(user),
    )
    return json_answer(vehicle_json(await ask(_service(request).UpdateVehicle(wanted))))


@router.delete("/{vehicle_id}", status_code=204, responses=problems(403, 404, 409))
async def delete_vehicle(
    request: Request, vehicle_id: Uuid, user: Annotated[CurrentUser, Depends(require_admin)]
) -> Response:
    """Take a vehicle out of the fleet; its history stays (admin). Not while it has open commands."""
    await ask(_service(request).DeleteVehicle(pb.DeleteVehicleRequest(vehicle_id=vehicle_id, actor=actor(user))))
    return Response(status_code=204)


def vehicle_json(vehicle: pb.Vehicle) -> dict[str, Any]:
    return {
        "vehicle_id": vehicle.vehicle_id,
        "vin": vehicle.vin,
        "make": vehicle.make,
        "model": vehicle.model,
        "year": vehicle.year,
        "link": _link_json(vehicle),
        "connection_status": vehicle.connection_status,
        "last_seen_at": rfc3339(vehicle.last_seen_at_us),
        "ecus": [_ecu_json(ecu) for ecu in vehicle.ecus],
        "created_at": rfc3339(vehicle.created_at_us),
        "lock": lock_json(vehicle),
    }


def _ecu_json(ecu: pb.Ecu) -> dict[str, str | None]:
    facts: dict[str, str | None] = {name: ecu.facts.get(name) for name in FACTS}
    return {"address": f"0x{ecu.address:02X}", **facts, "name": ecu.name, "seen_at": rfc3339(ecu.seen_at_us)}


def _link_json(vehicle: pb.Vehicle) -> dict[str, Any]:
    problem = None
    if vehicle.HasField("link_problem"):
        problem = {"reason": vehicle.link_problem.reason, "since": rfc3339(vehicle.link_problem.since_us)}
    return {"kind": vehicle.link.kind, "address": vehicle.link.address or None, "problem": problem}


def _service(request: Request) -> Any:
    return app_state(request).vehicles


def _link(link: SessionLink | SovdLink | DoipLink) -> pb.Link:
    return pb.Link(kind=link.kind, address=getattr(link, "address", ""))


def actor(user: CurrentUser) -> Actor:
    return Actor(user_id=user.user_id, username=user.username, role=user.role)
