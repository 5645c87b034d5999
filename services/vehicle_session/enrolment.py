"""How a vehicle comes by its certificate: with a one-time code at first, then with the one that it has."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import grpc

from service_kit.backoff import Backoff
from service_kit.errors import InvalidInput, ServiceError, Unavailable
from service_kit.grpc_errors import from_rpc_error
from service_kit.logging import get_logger
from sovd_protos.identity.v1 import identity_pb2_grpc
from sovd_protos.identity.v1.identity_pb2 import EnrolRequest, IssuedCertificate, RenewRequest
from vehicle_session.connections import Connections
from vehicle_session.identity_folder import HeldCertificate, IdentityFolder

_log = get_logger(__name__)

# Where connectors take enrolments, unless they are told otherwise.
ENROLMENT_PORT = 50053

_ANSWER_SECONDS = 20.0
_LONGEST_RETRY_SECONDS = 60.0
# A machine that was asleep, or whose clock was set, is to notice.
_LONGEST_SLEEP_SECONDS = 3600.0


class VehicleIdentity:
    """Gives a vehicle's connections their certificate. `connector` and `enrolment` are host:port; the latter is at the
    same host, where it is not given."""

    def __init__(self, folder: IdentityFolder, connector: str, enrolment: str = "") -> None:
        self.connections = Connections(connector)
        self._folder = folder
        self._enrolment = enrolment or f"{connector.rpartition(':')[0]}:{ENROLMENT_PORT}"

    async def prepare(self, code: str, *, anew: bool = False) -> None:
        """Enrols a vehicle that has no certificate, and `anew` one whose certificate came by another code: it may have
        ended or been revoked. Waits for a connector that is away. Raises ServiceError."""
        held = self._folder.certificate()
        if held is None or (anew and code and not held.came_by(code)):
            if not code:
                raise InvalidInput(
                    "NOT_ENROLLED", f"{self._folder.vin} has no certificate; `sovd vehicles enrol` makes a code"
                )
            await self._enrol(code)
        self.connections.present(self._folder.credentials())

    async def keep_renewed(self, renewed: Callable[[], object]) -> None:
        """For as long as the vehicle runs; `renewed` is called when connections should be opened anew."""
        backoff = Backoff(limit=_LONGEST_RETRY_SECONDS)
        while (certificate := self._folder.certificate()) is not None:
            if (wait := certificate.seconds_until_renewal) > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP_SECONDS))
                continue
            try:
                await self._renew()
            except (ServiceError, OSError) as error:
                code, reason = _told(certificate, error)
                _log.warning("certificate_not_renewed", vin=self._folder.vin, code=code, reason=reason)
                await asyncio.sleep(_retry_in(certificate, error, backoff))
                continue
            backoff.reset()
            renewed()
            # Should this machine's clock be ahead, the next one would seem due at once.
            await asyncio.sleep(certificate.life_seconds / 10)

    async def _enrol(self, code: str) -> None:
        request = EnrolRequest(vin=self._folder.vin, code=code, certificate_request=await self._folder.request())
        connections, backoff = Connections(self._enrolment), Backoff(limit=_LONGEST_RETRY_SECONDS)
        connections.present(self._folder.anonymous_credentials())
        while True:
            try:
                issued = await _asked(
                    connections,
                    lambda channel: identity_pb2_grpc.EnrolmentServiceStub(channel).Enrol(
                        request, timeout=_ANSWER_SECONDS
                    ),
                )
                break
            except Unavailable:
                await asyncio.sleep(backoff.pause())
        self._folder.accept(issued, code)
        _log.info("vehicle_enrolled", vin=self._folder.vin)

    async def _renew(self) -> None:
        request = RenewRequest(certificate_request=await self._folder.request())
        issued = await _asked(
            self.connections,
            lambda channel: identity_pb2_grpc.RenewalServiceStub(channel).Renew(request, timeout=_ANSWER_SECONDS),
        )
        self._folder.accept(issued)
        self.connections.present(self._folder.credentials())
        _log.info("certificate_renewed", vin=self._folder.vin)


async def _asked(
    connections: Connections, ask: Callable[[grpc.aio.Channel], Awaitable[IssuedCertificate]]
) -> IssuedCertificate:
    """Raises ServiceError; what has to do with the connection stands in the log."""
    channel = connections.open()
    try:
        return await ask(channel)
    except grpc.aio.AioRpcError as error:
        failure = from_rpc_error(error, "connector")
        if isinstance(failure, Unavailable):
            connections.report_failure(error.details() or failure.message)
        raise failure from None
    finally:
        await connections.release(channel)


def _told(certificate: HeldCertificate, error: ServiceError | OSError) -> tuple[str, str]:
    """Code and reason. With a certificate that has ended there is no TLS connection, as if the connector were away."""
    if isinstance(error, OSError):
        return "IDENTITY_NOT_WRITTEN", str(error)
    if isinstance(error, Unavailable) and certificate.has_ended:
        ended_at = datetime.fromtimestamp(certificate.ends_at, UTC).isoformat(timespec="seconds")
        return "CERTIFICATE_EXPIRED", f"by this machine's clock it ended at {ended_at}; enrol the vehicle anew"
    return error.code, error.message


def _retry_in(certificate: HeldCertificate, error: Exception, backoff: Backoff) -> float:
    """Slowly where only somebody can help: once it has ended; and where this machine cannot make or keep a new one, so
    that not too many are signed in vain."""
    slowly = certificate.has_ended or isinstance(error, OSError)
    return _LONGEST_SLEEP_SECONDS if slowly else backoff.pause()
