"""Who a vehicle is: the one-time code that enrols it, and the certificates that it then has."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service_kit.errors import Forbidden, ServiceError

# 160 bits: nobody guesses that, so its plain hash may be stored.
_CODE_BYTES = 20
_GROUP = 4
MOST_WRONG_TRIES = 5


class CertificateStatus(StrEnum):
    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


def new_code() -> str:
    """Base32 in groups of four, so that it can be read out and typed."""
    code = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def hash_of(code: str) -> str:
    """SHA-256 (hex), whatever dashes, spaces and case it was typed with."""
    return hashlib.sha256("".join(code.upper().replace("-", "").split()).encode(errors="replace")).hexdigest()


@dataclass(slots=True)
class EnrolmentCode:
    """A vehicle has at most one. `serial` is that of the certificate it was used for, "" until then."""

    vehicle_id: str
    code_hash: str
    created_at: datetime
    expires_at: datetime
    wrong_tries: int = 0
    serial: str = ""

    def is_code(self, code: str) -> bool:
        return hmac.compare_digest(self.code_hash, hash_of(code))

    def refusal(self, now: datetime) -> ServiceError | None:
        """Of the right code. Only who knows it is told more than that it is not good."""
        if self.wrong_tries >= MOST_WRONG_TRIES:
            return Forbidden(
                "ENROLMENT_CODE_VOID", "the code is void: too many wrong ones were tried; ask for a new one"
            )
        if self.expires_at <= now:
            return Forbidden("ENROLMENT_CODE_EXPIRED", f"the code expired at {self.expires_at.isoformat()}")
        return None


def wrong_code() -> ServiceError:
    return Forbidden("ENROLMENT_CODE_WRONG", "the code is not one for this VIN")


@dataclass(frozen=True, slots=True)
class VehicleCertificate:
    """`chain` is PEM, the vehicle's own first; `fingerprint` is the SHA-256 (hex) of its DER."""

    serial: str
    vehicle_id: str
    fingerprint: str
    issued_at: datetime
    not_after: datetime
    chain: str
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> CertificateStatus:
        if self.revoked_at is not None:
            return CertificateStatus.REVOKED
        return CertificateStatus.EXPIRED if self.not_after <= now else CertificateStatus.VALID


def certificate_refusal(certificate: VehicleCertificate | None, vehicle_id: str, now: datetime) -> ServiceError | None:
    """Why a vehicle that presents it is not let in."""
    if certificate is None or certificate.vehicle_id != vehicle_id:
        return Forbidden("CERTIFICATE_UNKNOWN", "the certificate was not issued to this vehicle; enrol it")
    status = certificate.status(now)
    if status is CertificateStatus.VALID:
        return None
    return Forbidden(f"CERTIFICATE_{status.upper()}", f"the certificate {certificate.serial} is {status}; enrol anew")
