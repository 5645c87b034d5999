"""Certificates for tests with real TLS: an authority for servers, and one for vehicles."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files. The connector's certificate names localhost and 127.0.0.1."""

    server_ca: Path
    server_cert: Path
    server_key: Path
    vehicle_ca: Path
    vehicle_ca_key: Path

    @classmethod
    def make(cls, directory: Path, *names: str) -> "CertificateFiles":
        """`names`: hosts that the connector is known by as well."""
        files = cls(*(directory / f"{name}.pem" for name in cls.__dataclass_fields__))
        servers, vehicles = trustme.CA(), trustme.CA()
        server = servers.issue_cert("localhost", "127.0.0.1", *names)
        servers.cert_pem.write_to_path(files.server_ca)
        server.cert_chain_pems[0].write_to_path(files.server_cert)
        server.private_key_pem.write_to_path(files.server_key)
        vehicles.cert_pem.write_to_path(files.vehicle_ca)
        vehicles.private_key_pem.write_to_path(files.vehicle_ca_key)
        files.vehicle_ca_key.chmod(0o600)
        return files


def certificate_request(vin: str, key: CertificateIssuerPrivateKeyTypes | None = None) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, vin)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
