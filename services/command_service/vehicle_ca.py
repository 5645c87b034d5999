"""The certificate authority of the vehicles (X.509, RFC 5280): a certificate and its key, from two files."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from command_service.domain.identity import VehicleCertificate
from command_service.domain.vehicle import Vehicle
from service_kit.errors import InvalidInput

_MOST_REQUEST_BYTES = 8 * 1024
# A vehicle's clock may be behind. Of a short life a tenth: it is renewed by how much of its life is over.
_CLOCK_SKEW = timedelta(minutes=5)
_OUR_KEYS = "its key must be one of P-256, P-384 or RSA of 2048 to 4096 bits"
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS = range(2048, 4097)
_CaKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class VehicleCa:
    """use_cases.vehicle_identities.CertificateAuthority."""

    def __init__(self, certificate: x509.Certificate, key: _CaKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def load(cls, cert_file: Path, key_file: Path) -> Self:
        """From PEM files. Raises ValueError, which says what is wrong with them."""
        try:
            certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except OSError as error:
            raise ValueError(f"{error.filename}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise ValueError("a certificate and its key without a password are needed, both PEM") from error
        if not isinstance(key, _CaKey):
            raise ValueError("the key must be one for ECDSA or RSA")
        if key.public_key() != certificate.public_key():
            raise ValueError("the key is not the certificate's")
        if not _is_ca(certificate):
            raise ValueError("the certificate is not that of an authority (basicConstraints: CA)")
        return cls(certificate, key)

    def issue(self, request: str, vehicle: Vehicle, now: datetime, days: float) -> VehicleCertificate:
        asked = _parse(request)
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if [name.value for name in names] != [vehicle.vin]:
            raise _bad_request(f"its common name must be {vehicle.vin}")
        _check_key(asked)
        not_after = min(now + timedelta(days=days), self._certificate.not_valid_after_utc)
        if not_after <= now:
            raise _bad_request("the authority's own certificate has ended; the operator must renew it")
        skew = min(_CLOCK_SKEW, (not_after - now) / 10)
        certificate = self._sign(asked, vehicle, now - skew, not_after)
        return VehicleCertificate(
            serial=f"{certificate.serial_number:x}",
            vehicle_id=vehicle.vehicle_id,
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            issued_at=now,
            not_after=certificate.not_valid_after_utc,
            chain=_pem(certificate) + self._beyond_the_vehicles_own(),
        )

    def _beyond_the_vehicles_own(self) -> str:
        """A root is left out (RFC 8446, 4.4.2): who verifies has it, and would keep a copy for each connection."""
        is_root = self._certificate.issuer == self._certificate.subject
        return "" if is_root else _pem(self._certificate)

    def is_same_key(self, request: str, certificate: VehicleCertificate) -> bool:
        issued = x509.load_pem_x509_certificate(certificate.chain.encode())
        return _parse(request).public_key() == issued.public_key()

    def _sign(
        self, asked: x509.CertificateSigningRequest, vehicle: Vehicle, not_before: datetime, not_after: datetime
    ) -> x509.Certificate:
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        urn = x509.UniformResourceIdentifier(f"urn:sovd:vehicle:{vehicle.vehicle_id}")
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, vehicle.vin)]))
            .issuer_name(self._certificate.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([urn]), critical=False)
            .add_extension(authority_key, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _parse(request: str) -> x509.CertificateSigningRequest:
    if len(request) > _MOST_REQUEST_BYTES:
        raise _bad_request(f"it may have {_MOST_REQUEST_BYTES} bytes")
    try:
        asked = x509.load_pem_x509_csr(request.encode())
        asked.public_key()
        is_signed = asked.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
        raise _bad_request("it must be a PKCS #10 certificate request in PEM") from None
    except UnsupportedAlgorithm:
        raise _bad_request(_OUR_KEYS) from None
    if not is_signed:
        raise _bad_request("its signature is not that of its key")
    return asked


def _check_key(asked: x509.CertificateSigningRequest) -> None:
    key = asked.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return
    raise _bad_request(_OUR_KEYS)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _bad_request(reason: str) -> InvalidInput:
    return InvalidInput("BAD_CERTIFICATE_REQUEST", f"the certificate request is not good: {reason}")
