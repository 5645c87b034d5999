"""Who dialled in, by the certificate of its TLS handshake; and new certificates, which the command service signs."""

import hashlib
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc

from service_kit.errors import NotAuthenticated
from service_kit.grpc_errors import from_rpc_error
from sovd_protos.identity.v1 import identity_pb2 as wire
from sovd_protos.identity.v1 import identity_pb2_grpc

if TYPE_CHECKING:
    from service_kit.grpc_errors import Context

Answer = TypeVar("Answer")

RENEWAL_SERVICE = "sovd_protos.identity.v1.RenewalService"
ENROLMENT_SERVICE = "sovd_protos.identity.v1.EnrolmentService"

_LONGEST_VIN = 32
# Of a call that a vehicle waits for.
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """What the TLS handshake has proved: the VIN that the certificate names, and its SHA-256 (hex)."""

    vin: str
    fingerprint: str

    def to_proto(self) -> wire.PresentedCertificate:
        return wire.PresentedCertificate(vin=self.vin, fingerprint=self.fingerprint)


def presented_certificate(context: "Context") -> PresentedCertificate | None:
    """None where the connection has no client certificate, or one that names nobody."""
    facts = context.auth_context()
    pem, names = list(facts.get("x509_pem_cert", ())), list(facts.get("x509_common_name", ()))
    if len(pem) != 1 or len(names) != 1:
        return None
    der = ssl.PEM_cert_to_DER_cert(pem[0].decode())
    return PresentedCertificate(names[0].decode(errors="replace"), hashlib.sha256(der).hexdigest())


class IdentityService:
    """The command service's, as connectors use it. Raises ServiceError."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = identity_pb2_grpc.IdentityServiceStub(channel)

    async def enrol(self, request: wire.EnrolRequest) -> wire.IssuedCertificate:
        return await _forwarded(self._stub.Enrol(request, timeout=_SECONDS))

    async def renew(self, presented: PresentedCertificate, certificate_request: str) -> wire.IssuedCertificate:
        request = wire.RenewForVehicleRequest(presented=presented.to_proto(), certificate_request=certificate_request)
        return await _forwarded(self._stub.Renew(request, timeout=_SECONDS))

    async def report_refused(self, presented: PresentedCertificate, claimed_vin: str) -> None:
        request = wire.ReportRefusedRequest(presented=presented.to_proto(), claimed_vin=claimed_vin[:_LONGEST_VIN])
        await _forwarded(self._stub.ReportRefused(request, timeout=_SECONDS))


async def _forwarded(call: Awaitable[Answer]) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, "command_service") from None


class EnrolmentServer(identity_pb2_grpc.EnrolmentServiceServicer):
    def __init__(self, identities: IdentityService) -> None:
        self._identities = identities

    async def Enrol(self, request: wire.EnrolRequest, context: "Context") -> wire.IssuedCertificate:  # noqa: N802
        return await self._identities.enrol(request)


class RenewalServer(identity_pb2_grpc.RenewalServiceServicer):
    def __init__(self, identities: IdentityService) -> None:
        self._identities = identities

    async def Renew(self, request: wire.RenewRequest, context: "Context") -> wire.IssuedCertificate:  # noqa: N802
        presented = presented_certificate(context)
        if presented is None:
            raise NotAuthenticated("CERTIFICATE_UNKNOWN", "a certificate is renewed for whoever presents it")
        return await self._identities.renew(presented, request.certificate_request)
