"""What makes a vehicle who it is: its key and its certificate, in a folder that only it can read."""

import asyncio
import hashlib
import json
import ssl
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from service_kit.errors import Conflict, InvalidInput
from sovd_protos.identity.v1.identity_pb2 import IssuedCertificate
from vehicle_session.private_file import write_private

_KEY_BEGINS, _CERTIFICATE_BEGINS = "-----BEGIN PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """What a vehicle has to know of its certificate. Times in seconds since the Unix epoch. `enrolled_with`: SHA-256
    (hex) of the code that it came by, or that the one came by that it renews; "" where that was not kept."""

    vin: str
    issued_at: float
    ends_at: float
    enrolled_with: str = ""

    @property
    def seconds_until_renewal(self) -> float:
        """At two thirds of its life; 0 when that is over."""
        return max(0.0, self.issued_at + self.life_seconds * 2 / 3 - _now())

    @property
    def life_seconds(self) -> float:
        return self.ends_at - self.issued_at

    @property
    def has_ended(self) -> bool:
        return self.ends_at < _now()

    def came_by(self, code: str) -> bool:
        return self.enrolled_with in ("", _hash_of(code))


class IdentityFolder:
    """`identity.pem` has the key and, behind it, the certificate chain: one file, so that they always fit; before them,
    as JSON, what there is to know of the certificate. `next.key` is a key for which a certificate was asked and has not
    come yet. `ca.pem` is whom the vehicle trusts."""

    def __init__(self, folder: Path, vin: str) -> None:
        self.vin = vin
        self._identity = folder / "identity.pem"
        self._next_key = folder / "next.key"
        self._ca = folder / "ca.pem"

    def trust(self, ca: bytes) -> None:
        """Connectors are known by these authorities (PEM) from now on; without them, by the system's."""
        write_private(self._ca, ca)

    def certificate(self) -> HeldCertificate | None:
        """Raises Conflict for the certificate of another vehicle, InvalidInput for what is none."""
        if not self._identity.exists():
            return None
        try:
            held = HeldCertificate(**json.loads(self._identity.read_text().partition(_KEY_BEGINS)[0]))
        except (ValueError, TypeError) as error:
            raise InvalidInput("BAD_IDENTITY", f"{self._identity} holds no certificate; enrol anew") from error
        if held.vin != self.vin:
            raise Conflict("BAD_IDENTITY", f"{self._identity} is for {held.vin}, not for {self.vin}")
        return held

    async def request(self) -> str:
        """For a certificate (PKCS #10, PEM). Asked again before one was accepted, it is for the same key."""
        program = (sys.executable, "-m", "vehicle_session.certificate_request")
        process = await asyncio.create_subprocess_exec(*program, self.vin, str(self._next_key), stdout=subprocess.PIPE)
        request, _ = await process.communicate()
        if process.returncode:
            raise OSError(f"{self._next_key}: no certificate request could be made for it")
        return request.decode()

    def accept(self, issued: IssuedCertificate, code: str = "") -> None:
        """The certificate that was asked for, with a code or to renew the one that is held. Raises Conflict for one for
        another key."""
        before = self.certificate()
        came_by = _hash_of(code) if code or before is None else before.enrolled_with
        held = HeldCertificate(self.vin, issued.not_before_us / 1e6, issued.not_after_us / 1e6, came_by)
        content = f"{json.dumps(asdict(held))}\n{self._next_key.read_text()}{issued.certificate_chain}".encode()
        candidate = self._identity.with_suffix(".candidate")
        write_private(candidate, content)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(candidate)
        except ssl.SSLError as error:
            raise Conflict("BAD_IDENTITY", "the certificate that came is not one for the vehicle's key") from error
        finally:
            candidate.unlink()
        write_private(self._identity, content)
        self._next_key.unlink()

    def anonymous_credentials(self) -> grpc.ChannelCredentials:
        """For a connection on which the vehicle presents nothing."""
        return grpc.ssl_channel_credentials(self._trusted())

    def credentials(self) -> grpc.ChannelCredentials:
        """For a connection on which the vehicle presents its certificate."""
        key, begin, chain = self._identity.read_text().partition(_CERTIFICATE_BEGINS)
        return grpc.ssl_channel_credentials(self._trusted(), key.encode(), (begin + chain).encode())

    def _trusted(self) -> bytes | None:
        return self._ca.read_bytes() if self._ca.exists() else None


def _hash_of(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _now() -> float:
    return datetime.now(UTC).timestamp()
