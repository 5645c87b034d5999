"""Codes and certificates of vehicles, on both databases; what vehicles do with them: integration/vehicle_identity."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from command_service.domain.identity import CertificateStatus
from command_service.storage import SqlStorage
from command_service.use_cases.ports import AuditFilter
from command_service.use_cases.vehicle_identities import IdentityRules, VehicleIdentities
from command_service.use_cases.vehicle_sessions import Hello, SessionOpened
from command_service.vehicle_ca import VehicleCa
from service_kit.errors import Conflict, Forbidden, InvalidInput, NotFound
from tests.integration.command_service.rows import new_id
from tests.integration.command_service.world import ADMIN, ENGINEER, VINS, World
from tests.support.certificates import CertificateFiles, certificate_request

VIN = VINS[0]
Made = Callable[..., VehicleIdentities]


@pytest.fixture
def made(world: World, tmp_path: Path) -> Made:
    files = CertificateFiles.make(tmp_path)
    authority = VehicleCa.load(files.vehicle_ca, files.vehicle_ca_key)

    def make(**rules: float) -> VehicleIdentities:
        heard = world.heard
        return VehicleIdentities(world.storage, authority, IdentityRules(**rules), heard, heard, heard)

    return make


@pytest.fixture
def identities(made: Made) -> VehicleIdentities:
    return made()


async def _enrolled(identities: VehicleIdentities, vehicle_id: str) -> str:
    """The fingerprint of a new certificate."""
    new = await identities.create_code(ADMIN, vehicle_id)
    return (await identities.enrol(new.vin, new.code, certificate_request(new.vin))).fingerprint


async def _session(world: World, fingerprint: str) -> object:
    await world.sessions.register_connector("c1", "here:50052", [], [])
    (answer,) = await world.sessions.open([Hello("c1", VIN, [], fingerprint=fingerprint)])
    return answer


async def _actions(storage: SqlStorage, subject_id: str) -> list[str]:
    async with storage.reading() as uow:
        return [entry.action for entry in await uow.audit.page(AuditFilter(subject_id=subject_id), 100, None)]


async def test_from_the_code_to_the_session(world: World, identities: VehicleIdentities) -> None:
    vehicle_id = await world.vehicle()
    new = await identities.create_code(ADMIN, vehicle_id)
    assert new.vin == VIN
    typed = new.code.replace("-", " ").lower()
    certificate = await identities.enrol(VIN, typed, certificate_request(VIN))
    assert certificate.not_after - certificate.issued_at == pytest.approx(timedelta(days=90), abs=timedelta(seconds=1))
    assert isinstance(await _session(world, certificate.fingerprint), SessionOpened)
    found, cursor, now = await identities.certificates(vehicle_id, 10, "")
    assert (found, cursor) == ([certificate], "")
    assert now - certificate.issued_at < timedelta(minutes=1)
    assert await _actions(world.storage, vehicle_id) == [
        "vehicle.enrolled",
        "vehicle.enrolment_code_created",
        "vehicle.created",
    ]


async def test_a_new_code_takes_the_place_of_the_old_one(world: World, identities: VehicleIdentities) -> None:
    vehicle_id = await world.vehicle()
    old = await identities.create_code(ADMIN, vehicle_id)
    new = await identities.create_code(ADMIN, vehicle_id)
    with pytest.raises(Forbidden, match="not one for this VIN"):
        await identities.enrol(VIN, old.code, certificate_request(VIN))
    await identities.enrol(VIN, new.code, certificate_request(VIN))


async def test_a_request_that_is_no_good_leaves_the_code_good(world: World, identities: VehicleIdentities) -> None:
    new = await identities.create_code(ADMIN, await world.vehicle())
    with pytest.raises(InvalidInput, match="PKCS #10"):
        await identities.enrol(VIN, new.code, "nonsense")
    await identities.enrol(VIN, new.code, certificate_request(VIN))


async def test_who_may_and_for_what(world: World, identities: VehicleIdentities) -> None:
    vehicle_id = await world.vehicle()
    with pytest.raises(Forbidden):
        await identities.create_code(ENGINEER, vehicle_id)
    with pytest.raises(Forbidden):
        await identities.revoke(ENGINEER, vehicle_id)
    for unknown in (new_id(), "nonsense"):
        with pytest.raises(NotFound):
            await identities.create_code(ADMIN, unknown)
        with pytest.raises(NotFound):
            await identities.revoke(ADMIN, unknown)
        with pytest.raises(NotFound):
            await identities.certificates(unknown, 10, "")
    dialled = await world.vehicles.create(ADMIN, VINS[1], "M", "E", 2024, "doip", "192.0.2.1")
    with pytest.raises(Conflict, match="has a doip link"):
        await identities.create_code(ADMIN, dialled.vehicle_id)


async def test_pages_are_newest_first_and_each_is_listed_once(world: World, made: Made) -> None:
    identities = made(certificate_days=1)
    vehicle_id = await world.vehicle()
    fingerprints = [await _enrolled(identities, vehicle_id) for _ in range(3)]
    found, cursor = [], ""
    for _ in range(3):
        (certificate,), cursor, now = await identities.certificates(vehicle_id, 1, cursor)
        found.append(certificate)
    assert cursor == ""
    assert [one.fingerprint for one in found] == fingerprints[::-1]
    assert {one.status(now) for one in found} == {CertificateStatus.VALID}
    assert {one.status(now + timedelta(days=2)) for one in found} == {CertificateStatus.EXPIRED}
    with pytest.raises(InvalidInput):
        await identities.certificates(vehicle_id, 1, "nonsense")


async def test_a_session_ends_with_its_certificate_and_is_not_taken_up_again(
    world: World, identities: VehicleIdentities
) -> None:
    vehicle_id = await world.vehicle()
    fingerprint = await _enrolled(identities, vehicle_id)
    session = await _session(world, fingerprint)
    assert isinstance(session, SessionOpened)
    presented = [(vehicle_id, session.session_epoch)]
    assert await world.sessions.seen(presented) == []
    await identities.revoke(ADMIN, vehicle_id)
    assert world.heard.superseded == [("c1", vehicle_id, session.session_epoch)]
    assert world.heard.vehicles[-1] == (vehicle_id, "offline")
    assert await world.sessions.seen(presented) == presented
    assert (await world.sessions.register_connector("c1", "here", presented, []))[1] == presented
    assert (await world.vehicles.get(vehicle_id)).connection_status == "offline"
    answer = await _session(world, fingerprint)
    assert isinstance(answer, Forbidden)
    assert answer.code == "CERTIFICATE_REVOKED"
    await identities.revoke(ADMIN, vehicle_id)  # there is nothing left to end
    assert len(world.heard.superseded) == 1


async def test_a_session_whose_connector_was_cut_off_is_not_taken_up_after_a_revocation(
    world: World, identities: VehicleIdentities
) -> None:
    vehicle_id = await world.vehicle()
    session = await _session(world, await _enrolled(identities, vehicle_id))
    assert isinstance(session, SessionOpened)
    short = world.with_limits(lease_seconds=0.0, lease_grace_seconds=-1.0)
    await short.sessions.renew_leases([("c1", False)])
    await short.recover.drop_lapsed_connectors()
    await identities.revoke(ADMIN, vehicle_id)
    # The vehicle is still connected to it.
    presented = [(vehicle_id, session.session_epoch)]
    assert (await world.sessions.register_connector("c1", "here", presented, []))[1] == presented
    assert (await world.vehicles.get(vehicle_id)).connection_status == "offline"


async def test_a_command_that_runs_waits_for_the_vehicle_when_it_is_revoked(
    world: World, identities: VehicleIdentities
) -> None:
    vehicle_id = await world.vehicle()
    await _session(world, await _enrolled(identities, vehicle_id))
    waiting = await world.submit(vehicle_id)
    await world.dispatch([vehicle_id])
    await identities.revoke(ADMIN, vehicle_id)
    assert (await world.command(waiting.command_id)).status == "pending"


async def test_a_certificate_of_another_vehicle_opens_nothing(world: World, identities: VehicleIdentities) -> None:
    await world.vehicle()
    other = await _enrolled(identities, await world.vehicle(VINS[1]))
    for fingerprint in (other, "0" * 64, "\x00"):
        answer = await _session(world, fingerprint)
        assert isinstance(answer, Forbidden)
        assert answer.code == "CERTIFICATE_UNKNOWN"
        with pytest.raises(Forbidden):
            await identities.renew(VIN, fingerprint, certificate_request(VIN))
    with pytest.raises(NotFound):
        await identities.renew("WDD00000000000000", other, certificate_request(VIN))


async def test_a_vehicle_that_is_turned_away_is_told_of_until_it_is_let_in(
    world: World, identities: VehicleIdentities
) -> None:
    vehicle_id = await world.vehicle()
    revoked = await _enrolled(identities, vehicle_id)
    await identities.revoke(ADMIN, vehicle_id)
    good = await _enrolled(identities, vehicle_id)

    async def problem() -> str | None:
        found = (await world.vehicles.get(vehicle_id)).link_problem
        return found.reason if found else None

    for _ in range(2):
        assert isinstance(await _session(world, revoked), Forbidden)
        assert re.fullmatch("turned away: the certificate .+ is revoked; enrol anew", await problem() or "")
    assert world.heard.vehicles == [(vehicle_id, "offline")]
    assert isinstance(await _session(world, good), SessionOpened)
    assert await problem() is None
    # While it is there, another one that says it is it changes nothing.
    (answer,) = await world.sessions.open([Hello("c1", VIN, [], fingerprint=revoked)])
    assert isinstance(answer, Forbidden)
    assert (await problem(), (await world.vehicles.get(vehicle_id)).reachable) == (None, True)


async def test_a_renewed_vehicle_has_both_until_the_old_one_ends(world: World, identities: VehicleIdentities) -> None:
    vehicle_id = await world.vehicle()
    old = await _enrolled(identities, vehicle_id)
    new = await identities.renew(VIN, old, certificate_request(VIN))
    assert new.fingerprint != old
    assert isinstance(await _session(world, old), SessionOpened)
    assert isinstance(await _session(world, new.fingerprint), SessionOpened)
    await identities.revoke(ADMIN, vehicle_id, new.serial)
    assert isinstance(await _session(world, old), SessionOpened)
    with pytest.raises(NotFound, match="has no certificate"):
        await identities.revoke(ADMIN, vehicle_id, "abc")


async def test_a_refused_vehicle_is_recorded_once_a_minute(world: World, identities: VehicleIdentities) -> None:
    vehicle_id, claimed = await world.vehicle(), await world.vehicle(VINS[1])
    fingerprint = await _enrolled(identities, vehicle_id)
    for _ in range(3):
        await identities.report_refused(VIN, fingerprint, VINS[1])
    assert (await _actions(world.storage, claimed)).count("vehicle.identity_refused") == 1
    (turned_away,) = {(await world.vehicles.get(vehicle_id)).link_problem}
    assert turned_away is not None
    assert turned_away.reason == f"turned away: it says that it is {VINS[1]}"
    assert (await world.vehicles.get(claimed)).link_problem is None
    await identities.report_refused("unknown", "0" * 64, "\x00")
    assert await _actions(world.storage, "unregistered") == ["vehicle.identity_refused"]
