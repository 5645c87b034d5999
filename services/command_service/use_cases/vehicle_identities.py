"""Enrolment with a one-time code, renewal and revocation of vehicles' certificates."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from command_service.domain.identity import (
    MOST_WRONG_TRIES,
    EnrolmentCode,
    VehicleCertificate,
    certificate_refusal,
    hash_of,
    new_code,
    wrong_code,
)
from command_service.domain.vehicle import LinkKind, Vehicle
from command_service.use_cases.actor import Actor, require_admin
from command_service.use_cases.aftermath import Aftermath, Announcer, DispatchWaker
from command_service.use_cases.audit_entries import about_vehicle
from command_service.use_cases.cancel_command import ConnectorControl
from command_service.use_cases.cursors import decode_time_and_text, encode_cursor
from command_service.use_cases.manage_vehicles import locked, unknown_vehicle
from command_service.use_cases.ports import AuditFilter, Storage, UnitOfWork
from command_service.use_cases.vehicle_sessions import lose_sessions
from service_kit.errors import Conflict, NotFound, ServiceError

_REFUSED = "vehicle.identity_refused"
# A vehicle that says another's VIN again and again is told of so often, not each time.
_TOLD_AGAIN_AFTER = timedelta(minutes=1)
_UNREGISTERED = "unregistered"


class CertificateAuthority(Protocol):
    def issue(self, request: str, vehicle: Vehicle, now: datetime, days: float) -> VehicleCertificate:
        """For a certificate request (PEM) of that vehicle. Raises InvalidInput BAD_CERTIFICATE_REQUEST."""

    def is_same_key(self, request: str, certificate: VehicleCertificate) -> bool:
        """Raises InvalidInput BAD_CERTIFICATE_REQUEST."""


@dataclass(frozen=True, slots=True)
class IdentityRules:
    certificate_days: float = 90
    code_hours: float = 24


@dataclass(frozen=True, slots=True)
class NewCode:
    """The only time that anybody sees it."""

    code: str
    vin: str
    expires_at: datetime


class VehicleIdentities:
    """`authority` is None where no vehicle has a certificate."""

    def __init__(
        self,
        storage: Storage,
        authority: CertificateAuthority | None,
        rules: IdentityRules,
        control: ConnectorControl,
        announcer: Announcer,
        waker: DispatchWaker,
    ) -> None:
        self._storage = storage
        self._authority = authority
        self._rules = rules
        self._control = control
        self._announcer = announcer
        self._waker = waker

    async def create_code(self, actor: Actor, vehicle_id: str) -> NewCode:
        """In the place of an earlier one. Raises NotFound, Conflict."""
        require_admin(actor)
        self._require_authority()
        code = new_code()
        async with self._storage.transaction() as uow:
            vehicle, now = await locked(uow, vehicle_id)
            if vehicle.link_kind is not LinkKind.SESSION:
                raise Conflict("LINK_MISMATCH", f"the vehicle does not dial in: it has a {vehicle.link_kind} link")
            expires_at = now + timedelta(hours=self._rules.code_hours)
            await uow.identities.put_code(EnrolmentCode(vehicle_id, hash_of(code), now, expires_at))
            details = {"vin": vehicle.vin, "expires_at": expires_at.isoformat()}
            await uow.audit.append([about_vehicle("vehicle.enrolment_code_created", vehicle_id, now, actor, **details)])
            await uow.commit()
        return NewCode(code, vehicle.vin, expires_at)

    async def enrol(self, vin: str, code: str, request: str) -> VehicleCertificate:
        """Raises Forbidden with what is wrong with the code, InvalidInput for the request."""
        authority = self._require_authority()
        async with self._storage.transaction() as uow:
            vehicle = await _locked_by_vin(uow, vin)
            stored = await uow.identities.code(vehicle.vehicle_id) if vehicle else None
            if vehicle is None or stored is None:
                raise wrong_code()
            now = await uow.clock()
            if not stored.is_code(code):
                await self._count_wrong_try(uow, stored, vehicle, now)
                raise wrong_code()
            if (refusal := stored.refusal(now)) is not None:
                raise refusal
            if stored.serial:
                return await self._issued_before(uow, stored, authority, request, now)
            certificate = await self._issue(uow, authority, "vehicle.enrolled", vehicle, request, now)
            stored.serial = certificate.serial
            await uow.identities.put_code(stored)
            await uow.commit()
        return certificate

    async def renew(self, vin: str, fingerprint: str, request: str) -> VehicleCertificate:
        """A new certificate for the vehicle that presented a good one; that one stays good until it ends."""
        authority = self._require_authority()
        async with self._storage.transaction() as uow:
            vehicle = await _locked_by_vin(uow, vin)
            if vehicle is None:
                raise NotFound("UNKNOWN_VEHICLE", f"no vehicle with VIN {vin} is registered")
            now = await uow.clock()
            presented = (await uow.identities.by_fingerprint([fingerprint])).get(fingerprint)
            if (refusal := certificate_refusal(presented, vehicle.vehicle_id, now)) is not None:
                raise refusal
            certificate = await self._issue(uow, authority, "vehicle.certificate_renewed", vehicle, request, now)
            await uow.commit()
        return certificate

    async def report_refused(self, presented_vin: str, fingerprint: str, claimed_vin: str) -> None:
        """A vehicle presented its certificate and said another's VIN. Told of the former, which has proved who it is,
        and never of the latter."""
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            now = await uow.clock()
            certificate = (await uow.identities.by_fingerprint([fingerprint])).get(fingerprint)
            claimed = (await uow.vehicles.by_vin([claimed_vin])).get(claimed_vin)
            actor = Actor(certificate.vehicle_id if certificate else "", presented_vin, "vehicle")
            subject = claimed.vehicle_id if claimed else _UNREGISTERED
            told = AuditFilter(_REFUSED, actor.user_id or None, subject, now - _TOLD_AGAIN_AFTER)
            if await uow.audit.page(told, 1, None):
                return
            details = {"certificate_vin": presented_vin, "claimed_vin": claimed_vin, "fingerprint": fingerprint}
            await uow.audit.append([about_vehicle(_REFUSED, subject, now, actor, outcome="refused", **details)])
            reason = f"it says that it is {claimed.vin if claimed else 'one that is not registered'}"
            await _turn_away(uow, actor.user_id, reason, aftermath)
            await uow.commit()
        aftermath.tell()

    async def certificates(
        self, vehicle_id: str, limit: int, cursor: str
    ) -> tuple[list[VehicleCertificate], str, datetime]:
        """Newest first, the next cursor ("" at the end), and what time it is. Raises NotFound."""
        before = decode_time_and_text(cursor)
        async with self._storage.reading() as uow:
            if vehicle_id not in await uow.vehicles.get([vehicle_id]):
                raise unknown_vehicle(vehicle_id)
            found = await uow.identities.page(vehicle_id, limit + 1, before)
            now = await uow.clock()
        page = found[:limit]
        if len(found) <= limit:
            return page, "", now
        return page, encode_cursor(int(page[-1].issued_at.timestamp() * 1_000_000 + 0.5), page[-1].serial), now

    async def revoke(self, actor: Actor, vehicle_id: str, serial: str = "") -> None:
        """One certificate, or all and the code that was not used yet. The vehicle's session ends; with a certificate
        that is still good it may come back. Raises NotFound."""
        require_admin(actor)
        aftermath = Aftermath(self._announcer, self._waker)
        async with self._storage.transaction() as uow:
            vehicle, now = await locked(uow, vehicle_id)
            if serial and not await _has(uow, vehicle_id, serial):
                raise NotFound("UNKNOWN_CERTIFICATE", f"vehicle {vehicle.vin} has no certificate {serial}")
            revoked = await uow.identities.revoke(vehicle_id, serial, now)
            if not serial:
                await uow.identities.delete_code(vehicle_id)
            what = "vehicle.certificates_revoked"
            await uow.audit.append([about_vehicle(what, vehicle_id, now, actor, vin=vehicle.vin, serials=revoked)])
            ended = await _end_session(uow, vehicle, aftermath) if revoked else None
            await uow.commit()
        aftermath.tell()
        if ended is not None:
            await self._control.session_superseded(*ended)

    def _require_authority(self) -> CertificateAuthority:
        if self._authority is None:
            raise Conflict(
                "VEHICLE_CA_NOT_CONFIGURED",
                "vehicles have no certificates here: VEHICLE_CA_CERT_FILE and VEHICLE_CA_KEY_FILE of the command"
                " service are not set",
            )
        return self._authority

    async def _issue(
        self,
        uow: UnitOfWork,
        authority: CertificateAuthority,
        action: str,
        vehicle: Vehicle,
        request: str,
        now: datetime,
    ) -> VehicleCertificate:
        certificate = authority.issue(request, vehicle, now, self._rules.certificate_days)
        await uow.identities.add(certificate)
        actor = Actor(vehicle.vehicle_id, vehicle.vin, "vehicle")
        details = {
            "vin": vehicle.vin,
            "serial": certificate.serial,
            "fingerprint": certificate.fingerprint,
            "not_after": certificate.not_after.isoformat(),
        }
        await uow.audit.append([about_vehicle(action, vehicle.vehicle_id, now, actor, **details)])
        return certificate

    async def _count_wrong_try(self, uow: UnitOfWork, code: EnrolmentCode, vehicle: Vehicle, now: datetime) -> None:
        if code.wrong_tries >= MOST_WRONG_TRIES:
            return
        code.wrong_tries += 1
        await uow.identities.put_code(code)
        entry = about_vehicle(
            "vehicle.enrolment_refused",
            vehicle.vehicle_id,
            now,
            Actor("", vehicle.vin, "vehicle"),
            outcome="refused",
            vin=vehicle.vin,
            tries_left=MOST_WRONG_TRIES - code.wrong_tries,
        )
        await uow.audit.append([entry])
        await uow.commit()

    async def _issued_before(
        self, uow: UnitOfWork, code: EnrolmentCode, authority: CertificateAuthority, request: str, now: datetime
    ) -> VehicleCertificate:
        """The answer was lost on its way: who has the same key gets the same certificate."""
        certificate = await uow.identities.by_serial(code.serial)
        if certificate is None or not authority.is_same_key(request, certificate):
            raise _used()
        refusal = certificate_refusal(certificate, code.vehicle_id, now)
        if refusal is not None:
            raise refusal
        return certificate


def _used() -> ServiceError:
    return Conflict("ENROLMENT_CODE_USED", "the code was used already; ask for a new one")


async def _locked_by_vin(uow: UnitOfWork, vin: str) -> Vehicle | None:
    found = (await uow.vehicles.by_vin([vin])).get(vin)
    return None if found is None else (await uow.vehicles.lock([found.vehicle_id])).get(found.vehicle_id)


async def _turn_away(uow: UnitOfWork, vehicle_id: str, reason: str, aftermath: Aftermath) -> None:
    vehicle, now = (await uow.vehicles.lock([vehicle_id])).get(vehicle_id), await uow.clock()
    if vehicle is not None and vehicle.not_reached(f"turned away: {reason}", now):
        await uow.vehicles.update([vehicle])
        aftermath.vehicle_changed(vehicle, now)


async def _has(uow: UnitOfWork, vehicle_id: str, serial: str) -> bool:
    certificate = await uow.identities.by_serial(serial)
    return certificate is not None and certificate.vehicle_id == vehicle_id


async def _end_session(uow: UnitOfWork, vehicle: Vehicle, aftermath: Aftermath) -> tuple[str, str, int] | None:
    """Whom to tell: connector, vehicle and epoch; None when the vehicle is not there. The epoch moves on in any case: a
    connector that was only cut off may still have the session, and is not to take it up again."""
    connector_id, epoch = vehicle.connector_id, vehicle.session_epoch
    if vehicle.link_kind is not LinkKind.SESSION:
        return None
    await lose_sessions(uow, {vehicle.vehicle_id: vehicle}, {vehicle.vehicle_id: epoch}, aftermath)
    vehicle.session_epoch += 1
    await uow.vehicles.update([vehicle])
    return None if connector_id is None else (connector_id, vehicle.vehicle_id, epoch)
