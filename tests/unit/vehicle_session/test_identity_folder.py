"""A vehicle's key and certificate as files: what is kept, what is refused, and when it is renewed."""

import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from command_service.domain.vehicle import LinkKind, Vehicle
from command_service.vehicle_ca import VehicleCa
from service_kit.errors import Conflict, InvalidInput
from sovd_protos.identity.v1.identity_pb2 import IssuedCertificate
from tests.support.certificates import CertificateFiles, certificate_request
from vehicle_session.identity_folder import HeldCertificate, IdentityFolder

VIN = "WDD1234567890ABCD"
DAY = 86_400


def issued_for(directory: Path, request: str) -> IssuedCertificate:
    files, now = CertificateFiles.make(directory), datetime.now(UTC)
    vehicle = Vehicle("0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10", VIN, "M", "E", 2024, LinkKind.SESSION, "", now)
    certificate = VehicleCa.load(files.vehicle_ca, files.vehicle_ca_key).issue(request, vehicle, now, days=90)
    return IssuedCertificate(
        certificate_chain=certificate.chain,
        not_before_us=round(certificate.issued_at.timestamp() * 1e6),
        not_after_us=round(certificate.not_after.timestamp() * 1e6),
    )


async def test_what_was_asked_for_is_kept_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    folder = IdentityFolder(tmp_path / "identity", VIN)
    assert folder.certificate() is None
    first, again = await folder.request(), await folder.request()
    (tmp_path / "ca").mkdir()
    folder.accept(issued_for(tmp_path / "ca", again))
    held = folder.certificate()
    assert held is not None
    assert held.life_seconds == pytest.approx(90 * DAY, abs=2)
    assert held.seconds_until_renewal == pytest.approx(60 * DAY, abs=5)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "identity").iterdir()}
    assert modes == {"identity.pem": 0o600}
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
    folder.credentials()
    # Asked again, before it was accepted, it was for the same key; the next one is for a new one.
    assert await folder.request() not in (first, again)


async def test_a_certificate_for_another_key_changes_nothing(tmp_path: Path) -> None:
    folder = IdentityFolder(tmp_path / "identity", VIN)
    await folder.request()
    with pytest.raises(Conflict, match="not one for the vehicle's key"):
        folder.accept(issued_for(tmp_path, certificate_request(VIN)))
    assert folder.certificate() is None
    assert [file.name for file in (tmp_path / "identity").iterdir()] == ["next.key"]


async def test_the_folder_of_another_vehicle_is_not_used(tmp_path: Path) -> None:
    folder = IdentityFolder(tmp_path / "identity", VIN)
    folder.accept(issued_for(tmp_path, await folder.request()))
    with pytest.raises(Conflict, match=f"is for {VIN}, not for WDD0987654321ZYXW"):
        IdentityFolder(tmp_path / "identity", "WDD0987654321ZYXW").certificate()


@pytest.mark.parametrize("content", ["", "nonsense", "{}", '{"vin": "A"}', "[1]"])
def test_what_is_no_certificate_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.pem").write_text(content)
    with pytest.raises(InvalidInput, match=r"identity\.pem holds no certificate; enrol anew"):
        IdentityFolder(tmp_path, VIN).certificate()


async def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "next.key").write_text("nonsense")
    with pytest.raises(OSError, match=r"next\.key: no certificate request"):
        await IdentityFolder(tmp_path, VIN).request()


def test_when_a_certificate_is_due() -> None:
    now = time.time()
    assert HeldCertificate(VIN, now - 70 * DAY, now + 20 * DAY).seconds_until_renewal == 0
    assert not HeldCertificate(VIN, now - 70 * DAY, now + 20 * DAY).has_ended
    assert HeldCertificate(VIN, now - 91 * DAY, now - DAY).has_ended
    assert HeldCertificate(VIN, now - 30 * DAY, now + 60 * DAY).seconds_until_renewal == pytest.approx(30 * DAY, abs=5)
