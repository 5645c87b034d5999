"""Who vehicles are: codes that enrol them, and their certificates."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import ApiAnswer, ApiModel, Cursor, Limit, Uuid, rfc3339
from gateway.app_state import app_state
from gateway.auth import CurrentUser, require_admin
from gateway.problem_details import problems
from gateway.routes.vehicles import actor
from sovd_protos.identity.v1 import identity_pb2 as pb

router = APIRouter(prefix="/api/v1/vehicles/{vehicle_id}", tags=["vehicles"])

Admin = Annotated[CurrentUser, Depends(require_admin)]
Serial = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{1,40}$"),
    Path(description="As the list gives it: hexadecimal.", examples=["5d1a0c3be2f4471899aa01d2c3b4e5f607182930"]),
]

_CODE_EXAMPLE: dict[str, Any] = {
    "code": "MZXW-6YTB-OI2F-QWER-TYUI-OPAS-DFGH-JKLZ",
    "vin": "WDD1234567890ABCD",
    "expires_at": "2026-02-01T12:00:00.000000Z",
}
_CERTIFICATE_EXAMPLE: dict[str, Any] = {
    "serial": "5d1a0c3be2f4471899aa01d2c3b4e5f607182930",
    "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "status": "valid",
    "issued_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-05-01T12:00:00.000000Z",
    "revoked_at": None,
}


class EnrolmentCode(ApiAnswer):
    code: str = Field(description="Shown this once, good for one certificate.")
    vin: str
    expires_at: str


class Certificate(ApiAnswer):
    serial: str
    fingerprint: str = Field(description="SHA-256 of its DER.")
    status: Literal["valid", "expired", "revoked"]
    issued_at: str
    expires_at: str
    revoked_at: str | None


class CertificateList(ApiAnswer):
    items: list[Certificate]
    next_cursor: str | None


class CertificateQuery(ApiModel):
    limit: Limit = 50
    cursor: Cursor = ""


@router.post(
    "/enrolment-codes",
    status_code=201,
    responses=answers(EnrolmentCode, _CODE_EXAMPLE, status=201, description="Created") | problems(403, 404, 409),
)
async def create_enrolment_code(request: Request, vehicle_id: Uuid, admin: Admin) -> Response:
    """A one-time code with which the vehicle gets its first certificate, in the place of an earlier one (admin)."""
    wanted = pb.CreateEnrolmentCodeRequest(vehicle_id=vehicle_id, actor=actor(admin))
    new = await ask(app_state(request).identities.CreateEnrolmentCode(wanted))
    return json_answer({"code": new.code, "vin": new.vin, "expires_at": rfc3339(new.expires_at_us)}, 201)


@router.get(
    "/certificates",
    responses=answers(CertificateList, {"items": [_CERTIFICATE_EXAMPLE], "next_cursor": None}) | problems(403, 404),
)
async def list_certificates(
    request: Request, vehicle_id: Uuid, query: Annotated[CertificateQuery, Query()], _: Admin
) -> Response:
    """The vehicle's certificates, newest first (admin)."""
    wanted = pb.ListCertificatesRequest(vehicle_id=vehicle_id, limit=query.limit, cursor=query.cursor)
    found = await ask(app_state(request).identities.ListCertificates(wanted))
    return json_answer(
        {"items": [_certificate_json(one) for one in found.certificates], "next_cursor": found.next_cursor or None}
    )


@router.delete("/certificates", status_code=204, responses=problems(403, 404))
async def revoke_certificates(request: Request, vehicle_id: Uuid, admin: Admin) -> Response:
    """Revoke all certificates of the vehicle, and a code that was not used (admin). Its session ends at once."""
    wanted = pb.RevokeCertificatesRequest(vehicle_id=vehicle_id, actor=actor(admin))
    await ask(app_state(request).identities.RevokeCertificates(wanted))
    return Response(status_code=204)


@router.delete("/certificates/{serial}", status_code=204, responses=problems(403, 404))
async def revoke_certificate(request: Request, vehicle_id: Uuid, serial: Serial, admin: Admin) -> Response:
    """Revoke one certificate (admin). The vehicle's session ends; with another certificate it may come back."""
    wanted = pb.RevokeCertificatesRequest(vehicle_id=vehicle_id, serial=serial, actor=actor(admin))
    await ask(app_state(request).identities.RevokeCertificates(wanted))
    return Response(status_code=204)


def _certificate_json(certificate: pb.Certificate) -> dict[str, Any]:
    return {
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "status": certificate.status,
        "issued_at": rfc3339(certificate.issued_at_us),
        "expires_at": rfc3339(certificate.not_after_us),
        "revoked_at": rfc3339(certificate.revoked_at_us),
    }
