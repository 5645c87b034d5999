"""The vehicles' authority: what it signs, what it refuses, and files that are no authority."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from command_service.domain.vehicle import LinkKind, Vehicle
from command_service.vehicle_ca import VehicleCa
from service_kit.errors import InvalidInput
from tests.support.certificates import CertificateFiles, certificate_request

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VEHICLE = Vehicle(
    "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10", "WDD1234567890ABCD", "M", "E", 2024, LinkKind.SESSION, "", NOW
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return CertificateFiles.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def ca(files: CertificateFiles) -> VehicleCa:
    return VehicleCa.load(files.vehicle_ca, files.vehicle_ca_key)


def test_what_is_issued(ca: VehicleCa, files: CertificateFiles) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    issued = ca.issue(certificate_request(VEHICLE.vin, key), VEHICLE, NOW, days=90)
    [certificate] = x509.load_pem_x509_certificates(issued.chain.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files.vehicle_ca.read_bytes()))
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == f"CN={VEHICLE.vin}"
    assert (issued.serial, issued.vehicle_id) == (f"{certificate.serial_number:x}", VEHICLE.vehicle_id)
    assert issued.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == issued.not_after == NOW + timedelta(days=90)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    urns = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert urns == [f"urn:sovd:vehicle:{VEHICLE.vehicle_id}"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert ca.is_same_key(certificate_request(VEHICLE.vin, key), issued)
    assert not ca.is_same_key(certificate_request(VEHICLE.vin), issued)


def test_an_authority_below_another_is_named_in_the_chain(tmp_path: Path) -> None:
    authority, cert, key = trustme.CA().create_child_ca(), tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(cert)
    authority.private_key_pem.write_to_path(key)
    issued = VehicleCa.load(cert, key).issue(certificate_request(VEHICLE.vin), VEHICLE, datetime.now(UTC), days=1)
    certificate, issuer = x509.load_pem_x509_certificates(issued.chain.encode())
    certificate.verify_directly_issued_by(issuer)
    assert issuer == x509.load_pem_x509_certificate(cert.read_bytes())


def test_nothing_outlives_the_authority(ca: VehicleCa, files: CertificateFiles) -> None:
    end = x509.load_pem_x509_certificate(files.vehicle_ca.read_bytes()).not_valid_after_utc
    assert ca.issue(certificate_request(VEHICLE.vin), VEHICLE, end - timedelta(days=1), days=90).not_after == end
    with pytest.raises(InvalidInput, match="the authority's own certificate has ended"):
        ca.issue(certificate_request(VEHICLE.vin), VEHICLE, end, days=90)


def _request_der() -> bytes:
    return x509.load_pem_x509_csr(certificate_request(VEHICLE.vin).encode()).public_bytes(serialization.Encoding.DER)


def _forged() -> str:
    """The last byte of the signature is another one."""
    der = bytearray(_request_der())
    der[-1] ^= 1
    return _request_pem(bytes(der))


def _on_a_curve_nobody_knows() -> str:
    secp256r1 = bytes.fromhex("06082a8648ce3d030107")  # RFC 5480, 2.1.1.1
    return _request_pem(_request_der().replace(secp256r1, secp256r1[:-1] + b"\x7f"))


def _request_pem(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("request_pem", "reason"),
    [
        ("", "PKCS #10"),
        ("ü\0", "PKCS #10"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "PKCS #10"),
        ("x" * 10_000, "may have 8192 bytes"),
        (_on_a_curve_nobody_knows(), "P-256, P-384 or RSA"),
        (_forged(), "its signature is not that of its key"),
        (certificate_request("WDD0987654321ZYXW"), "its common name must be WDD1234567890ABCD"),
        (certificate_request(VEHICLE.vin, ec.generate_private_key(ec.SECP256K1())), "P-256, P-384 or RSA"),
        (certificate_request(VEHICLE.vin, rsa.generate_private_key(65537, 1024)), "P-256, P-384 or RSA"),
    ],
    ids=[
        "nothing",
        "no-text",
        "no-der",
        "too-long",
        "unknown-curve",
        "forged",
        "other-vin",
        "other-curve",
        "short-key",
    ],
)
def test_what_is_not_signed(ca: VehicleCa, request_pem: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        ca.issue(request_pem, VEHICLE, NOW, days=90)
    assert caught.value.code == "BAD_CERTIFICATE_REQUEST"


def test_files_that_are_no_authority(files: CertificateFiles, tmp_path: Path) -> None:
    other = tmp_path / "key.pem"
    other.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for cert_file, key_file, reason in [
        (tmp_path / "none.pem", files.vehicle_ca_key, r"none\.pem: No such file"),
        (files.vehicle_ca_key, files.vehicle_ca, "both PEM"),
        (files.vehicle_ca, other, "one for ECDSA or RSA"),
        (files.vehicle_ca, files.server_key, "not the certificate's"),
        (files.server_cert, files.server_key, "not that of an authority"),
    ]:
        with pytest.raises(ValueError, match=reason):
            VehicleCa.load(cert_file, key_file)
