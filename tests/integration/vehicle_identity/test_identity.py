"""Who a vehicle is, over real TLS: enrolment, other vehicles' VINs, renewal, revocation."""

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from command_service.connector_control import MessagingConnectorControl
from service_kit.errors import Forbidden, ServiceError
from service_kit.grpc_errors import from_rpc_error
from sovd_protos.identity.v1 import identity_pb2 as pb
from sovd_protos.identity.v1 import identity_pb2_grpc
from sovd_protos.vehicle.v1 import vehicle_pb2
from tests.integration.vehicle_identity.conftest import ADMIN, OTHER_VIN, VIN, System, Systems, hello_from
from tests.support.certificates import CertificateFiles, certificate_request
from tests.support.waiting import until_it

A_SECOND = 1 / 86_400
"""In days."""


async def refused(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


# --- enrolment


async def test_a_vehicle_enrols_comes_online_and_executes(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    await system.start_simulator(await system.code(vehicle_id))
    await system.until_status(vehicle_id, "online")
    assert (await system.read_dtc(vehicle_id)).status == "completed"
    (certificate,) = await system.certificates(vehicle_id)
    assert certificate.status == "valid"
    days = (certificate.not_after_us - certificate.issued_at_us) / 86_400e6
    assert days == pytest.approx(90, abs=0.01)
    identity = system.directory / VIN / "identity.pem"
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert not (system.directory / VIN / "next.key").exists()
    ((created, facts),) = await system.audited("vehicle.enrolment_code_created")
    assert (created.actor_name, created.subject_id, facts["vin"]) == ("admin", vehicle_id, VIN)
    ((enrolled, facts),) = await system.audited("vehicle.enrolled")
    assert (enrolled.actor_id, enrolled.subject_id) == (vehicle_id, vehicle_id)
    assert facts["serial"] == certificate.serial


async def test_what_is_enrolled_needs_no_code_again(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    await system.enrolled(vehicle_id)
    await system.start_simulator()
    await system.until_status(vehicle_id, "online")


async def test_who_has_no_certificate_and_no_code_is_told_so(system: System) -> None:
    with pytest.raises(ServiceError, match=f"{VIN} has no certificate; `sovd vehicles enrol` makes a code"):
        await system.identity().prepare("")


async def test_a_wrong_code_is_refused_and_after_five_the_right_one_is_void(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    code = await system.code(vehicle_id)
    for _ in range(5):
        with pytest.raises(Forbidden) as caught:
            await system.identity().prepare("AAAA-BBBB")
        assert caught.value.code == "ENROLMENT_CODE_WRONG"
    with pytest.raises(Forbidden) as caught:
        await system.identity().prepare(code)
    assert caught.value.code == "ENROLMENT_CODE_VOID"
    tries = await system.audited("vehicle.enrolment_refused")
    assert [(entry.outcome, facts["tries_left"]) for entry, facts in tries] == [("refused", left) for left in range(5)]
    assert await system.certificates(vehicle_id) == []
    await system.enrolled(vehicle_id)  # with a new code


async def test_a_code_is_for_its_vehicle_only(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    await system.add_vehicle(OTHER_VIN)
    code = await system.code(vehicle_id)
    for vin in (OTHER_VIN, "WDD00000000000000"):
        request = pb.EnrolRequest(vin=vin, code=code, certificate_request=certificate_request(vin))
        assert (await refused(system.enrol_raw(request))).code == "ENROLMENT_CODE_WRONG"
    other = pb.EnrolRequest(vin=VIN, code=code, certificate_request=certificate_request(OTHER_VIN))
    assert (await refused(system.enrol_raw(other))).code == "BAD_CERTIFICATE_REQUEST"


async def test_an_expired_code(systems: Systems) -> None:
    async with systems(enrolment_code_hours=0.2 / 3600) as system:
        code = await system.code(await system.add_vehicle())
        await asyncio.sleep(0.3)
        with pytest.raises(Forbidden) as caught:
            await system.identity().prepare(code)
        assert caught.value.code == "ENROLMENT_CODE_EXPIRED"


async def test_a_used_code_is_good_only_for_an_answer_that_was_lost(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    code, key = await system.code(vehicle_id), ec.generate_private_key(ec.SECP256R1())
    request = pb.EnrolRequest(vin=VIN, code=code, certificate_request=certificate_request(VIN, key))
    first = await system.enrol_raw(request)
    request.certificate_request = certificate_request(VIN, key)
    assert await system.enrol_raw(request) == first
    request.certificate_request = certificate_request(VIN)
    assert (await refused(system.enrol_raw(request))).code == "ENROLMENT_CODE_USED"
    assert len(await system.certificates(vehicle_id)) == 1
    assert len(await system.audited("vehicle.enrolled")) == 1


async def test_only_an_administrator_makes_codes_and_only_with_an_authority(systems: Systems) -> None:
    async with systems(vehicle_ca_cert_file=None, vehicle_ca_key_file=None) as system:
        vehicle_id = await system.add_vehicle()
        request = pb.CreateEnrolmentCodeRequest(vehicle_id=vehicle_id, actor=ADMIN)
        assert (await refused(system.identities.CreateEnrolmentCode(request))).code == "VEHICLE_CA_NOT_CONFIGURED"
        request.actor.role = "engineer"
        assert (await refused(system.identities.CreateEnrolmentCode(request))).code == "FORBIDDEN"


# --- another vehicle's VIN


async def test_another_vehicles_vin_is_turned_away_and_audited(system: System) -> None:
    vehicle_id, other_id = await system.add_vehicle(), await system.add_vehicle(OTHER_VIN)
    identity = await system.enrolled(vehicle_id)
    for _ in range(2):
        refusal = (await hello_from(identity, OTHER_VIN)).refusal
        assert (refusal.code, refusal.retry_after_ms) == ("IDENTITY_MISMATCH", 0)
    ((entry, facts),) = await system.audited("vehicle.identity_refused")
    assert (entry.actor_id, entry.actor_name, entry.outcome) == (vehicle_id, VIN, "refused")
    assert entry.subject_id == other_id
    assert (facts["certificate_vin"], facts["claimed_vin"]) == (VIN, OTHER_VIN)
    assert (await system.vehicle(other_id)).last_seen_at_us == 0
    assert not (await system.vehicle(other_id)).HasField("link_problem")
    assert OTHER_VIN in (await system.vehicle(vehicle_id)).link_problem.reason
    refusal = (await hello_from(identity, "A" * 500)).refusal
    assert refusal.code == "IDENTITY_MISMATCH"
    assert {entry.subject_id for entry, _ in await system.audited("vehicle.identity_refused")} == {
        other_id,
        "unregistered",
    }
    assert (await hello_from(identity, VIN)).welcome.session_epoch == 1


async def test_a_vehicle_that_was_registered_anew_is_to_be_enrolled_anew(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    identity = await system.enrolled(vehicle_id)
    await system.vehicles.DeleteVehicle(vehicle_pb2.DeleteVehicleRequest(vehicle_id=vehicle_id, actor=ADMIN))
    assert (await hello_from(identity, VIN)).refusal.code == "UNKNOWN_VEHICLE"
    await system.add_vehicle()
    assert (await hello_from(identity, VIN)).refusal.code == "CERTIFICATE_UNKNOWN"


async def test_who_shows_no_certificate_of_a_vehicle_is_not_heard(system: System, tmp_path: Path) -> None:
    ca = system.files.server_ca.read_bytes()
    (tmp_path / "others").mkdir()
    others = CertificateFiles.make(tmp_path / "others")
    stranger = others.server_key.read_bytes(), others.server_cert.read_bytes()
    for credentials in (None, grpc.ssl_channel_credentials(ca), grpc.ssl_channel_credentials(ca, *stranger)):
        target = f"localhost:{system.connector.session_port}"
        channel = grpc.aio.secure_channel(target, credentials) if credentials else grpc.aio.insecure_channel(target)
        async with channel:
            request = pb.RenewRequest(certificate_request=certificate_request(VIN))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await identity_pb2_grpc.RenewalServiceStub(channel).Renew(request, timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_health_is_told_to_whom_has_no_certificate(system: System) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{system.connector.health_port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


# --- renewal


async def test_a_certificate_is_renewed_before_it_ends(systems: Systems) -> None:
    async with systems(vehicle_certificate_days=6 * A_SECOND) as system:
        vehicle_id = await system.add_vehicle()
        await system.start_simulator(await system.code(vehicle_id))
        await system.until_status(vehicle_id, "online")
        first = await system.certificates(vehicle_id)

        async def renewed() -> bool:
            return len(await system.certificates(vehicle_id)) > 1

        await until_it(renewed)
        assert datetime.now(UTC).timestamp() * 1_000_000 < first[0].not_after_us

        async def back() -> bool:
            return (await system.vehicle(vehicle_id)).connection_status == "online"

        await asyncio.sleep(0.2)
        await until_it(back)
        newest = (await system.certificates(vehicle_id))[0]
        own = x509.load_pem_x509_certificate((system.directory / VIN / "identity.pem").read_bytes())
        assert f"{own.serial_number:x}" == newest.serial
        ((_, facts), *_) = await system.audited("vehicle.certificate_renewed")
        assert facts["serial"] == newest.serial
        assert (await system.read_dtc(vehicle_id)).status == "completed"


async def test_what_has_ended_is_not_let_in(systems: Systems) -> None:
    async with systems(vehicle_certificate_days=2 * A_SECOND) as system:
        vehicle_id = await system.add_vehicle()
        identity = await system.enrolled(vehicle_id)
        await asyncio.sleep(3)
        assert [one.status for one in await system.certificates(vehicle_id)] == ["expired"]
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            await hello_from(identity, VIN)


# --- revocation


@pytest.mark.parametrize("told", [True, False], ids=["told", "word-lost"])
async def test_a_running_session_ends_when_its_certificate_is_revoked(
    system: System, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Also when the connector is not told: the heartbeats that it reports are not the vehicle's any more."""
    if not told:

        async def lost(*_: object) -> None: ...

        monkeypatch.setattr(MessagingConnectorControl, "session_superseded", lost)
        monkeypatch.setattr("vehicle_connector.sessions._SEEN_SECONDS", 0.1)
    vehicle_id = await system.add_vehicle()
    await system.start_simulator(await system.code(vehicle_id))
    await system.until_status(vehicle_id, "online")
    await system.revoke(vehicle_id)
    assert (await system.vehicle(vehicle_id)).connection_status == "offline"
    await _until_no_session(system)
    assert [one.status for one in await system.certificates(vehicle_id)] == ["revoked"]
    ((entry, facts),) = await system.audited("vehicle.certificates_revoked")
    assert entry.actor_name == "admin"
    assert facts["serials"] == [one.serial for one in await system.certificates(vehicle_id)]
    identity = system.identity()
    await identity.prepare("")
    assert (await hello_from(identity, VIN)).refusal.code == "CERTIFICATE_REVOKED"
    vehicle = await system.vehicle(vehicle_id)
    assert vehicle.connection_status == "offline"
    assert "is revoked; enrol anew" in vehicle.link_problem.reason


async def test_a_revoked_certificate_is_not_renewed_and_its_code_gives_no_other(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    identity = await system.enrolled(vehicle_id)
    code = await system.code(vehicle_id)
    await system.revoke(vehicle_id)
    channel = identity.connections.open()
    request = pb.RenewRequest(certificate_request=certificate_request(VIN))
    error = await refused(identity_pb2_grpc.RenewalServiceStub(channel).Renew(request, timeout=5))
    await channel.close(None)
    assert error.code == "CERTIFICATE_REVOKED"
    again = pb.EnrolRequest(vin=VIN, code=code, certificate_request=certificate_request(VIN))
    assert (await refused(system.enrol_raw(again))).code == "ENROLMENT_CODE_WRONG"


async def test_with_one_certificate_revoked_the_vehicle_comes_back_with_another(system: System) -> None:
    vehicle_id = await system.add_vehicle()
    first = await system.enrolled(vehicle_id)
    (old,) = await system.certificates(vehicle_id)
    (system.directory / VIN / "identity.pem").unlink()
    second = await system.enrolled(vehicle_id)
    await system.revoke(vehicle_id, old.serial)
    assert (await hello_from(first, VIN)).refusal.code == "CERTIFICATE_REVOKED"
    assert (await hello_from(second, VIN)).welcome.session_epoch
    assert sorted(one.status for one in await system.certificates(vehicle_id)) == ["revoked", "valid"]
    unknown = pb.RevokeCertificatesRequest(vehicle_id=vehicle_id, serial="abc", actor=ADMIN)
    assert (await refused(system.identities.RevokeCertificates(unknown))).code == "UNKNOWN_CERTIFICATE"


async def _until_no_session(system: System) -> None:
    """By what the connector's metrics say."""
    from prometheus_client import REGISTRY

    async def gone() -> bool:
        return REGISTRY.get_sample_value("sovd_vehicles_connected") == 0

    await until_it(gone, 5)
