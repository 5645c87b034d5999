"""sovd health, which the health checks of containers run."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sovd_cli.__main__ import main
from tests.support.local_servers import free_port
from tests.unit.sovd_cli.conftest import Sovd

VARIABLES = ("HTTP_PORT", "GRPC_PORT", "HEALTH_PORT", "METRICS_PORT", "SOVD_SERVICE", "GRPC_TLS_CA_FILE")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked_right = self.path in ("/health/ready", "/metrics")
        self.send_response(200 if asked_right and not getattr(self.server, "unhealthy", False) else 503)
        self.end_headers()
        self.wfile.write(b'{"status":"unhealthy"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def serving() -> Iterator[tuple[int, health.HealthServicer]]:
    server, servicer = grpc.server(ThreadPoolExecutor(2)), health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, servicer
    server.stop(None).wait()


@pytest.mark.parametrize(("service", "variable"), [("gateway", "HTTP_PORT"), ("vehicle-simulator", "METRICS_PORT")])
def test_over_http(
    stranger: Sovd, http: HTTPServer, service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(http.server_port))
    ran = stranger("health", service)
    assert (ran.code, ran.err) == (0, f"{service}: ready\n")
    http.unhealthy = True  # type: ignore[attr-defined]
    ran = stranger("health", service)
    assert ran.code == 8
    assert "not ready: " in ran.err
    assert "answers 503" in ran.err


@pytest.mark.parametrize(
    ("service", "variable"), [("command-service", "GRPC_PORT"), ("vehicle-connector", "HEALTH_PORT")]
)
def test_over_grpc(
    stranger: Sovd,
    serving: tuple[int, health.HealthServicer],
    service: str,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, servicer = serving
    monkeypatch.setenv(variable, str(port))
    monkeypatch.setenv("SOVD_SERVICE", service)  # as its image says
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    assert stranger("health").code == 0
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    ran = stranger("health")
    assert ran.code == 8
    assert "answers NOT_SERVING" in ran.err


def test_a_connector_tells_it_without_tls(
    stranger: Sovd, serving: tuple[int, health.HealthServicer], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, servicer = serving
    monkeypatch.setenv("HEALTH_PORT", str(port))
    monkeypatch.setenv("GRPC_TLS_CA_FILE", "/is/not/read")
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    assert stranger("health", "vehicle-connector").code == 0


def test_in_a_container_nothing_else_is_loaded(
    http: HTTPServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sovd", "health"])
    monkeypatch.setenv("SOVD_SERVICE", "gateway")
    monkeypatch.setenv("HTTP_PORT", str(http.server_port))
    monkeypatch.setitem(sys.modules, "sovd_cli.program", None)
    for unhealthy, code in ((False, 0), (True, 8)):
        http.unhealthy = unhealthy  # type: ignore[attr-defined]
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    assert capsys.readouterr().err.startswith("sovd: not ready: ")


@pytest.mark.parametrize(
    ("service", "variable"),
    [("gateway", "HTTP_PORT"), ("command-service", "GRPC_PORT"), ("vehicle-connector", "HEALTH_PORT")],
)
def test_where_nobody_listens(stranger: Sovd, service: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(free_port()))
    ran = stranger("health", service, "--timeout", "1")
    assert (ran.code, ran.err.count("\n")) == (8, 1)
    assert "does not answer" in ran.err


def test_a_simulator_without_metrics_cannot_be_asked(stranger: Sovd) -> None:
    ran = stranger("health", "vehicle-simulator")
    assert (ran.code, ran.err) == (2, "sovd: METRICS_PORT: must be a port number, 1 to 65535, to be asked there\n")
