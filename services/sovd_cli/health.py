"""Whether a service on this machine is ready. Asked every few seconds in each container: little is loaded for it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from sovd_cli.errors import CliError, ExitCode

if TYPE_CHECKING:
    import grpc

DEFAULT_SECONDS = 3.0
# A service's port: the variable that moves it, and where it is else.
_GRPC = {"command-service": ("GRPC_PORT", "50051"), "vehicle-connector": ("HEALTH_PORT", "50054")}
_HTTP = {
    "gateway": ("HTTP_PORT", "8000", "/health/ready"),
    "vehicle-simulator": ("METRICS_PORT", "0", "/metrics"),
    # It runs: that its vehicle or its connector is away no restart puts right.
    "vehicle-agent": ("METRICS_PORT", "0", "/metrics"),
}


def ask(service: str, timeout: float = DEFAULT_SECONDS) -> None:
    """Returns when it is ready, within `timeout` seconds; raises CliError with UNREACHABLE when it is not.

    It is where the service's own settings in the environment put it.
    """
    if service in _GRPC:
        # The connector tells it at a port without TLS: no vehicle asks there.
        _ask_grpc(_port(*_GRPC[service]), timeout, plain_text=service == "vehicle-connector")
    else:
        variable, default, path = _HTTP[service]
        _ask_http(f"http://127.0.0.1:{_port(variable, default)}{path}", timeout)


def ask_own() -> int:
    """For the service that SOVD_SERVICE names, as an image does; the exit code."""
    try:
        ask(os.environ["SOVD_SERVICE"])
    except CliError as error:
        sys.stderr.write(f"sovd: {error.message}\n")
        return error.exit_code
    return 0


def _port(variable: str, default: str) -> int:
    value = os.environ.get(variable) or default
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise CliError(f"{variable}: must be a port number, 1 to 65535, to be asked there")
    return int(value)


def _ask_http(url: str, timeout: float) -> None:
    try:
        urlopen(url, timeout=timeout).close()  # noqa: S310  http, made above
    except HTTPError as error:
        with error:
            raise _not_ready(f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}") from error
    except OSError as error:
        raise _not_ready(f"{url} does not answer: {error}") from error


def _ask_grpc(port: int, timeout: float, *, plain_text: bool) -> None:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with _open_channel(port, plain_text) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise _not_ready(f"port {port} does not answer: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise _not_ready(f"port {port} answers {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


def _open_channel(port: int, plain_text: bool) -> "grpc.Channel":
    import grpc

    from service_kit.grpc_tls import GrpcTls

    files = {name: os.environ.get(f"GRPC_TLS_{name.upper()}") for name in ("cert_file", "key_file", "ca_file")}
    # With TLS its certificate has to name localhost as well.
    target, options = f"localhost:{port}", [("grpc.enable_http_proxy", 0)]
    if plain_text or not any(files.values()):
        return grpc.insecure_channel(target, options)
    tls = GrpcTls(**{name: Path(file) if file else None for name, file in files.items()})
    return grpc.secure_channel(target, tls.channel_credentials(), options)


def _not_ready(reason: str) -> CliError:
    return CliError(f"not ready: {reason}", ExitCode.UNREACHABLE)
