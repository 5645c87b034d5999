"""Connections that fail, break without a word, or are encrypted."""

from pathlib import Path

import pytest
import trustme

from service_kit.grpc_tls import GrpcTls
from service_kit.logging import configure_logging
from tests.support.local_servers import free_port
from tests.support.proxy import TcpProxy
from tests.support.waiting import until
from tests.unit.vehicle_simulator.conftest import running_fleet
from tests.unit.vehicle_simulator.fake_connector import FakeConnector
from vehicle_simulator.fleet import demo_fleet


async def test_a_fleet_may_start_before_its_connector(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("vehicle_simulator", log_format="json")
    connector = FakeConnector(f"127.0.0.1:{free_port()}", listen=False)
    lines = ""

    def failures() -> bool:
        nonlocal lines
        lines += capsys.readouterr().err
        return "connector_unreachable" in lines

    async with running_fleet(connector, specs=demo_fleet()) as fleet:
        await until(failures)
        await connector.start()
        await fleet.wait_connected()
        failures()
    await connector.stop()
    assert lines.count("connector_unreachable") == 1
    assert "127.0.0.1" in lines


async def test_resumes_after_the_network_was_cut(connector: FakeConnector) -> None:
    host, port = connector.address.split(":")
    proxy = TcpProxy(host, int(port))
    proxy.start()
    try:
        async with running_fleet(connector, address=f"127.0.0.1:{proxy.port}"):
            session = await connector.session()
            session.execute("ReadDTC", credit=3)
            await session.until(lambda seen: len(seen.updates) == 3)
            proxy.stop()
            await session.end()
            connector.resume_from(2)
            proxy.start()
            again = await connector.session()
            await again.finished()
            assert again.numbers == [2, 3, 4]
            assert session.responses[1:] == again.responses[:2]
    finally:
        proxy.close()


async def test_vehicles_check_the_certificate_of_the_connector(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = GrpcTls(tmp_path / "cert.pem", tmp_path / "key.pem", None)
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    connector = FakeConnector(tls=files)
    await connector.start()
    async with running_fleet(connector, tls=GrpcTls(None, None, tmp_path / "ca.pem")):
        session = await connector.session()
        session.execute("ReadDTC")
        await session.finished()
    await connector.stop()
