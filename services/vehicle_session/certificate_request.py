"""`python -m vehicle_session.certificate_request VIN KEY_FILE` prints a certificate request (PKCS #10, PEM).

The key is made where there is none. A process of its own: what it loads would be a quarter of an agent's memory, which
needs it once in two months.
"""

import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vehicle_session.private_file import write_private


def certificate_request(vin: str, key_file: Path) -> str:
    if not key_file.exists():
        write_private(key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, vin)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


if __name__ == "__main__":
    sys.stdout.write(certificate_request(sys.argv[1], Path(sys.argv[2])))
