"""How a vehicle keeps its certificate: what it says when it cannot be renewed."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.unit.vehicle_session.test_identity_folder import DAY, VIN
from vehicle_session.enrolment import VehicleIdentity
from vehicle_session.identity_folder import IdentityFolder

NOBODY = "127.0.0.1:1"


async def not_renewed(folder: Path, capsys: pytest.CaptureFixture[str], *, days_left: float) -> str:
    """What the vehicle says of it, and it goes on trying."""
    ends_at = time.time() + days_left * DAY
    held = {"vin": VIN, "issued_at": ends_at - 90 * DAY, "ends_at": ends_at}
    (folder / "identity.pem").write_text(json.dumps(held))
    keeping = asyncio.create_task(VehicleIdentity(IdentityFolder(folder, VIN), NOBODY).keep_renewed(lambda: None))
    said: list[str] = []

    def complained() -> bool:
        said.extend(capsys.readouterr().out.splitlines())
        return keeping.done() or any("certificate_not_renewed" in line for line in said)

    try:
        await until(complained)
        assert not keeping.done()
        return next(line for line in said if "certificate_not_renewed" in line)
    finally:
        keeping.cancel()


async def test_a_disk_that_refuses_the_new_key_leaves_the_vehicle_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its certificate is good for another month."""
    (tmp_path / "next.key").mkdir()
    assert str(tmp_path / "next.key") in await not_renewed(tmp_path, capsys, days_left=29)


async def test_one_that_has_ended_is_told_from_a_connector_that_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its connector ends the TLS handshake, which looks the same."""
    assert "CONNECTOR_UNAVAILABLE" in await not_renewed(tmp_path, capsys, days_left=29)
    said = await not_renewed(tmp_path, capsys, days_left=-1)
    assert "CERTIFICATE_EXPIRED" in said
    assert "enrol" in said
