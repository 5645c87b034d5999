"""sovd health: what the health check of a container runs, inside it."""

import os
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError
from urllib.request import urlopen

import typer

from sovd_cli.commands.services import Service
from sovd_cli.errors import CliError, ExitCode
from sovd_cli.output import say

# A service's port: the variable that moves it, and where it is else.
_GRPC = {Service.COMMAND_SERVICE: ("GRPC_PORT", "50051"), Service.VEHICLE_CONNECTOR: ("SESSION_PORT", "50052")}
_HTTP = {
    Service.GATEWAY: ("HTTP_PORT", "8000", "/health/ready"),
    Service.VEHICLE_SIMULATOR: ("METRICS_PORT", "0", "/metrics"),
}


def health(
    service: Annotated[Service, typer.Argument(envvar="SOVD_SERVICE", help="Which one to ask.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for its answer.")] = 3,
) -> None:
    """Ask the service on this machine whether it is ready; exit code 8 when it is not.

    It is where the service's own settings in the environment put it.
    """
    if service in _GRPC:
        _ask_grpc(_port(*_GRPC[service]), timeout)
    else:
        variable, default, path = _HTTP[service]
        _ask_http(f"http://127.0.0.1:{_port(variable, default)}{path}", timeout)
    say(f"{service}: ready")


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


def _ask_grpc(port: int, timeout: float) -> None:
    # Here: the rest of the program does without gRPC and would wait for it to be loaded.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from service_kit.grpc_tls import GrpcTls

    files = {name: os.environ.get(f"GRPC_TLS_{name.upper()}") for name in ("cert_file", "key_file", "ca_file")}
    # Its certificate has to name localhost as well.
    target, options = f"localhost:{port}", [("grpc.enable_http_proxy", 0)]
    if any(files.values()):
        tls = GrpcTls(**{name: Path(file) if file else None for name, file in files.items()})
        channel = grpc.secure_channel(target, tls.channel_credentials(), options)
    else:
        channel = grpc.insecure_channel(target, options)
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise _not_ready(f"port {port} does not answer: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise _not_ready(f"port {port} answers {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


def _not_ready(reason: str) -> CliError:
    return CliError(f"not ready: {reason}", ExitCode.UNREACHABLE)
