"""TLS between services: with a CA it is mutual, each side shows a certificate of that CA."""

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class GrpcTls:
    """PEM files. Read when a server or a channel is made: a rotated certificate is taken up at the next start."""

    cert_file: Path | None
    key_file: Path | None
    ca_file: Path | None

    def server_credentials(self, *, client_certificates: bool = True) -> grpc.ServerCredentials:
        """`client_certificates=False` for a port whose callers prove who they are in another way (vehicles)."""
        if self.cert_file is None or self.key_file is None:
            raise FileNotFoundError("GRPC_TLS_CERT_FILE, GRPC_TLS_KEY_FILE: a server needs both")
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        ca = _read(self.ca_file) if client_certificates else None
        return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(_read(self.ca_file), _read(self.key_file), _read(self.cert_file))


def _read(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()
