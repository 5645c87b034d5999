"""Who the server is and who the client is: certificates both ways, bearer tokens, locks that tell clients apart."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.sovd.bench import address_of, bench_of, linked, served
from vehicle_links.dialled import Unreachable
from vehicle_links.sovd.link import SovdDialler, SovdRules


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(ca: trustme.CA) -> ssl.SSLContext:
    """Demands a client certificate of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def rules(ca: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    client = ca.issue_cert("connector.example")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca_file", "cert_file", "key_file")}
    ca.cert_pem.write_to_path(files["ca_file"])
    client.private_key_pem.write_to_path(files["key_file"])
    client.cert_chain_pems[0].write_to_path(files["cert_file"])
    return files


async def test_certificates_both_ways(server_tls: ssl.SSLContext, rules: dict[str, Any]) -> None:
    async with served(tls=server_tls) as server, linked(address_of(server, "https"), **rules) as bench:
        assert (await bench.run("ReadDTC")).responses[-1]["count"] == 2
        assert (await bench.run("ClearDTC")).outcome == ("completed", "")


async def test_without_a_client_certificate_there_is_no_vehicle(
    server_tls: ssl.SSLContext, rules: dict[str, Any]
) -> None:
    async with served(tls=server_tls) as server:
        with pytest.raises(Unreachable):
            async with linked(address_of(server, "https"), ca_file=rules["ca_file"]):
                pass


async def test_a_server_of_an_unknown_authority_is_not_spoken_to(server_tls: ssl.SSLContext) -> None:
    async with served(tls=server_tls) as server:
        with pytest.raises(Unreachable, match=r"[Cc]ertificate|CERTIFICATE"):
            async with linked(address_of(server, "https")):
                pass


async def test_a_bearer_token_opens_and_its_owner_is_told_to_others() -> None:
    tokens = {"token-of-anna": "anna", "token-of-ben": "ben"}
    async with served(tokens=tokens) as server:
        with pytest.raises(Unreachable, match="401"):
            async with bench_of(server):
                pass
        async with bench_of(server, bearer_token="token-of-ben") as bench:
            assert (await bench.run("ReadDTC")).outcome == ("completed", "")
            lock = server.vehicles[next(iter(server.vehicles))].component("ecm").acquire("token-of-anna", "anna", 60)
            refused = await bench.run("ClearDTC")
            assert refused.outcome == ("failed", "VEHICLE_LOCKED")
            assert refused.finished is not None
            assert "held by anna" in refused.finished.message
            assert (await bench.run("ReadDTC")).responses[-1]["count"] == 2  # reading is free
            lock.expires_at = 0.0
            assert (await bench.run("ClearDTC")).outcome == ("completed", "")


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="SOVD_CA_FILE"):
        SovdDialler(SovdRules(ca_file=tmp_path / "absent"))
    (tmp_path / "empty").touch()
    with pytest.raises(OSError, match="SOVD_CERT_FILE"):
        SovdDialler(SovdRules(cert_file=tmp_path / "empty", key_file=tmp_path / "empty"))
