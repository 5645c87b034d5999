"""How a vehicle comes by its certificates, and keeps them."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.unit.vehicle_session.test_identity_folder import DAY, VIN
from vehicle_session.enrolment import VehicleIdentity
from vehicle_session.identity_folder import IdentityFolder


async def test_a_renewal_that_fails_on_its_own_machine_leaves_the_vehicle_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its certificate is good for another month."""
    now = time.time()
    held = {"vin": VIN, "issued_at": now - 61 * DAY, "ends_at": now + 29 * DAY}
    (tmp_path / "identity.pem").write_text(json.dumps(held))
    (tmp_path / "next.key").mkdir()  # as unwritable as on a full disk
    keeping = asyncio.create_task(VehicleIdentity(IdentityFolder(tmp_path, VIN), "h:1").keep_renewed(lambda: None))
    said = ""

    def complained() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return keeping.done() or "certificate_not_renewed" in said

    await until(complained)
    assert not keeping.done()
    assert str(tmp_path / "next.key") in said
    keeping.cancel()
