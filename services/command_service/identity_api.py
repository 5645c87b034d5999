"""Who vehicles are: what connectors forward for them, and what administrators ask for."""

from datetime import datetime
from typing import TYPE_CHECKING

from command_service.domain.identity import VehicleCertificate
from command_service.grpc_api import page_limit, require_uuid
from command_service.grpc_mapping import actor_from_proto, to_microseconds
from command_service.use_cases.vehicle_identities import VehicleIdentities
from sovd_protos.identity.v1 import identity_pb2 as pb
from sovd_protos.identity.v1 import identity_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context


class IdentityApi(identity_pb2_grpc.IdentityServiceServicer):
    def __init__(self, identities: VehicleIdentities) -> None:
        self._identities = identities

    async def Enrol(self, request: pb.EnrolRequest, context: "Context") -> pb.IssuedCertificate:  # noqa: N802
        return _issued(await self._identities.enrol(request.vin, request.code, request.certificate_request))

    async def Renew(self, request: pb.RenewForVehicleRequest, context: "Context") -> pb.IssuedCertificate:  # noqa: N802
        presented = request.presented
        return _issued(await self._identities.renew(presented.vin, presented.fingerprint, request.certificate_request))

    async def ReportRefused(  # noqa: N802
        self, request: pb.ReportRefusedRequest, context: "Context"
    ) -> pb.ReportRefusedResponse:
        presented = request.presented
        await self._identities.report_refused(presented.vin, presented.fingerprint, request.claimed_vin)
        return pb.ReportRefusedResponse()

    async def CreateEnrolmentCode(  # noqa: N802
        self, request: pb.CreateEnrolmentCodeRequest, context: "Context"
    ) -> pb.EnrolmentCode:
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        new = await self._identities.create_code(actor_from_proto(request.actor), vehicle_id)
        return pb.EnrolmentCode(code=new.code, vin=new.vin, expires_at_us=to_microseconds(new.expires_at))

    async def ListCertificates(  # noqa: N802
        self, request: pb.ListCertificatesRequest, context: "Context"
    ) -> pb.ListCertificatesResponse:
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        found, next_cursor, now = await self._identities.certificates(
            vehicle_id, page_limit(request.limit), request.cursor
        )
        return pb.ListCertificatesResponse(
            certificates=[_certificate(one, now) for one in found], next_cursor=next_cursor
        )

    async def RevokeCertificates(  # noqa: N802
        self, request: pb.RevokeCertificatesRequest, context: "Context"
    ) -> pb.RevokeCertificatesResponse:
        vehicle_id = require_uuid("vehicle_id", request.vehicle_id)
        await self._identities.revoke(actor_from_proto(request.actor), vehicle_id, request.serial)
        return pb.RevokeCertificatesResponse()


def _issued(certificate: VehicleCertificate) -> pb.IssuedCertificate:
    return pb.IssuedCertificate(
        certificate_chain=certificate.chain,
        not_before_us=to_microseconds(certificate.issued_at),
        not_after_us=to_microseconds(certificate.not_after),
    )


def _certificate(certificate: VehicleCertificate, now: datetime) -> pb.Certificate:
    return pb.Certificate(
        serial=certificate.serial,
        issued_at_us=to_microseconds(certificate.issued_at),
        not_after_us=to_microseconds(certificate.not_after),
        revoked_at_us=to_microseconds(certificate.revoked_at),
        fingerprint=certificate.fingerprint,
        status=certificate.status(now),
    )
