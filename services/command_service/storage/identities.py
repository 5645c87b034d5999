"""Enrolment codes, one per vehicle at most, and the certificates that were issued."""

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from command_service.domain.identity import EnrolmentCode, VehicleCertificate
from command_service.storage.session import (
    InsertRows,
    Session,
    at_most,
    columns_of,
    identifiers,
    is_identifier,
    storable,
)
from command_service.storage.tables import enrolment_codes, vehicle_certificates
from service_kit.database import UtcDateTime, any_of

_CODE = [field.name for field in fields(EnrolmentCode)]
_CERTIFICATE = [field.name for field in fields(VehicleCertificate)]
_certificate_columns = columns_of(vehicle_certificates, _CERTIFICATE)

_of_vehicle = enrolment_codes.c.vehicle_id == bindparam("vehicle_id", type_=enrolment_codes.c.vehicle_id.type)
_code = select(*columns_of(enrolment_codes, _CODE)).where(_of_vehicle)
_delete_code = delete(enrolment_codes).where(_of_vehicle)
_add = InsertRows(vehicle_certificates, _certificate_columns)
_certificates = select(*_certificate_columns)
_by_fingerprint = _certificates.where(any_of(vehicle_certificates.c.fingerprint, "fingerprints"))
_by_serial = _certificates.where(any_of(vehicle_certificates.c.serial, "serials"))
_newest_first = (vehicle_certificates.c.issued_at.desc(), vehicle_certificates.c.serial.desc())
_one = bindparam("one", type_=vehicle_certificates.c.serial.type)
_revoke = (
    update(vehicle_certificates)
    .where(
        vehicle_certificates.c.vehicle_id == bindparam("vehicle", type_=vehicle_certificates.c.vehicle_id.type),
        or_(_one == "", vehicle_certificates.c.serial == _one),
        vehicle_certificates.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now", type_=UtcDateTime()))
    .returning(vehicle_certificates.c.serial)
)


def _upsert(dialect_insert: Any) -> Any:
    insert = dialect_insert(enrolment_codes).values(
        {name: bindparam(name, type_=enrolment_codes.c[name].type) for name in _CODE}
    )
    replaced = {name: insert.excluded[name] for name in _CODE if name != "vehicle_id"}
    return insert.on_conflict_do_update(index_elements=[enrolment_codes.c.vehicle_id], set_=replaced)


_put_postgresql = _upsert(postgresql.insert)
_put_sqlite = _upsert(sqlite.insert)


class SqlIdentityRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def code(self, vehicle_id: str) -> EnrolmentCode | None:
        found = await self._session.rows(_code, {"vehicle_id": vehicle_id}) if is_identifier(vehicle_id) else []
        return EnrolmentCode(*found[0]) if found else None

    async def put_code(self, code: EnrolmentCode) -> None:
        statement = _put_sqlite if self._session.sqlite else _put_postgresql
        await self._session.execute(statement, {name: getattr(code, name) for name in _CODE})

    async def delete_code(self, vehicle_id: str) -> None:
        await self._session.execute(_delete_code, {"vehicle_id": vehicle_id})

    async def add(self, certificate: VehicleCertificate) -> None:
        await _add(self._session, [tuple(getattr(certificate, name) for name in _CERTIFICATE)])

    async def by_fingerprint(self, fingerprints: Collection[str]) -> dict[str, VehicleCertificate]:
        wanted = sorted({storable(fingerprint) for fingerprint in fingerprints})
        rows = await self._session.rows(_by_fingerprint, {"fingerprints": wanted}) if wanted else []
        return {certificate.fingerprint: certificate for certificate in (VehicleCertificate(*row) for row in rows)}

    async def by_serial(self, serial: str) -> VehicleCertificate | None:
        rows = await self._session.rows(_by_serial, {"serials": [storable(serial)]})
        return VehicleCertificate(*rows[0]) if rows else None

    async def page(self, vehicle_id: str, limit: int, before: tuple[datetime, str] | None) -> list[VehicleCertificate]:
        query = _certificates.where(any_of(vehicle_certificates.c.vehicle_id, "ids"))
        query = query.order_by(*_newest_first).limit(at_most(limit))
        if before:
            at, serial = before
            key = tuple_(vehicle_certificates.c.issued_at, vehicle_certificates.c.serial)
            place = tuple_(
                literal(at, vehicle_certificates.c.issued_at.type),
                literal(storable(serial), vehicle_certificates.c.serial.type),
            )
            query = query.where(key < place)
        return [VehicleCertificate(*row) for row in await self._session.rows(query, {"ids": identifiers([vehicle_id])})]

    async def revoke(self, vehicle_id: str, serial: str, now: datetime) -> list[str]:
        parameters = {"vehicle": vehicle_id, "one": storable(serial), "now": now}
        return sorted(await self._session.column(_revoke, parameters))
