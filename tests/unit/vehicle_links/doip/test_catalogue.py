"""The whole catalogue over DoIP: connector, real sockets, a simulated vehicle."""

import asyncio
from typing import Any

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_links.doip.conftest import VIN, Bench, bench_of
from vehicle_links.doip import ecu as ecu_module
from vehicle_links.doip.security import Ask
from vehicle_simulator.data_identifiers import VIN_ID
from vehicle_simulator.doip.uds import key_of
from vehicle_simulator.fault_memory import FaultMemory, FaultType, StoredFault


def seed_key(seed: bytes, level: int, vin: str, ecu_address: int) -> bytes:
    assert (level, vin, ecu_address) == (1, VIN, 0x10)
    return key_of(seed)


def wrong_key(seed: bytes, level: int, vin: str, ecu_address: int) -> bytes:
    return bytes(len(seed))


def no_key(seed: bytes, level: int, vin: str, ecu_address: int) -> Any:
    raise OSError("the key server is away")


async def test_read_dtc(bench: Bench) -> None:
    *faults, count = await bench.completed("ReadDTC")
    assert [fault["display_code"] for fault in faults] == ["P0420-11", "P0171-00"]
    assert faults[0]["status"]["confirmedDTC"] is True
    assert count == {"ecuAddress": "0x10", "count": 2}
    assert await bench.completed("ReadDTC", statusMask="0x40") == [{"ecuAddress": "0x10", "count": 0}]


async def test_read_dtc_details_with_snapshots_and_extended_data(bench: Bench) -> None:
    (details,) = await bench.completed("ReadDTCDetails", dtcCode="P0420")
    assert (details["code"], details["display_code"]) == ("0x042011", "P0420-11")
    (snapshot,) = details["snapshots"]
    assert [data["id"] for data in snapshot["data"]] == ["0xF405", "0xF40C", "0xF40D", "0xF442"]
    assert [record["record_number"] for record in details["extended_data"]] == [1, 2]
    assert all(len(record["raw"]) == 4 for record in details["extended_data"])


async def test_details_of_what_is_not_stored(bench: Bench) -> None:
    _, outcome = await bench.run("ReadDTCDetails", dtcCode="P0999-00")
    assert (outcome.kind, outcome.code, outcome.nrc) == (Outcome.FAILED, "NEGATIVE_RESPONSE", 0x31)
    _, outcome = await bench.run("ReadDTCDetails", dtcCode="P0999")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "DTC_NOT_STORED")


async def test_an_ecu_may_know_snapshots_or_extended_data_only(bench: Bench) -> None:
    refused = bytes.fromhex("7F1931")
    for unknown, known in (("snapshots", "extended_data"), ("extended_data", "snapshots")):
        report = {"snapshots": 4, "extended_data": 6}[unknown]
        bench.witness.spoil = lambda answer, report=report: refused if answer[:2] == bytes((0x59, report)) else answer
        (details,) = await bench.completed("ReadDTCDetails", dtcCode="0x042011")
        assert details[unknown] == []
        assert details[known]
        assert details["status"]["raw"] == "0xAF"
    bench.witness.spoil = lambda answer: refused if answer[:1] == b"\x59" else answer
    _, outcome = await bench.run("ReadDTCDetails", dtcCode="0x042011")
    assert (outcome.kind, outcome.nrc) == (Outcome.FAILED, 0x31)


async def test_clear_one_and_all(bench: Bench) -> None:
    await bench.completed("ClearDTC", dtcCode="P0420")
    assert len(bench.vehicle.ecu(0x10).memory) == 1
    assert await bench.completed("ClearDTC") == [{"ecuAddress": "0x10"}]
    assert len(bench.vehicle.ecu(0x10).memory) == 0


async def test_read_and_write_data(bench: Bench) -> None:
    (vin,) = await bench.completed("ReadDataByID", dataId="0xF190")
    assert vin == {"ecuAddress": "0x10", "id": "0xF190", "raw": f"0x{VIN.encode().hex().upper()}", "value": VIN}
    (written,) = await bench.completed("WriteDataByID", dataId="0xF198", value="0x53484F50")
    assert written == {"ecuAddress": "0x10", "id": "0xF198", "raw": "0x53484F50"}
    assert bench.vehicle.ecu(0x10).data.read(0xF198, 0) == b"SHOP"
    # Refused in the default session, done in the extended one.
    assert bench.witness.executed("WriteDataByID") == 1


async def test_routines(bench: Bench) -> None:
    (started,) = await bench.completed("RoutineControl", routineId="0x0301", action="start")
    assert started == {"ecuAddress": "0x10", "id": "0x0301", "action": "start", "raw": "0x01"}
    await bench.completed("RoutineControl", routineId="0x0301", action="stop")
    _, outcome = await bench.run("RoutineControl", routineId="0xFF00", action="start")
    assert (outcome.nrc, outcome.message) == (0x22, "0x22 conditionsNotCorrect")
    _, outcome = await bench.run("RoutineControl", ecuAddress="0x28", routineId="0x0310", action="start")
    assert outcome.nrc == 0x13
    await bench.completed("RoutineControl", ecuAddress="0x28", routineId="0x0310", action="start", parameters="0x0105")


async def test_reset_ends_the_session(bench: Bench) -> None:
    assert await bench.completed("ECUReset", resetType="soft") == [{"ecuAddress": "0x10", "resetType": "soft"}]
    assert bench.witness.answers[-1][0] == bytes.fromhex("1103")
    await bench.completed("WriteDataByID", dataId="0xF198", value="0x53")
    await bench.completed("ECUReset", resetType="hard")
    await bench.completed("WriteDataByID", dataId="0xF198", value="0x54")


async def test_a_stream_comes_at_its_pace_and_lets_others_pass(bench: Bench) -> None:
    stream = await bench.dispatch("StreamDataByID", dataIds=["0xF40C", "0xF405"], interval_ms=50, duration_s=0.5)
    await until(lambda: bench.responses(stream))
    await bench.completed("ReadDataByID", dataId="0xF190")
    assert bench.world.service.outcome(stream) is None
    assert (await bench.outcome(stream)).kind == Outcome.COMPLETED
    responses = bench.responses(stream)
    assert [response["id"] for response in responses[:4]] == ["0xF40C", "0xF405"] * 2
    assert 12 <= len(responses) <= 20


async def test_a_stream_is_stopped_when_that_is_asked(bench: Bench) -> None:
    stream = await bench.dispatch("StreamDataByID", dataIds=["0xF40C"], interval_ms=1000, duration_s=60)
    await until(lambda: bench.responses(stream))
    await bench.world.dispatch.cancel(stream)
    assert (await bench.outcome(stream)).kind == Outcome.CANCELLED


async def test_several_ecus_at_once_over_one_connection(bench: Bench) -> None:
    bench.script("slow:seconds=0.3")
    addresses = ["0x10", "0x18", "0x1A", "0x28", "0x40", "0x60"]
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(bench.completed("ReadDTC", ecuAddress=address) for address in addresses))
    assert [responses[-1]["ecuAddress"] for responses in answers] == addresses
    assert asyncio.get_running_loop().time() - began < 1.5
    assert bench.sessions == 1


async def test_all_ecus_are_asked_by_a_functional_address(bench: Bench) -> None:
    *faults, count = await bench.completed("ReadDTC", ecuAddress="0xE400")
    assert {fault["ecuAddress"] for fault in faults} >= {"0x10"}
    assert count == {"ecuAddress": "0xE400", "count": len(faults)}
    vins = await bench.completed("ReadDataByID", ecuAddress="0xE400", dataId=f"0x{VIN_ID:04X}")
    assert [vin["ecuAddress"] for vin in vins] == ["0x10", "0x18", "0x1A", "0x28", "0x40", "0x60"]
    cleared = await bench.completed("ClearDTC", ecuAddress="0xE400")
    assert len(cleared) == 6
    assert bench.witness.executed("ClearDTC") == 6


async def test_what_no_ecu_knows_and_what_cannot_be_said_to_all(bench: Bench) -> None:
    _, outcome = await bench.run("ReadDataByID", ecuAddress="0xE400", dataId="0x1234")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "ECU_NOT_REACHABLE")
    _, outcome = await bench.run("ReadDTCDetails", ecuAddress="0xE400", dtcCode="P0420")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "UNSUPPORTED_COMMAND")


async def test_nonsense_of_one_ecu_hides_no_other(bench: Bench) -> None:
    bench.vehicle.ecu(0x18).memory = FaultMemory([StoredFault(FaultType(0x074100, "", 3), 0x2F)])
    bench.witness.spoil = lambda answer: answer[:-1] if b"\x04\x20\x11" in answer else answer
    responses, outcome = await bench.run("ReadDTC", ecuAddress="0xE400")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "BAD_VEHICLE_RESPONSE")
    assert outcome.message.startswith("ECU 0x10: ")
    assert "042011" in outcome.unreadable
    assert {"ecuAddress": "0x18", "code": "0x074100"}.items() <= responses[0].items()
    assert all("count" not in response for response in responses)


@pytest.mark.parametrize("name", ["ClearDTC", "ReadDTC"])
async def test_what_one_ecu_refuses_hides_no_other_and_is_told(bench: Bench, name: str) -> None:
    bench.witness.refusing = {0x18: 0x22, 0x28: 0x72, 0x40: 0x31}
    responses, outcome = await bench.run(name, ecuAddress="0xE400")
    assert (outcome.kind, outcome.code, outcome.nrc) == (Outcome.FAILED, "NEGATIVE_RESPONSE", 0x22)
    assert outcome.message == "ECU 0x18: 0x22 conditionsNotCorrect; ECU 0x28: 0x72 generalProgrammingFailure"
    assert {response["ecuAddress"] for response in responses} >= {"0x10"}
    assert all("count" not in response for response in responses)


async def test_who_is_not_concerned_need_not_say_so(bench: Bench) -> None:
    bench.witness.refusing = {0x18: 0x31}
    assert len(await bench.completed("ClearDTC", ecuAddress="0xE400")) == 5
    bench.witness.refusing = dict.fromkeys((0x10, 0x18, 0x1A, 0x28, 0x40, 0x60), 0x11)
    _, outcome = await bench.run("ClearDTC", ecuAddress="0xE400")
    assert (outcome.code, outcome.nrc) == ("NEGATIVE_RESPONSE", 0x11)


async def test_nonsense_and_a_refusal_are_both_told(bench: Bench) -> None:
    bench.witness.refusing = {0x18: 0x22}
    bench.witness.spoil = lambda answer: answer[:-1] if b"\x04\x20\x11" in answer else answer
    _, outcome = await bench.run("ReadDTC", ecuAddress="0xE400")
    assert outcome.code == "BAD_VEHICLE_RESPONSE"
    assert outcome.message.startswith("ECU 0x18: 0x22 conditionsNotCorrect; ECU 0x10: ")


async def test_ecus_that_need_a_while_are_waited_for_and_named(bench: Bench) -> None:
    bench.script("pending:pending=1,seconds=0.4,command=ReadDTC")
    command = await bench.dispatch("ReadDTC", ecuAddress="0xE400")
    assert (await bench.outcome(command)).kind == Outcome.COMPLETED
    assert bench.progress(command) == [0x78] * 6
    assert len(bench.responses(command)) >= 3


async def test_what_all_refuse_is_refused(bench: Bench) -> None:
    bench.script("negative:nrc=0x22,command=ClearDTC")
    _, outcome = await bench.run("ClearDTC", ecuAddress="0xE400")
    assert (outcome.code, outcome.nrc) == ("NEGATIVE_RESPONSE", 0x22)


async def test_asking_all_is_stopped_times_out_and_loses_its_connection_like_any_other(bench: Bench) -> None:
    bench.script("pending:pending=100,seconds=0.1,times=18,command=ReadDTC")
    stopped = await bench.dispatch("ReadDTC", ecuAddress="0xE400")
    await until(lambda: bench.progress(stopped))
    await bench.world.dispatch.cancel(stopped)
    assert (await bench.outcome(stopped)).kind == Outcome.CANCELLED
    assert (await bench.outcome(await bench.dispatch("ReadDTC", ecuAddress="0xE400", timeout_ms=300))).kind == (
        Outcome.TIMED_OUT
    )
    sessions = bench.sessions
    bench.relay.cut_after("down", 3)
    lost = await bench.dispatch("ClearDTC", ecuAddress="0xE400")
    assert (await bench.outcome(lost)).kind == Outcome.LOST
    await bench.redialled(sessions)


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("0x99", "ECU_NOT_REACHABLE", "UnknownTargetAddress"),
        ("0x18DB33F1", "INVALID_PARAMETERS", "2 bytes"),
    ],
)
async def test_addresses_without_an_ecu(bench: Bench, address: str, code: str, message: str) -> None:
    _, outcome = await bench.run("ClearDTC", ecuAddress=address)
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, code)
    assert message in outcome.message


async def test_response_pending_is_progress(bench: Bench) -> None:
    bench.script("pending:pending=3,seconds=0.02,command=ClearDTC")
    command = await bench.dispatch("ClearDTC")
    assert (await bench.outcome(command)).kind == Outcome.COMPLETED
    assert bench.progress(command) == [0x78] * 3


async def test_response_pending_counts_against_the_timeout(bench: Bench) -> None:
    bench.script("pending:pending=100,seconds=0.1,command=ReadDTC")
    command = await bench.dispatch("ReadDTC", timeout_ms=500)
    assert (await bench.outcome(command)).kind == Outcome.TIMED_OUT
    assert 3 <= len(bench.progress(command)) <= 5


async def test_a_refusal_after_pending_has_its_name(bench: Bench) -> None:
    bench.script("negative:nrc=0x72,pending=1,seconds=0.02")
    command = await bench.dispatch("WriteDataByID", dataId="0xF198", value="0x53")
    outcome = await bench.outcome(command)
    assert (outcome.kind, outcome.nrc, outcome.message) == (Outcome.FAILED, 0x72, "0x72 generalProgrammingFailure")
    assert bench.progress(command) == [0x78]


async def test_a_busy_ecu_is_asked_again(bench: Bench) -> None:
    bench.script("negative:nrc=0x21,times=2")
    await bench.completed("ClearDTC")
    assert bench.witness.executed("ClearDTC") == 1


async def test_the_session_is_kept_while_it_is_needed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecu_module, "_TESTER_PRESENT_SECONDS", 0.05)
    monkeypatch.setattr(ecu_module, "_SESSION_SECONDS", 0.3)
    await bench.completed("WriteDataByID", dataId="0xF198", value="0x53")
    await until(lambda: [request for request, _ in bench.witness.answers].count(b"\x3e\x80") >= 3)
    await asyncio.sleep(0.4)
    kept = len(bench.witness.answers)
    await asyncio.sleep(0.2)
    assert len(bench.witness.answers) == kept


# --- security


async def _write_secured(bench: Bench) -> Outcome:
    _, outcome = await bench.run("WriteDataByID", dataId="0xF199", value="0x20240315")
    return outcome


async def test_without_a_seed_key_function_what_is_secured_is_refused(bench: Bench) -> None:
    assert (await _write_secured(bench)).nrc == 0x33


async def test_a_seed_key_function_unlocks(worlds: Worlds) -> None:
    async with bench_of(worlds, {"doip_seed_key": f"{__name__}:seed_key"}) as bench:
        assert (await _write_secured(bench)).kind == Outcome.COMPLETED
        assert bench.witness.executed("WriteDataByID") == 1


@pytest.mark.parametrize(
    ("function", "code", "nrc"), [("wrong_key", "NEGATIVE_RESPONSE", 0x35), ("no_key", "SECURITY_ACCESS_FAILED", 0)]
)
async def test_a_key_that_does_not_fit(worlds: Worlds, function: str, code: str, nrc: int) -> None:
    async with bench_of(worlds, {"doip_seed_key": f"{__name__}:{function}"}) as bench:
        outcome = await _write_secured(bench)
        assert (outcome.kind, outcome.code, outcome.nrc) == (Outcome.FAILED, code, nrc)
        assert bench.witness.executed("WriteDataByID") == 0


def _locked_in_every_session(bench: Bench) -> None:
    """Reading 0xF190 is refused with 0x33, also where 0x27 is not offered, until a key was right."""
    unlocked = False

    def spoil(answer: bytes) -> bytes:
        nonlocal unlocked
        unlocked = unlocked or answer[:2] == b"\x67\x02"
        return answer if unlocked or answer[:1] != b"\x62" else bytes.fromhex("7F2233")

    bench.witness.spoil = spoil


async def test_what_is_locked_in_the_default_session_is_unlocked_in_another(worlds: Worlds) -> None:
    async with bench_of(worlds, {"doip_seed_key": f"{__name__}:seed_key"}) as bench:
        _locked_in_every_session(bench)
        (vin,) = await bench.completed("ReadDataByID", dataId="0xF190")
        assert vin["value"] == VIN
        asked = [request[:2].hex() for request, _ in bench.witness.answers if request[0] != 0x3E]
        assert asked == ["22f1", "2701", "1003", "2701", "2702", "22f1"]


async def test_which_step_was_refused_is_told_with_what_it_was_for(worlds: Worlds) -> None:
    async with bench_of(worlds, {"doip_seed_key": f"{__name__}:wrong_key"}) as bench:
        _locked_in_every_session(bench)
        _, outcome = await bench.run("ReadDataByID", dataId="0xF190")
        assert outcome.nrc == 0x35
        assert outcome.message == "0x33 securityAccessDenied; then the key (0x2702): 0x35 invalidKey"
        bench.witness.refusing = {0x10: 0x7F}
        _, outcome = await bench.run("ReadDataByID", dataId="0xF190")
        in_no_session = "0x7F serviceNotSupportedInActiveSession"
        assert outcome.message == f"{in_no_session}; then the extended session (0x1003): {in_no_session}"


async def authenticates(ask: Ask, vin: str, ecu_address: int) -> None:
    assert (vin, ecu_address) == (VIN, 0x10)


async def asks(ask: Ask, vin: str, ecu_address: int) -> None:
    await ask(b"\x08")  # authentication configuration, which simulated ECUs do not know


async def breaks(ask: Ask, vin: str, ecu_address: int) -> None:
    raise OSError("the certificate is lost")


@pytest.mark.parametrize(
    ("function", "code", "nrc"),
    [("authenticates", "", 0), ("asks", "NEGATIVE_RESPONSE", 0x11), ("breaks", "AUTHENTICATION_FAILED", 0)],
)
async def test_authentication_is_what_the_operator_plugs_in(worlds: Worlds, function: str, code: str, nrc: int) -> None:
    async with bench_of(worlds, {"doip_authentication": f"{__name__}:{function}"}) as bench:
        bench.script("negative:nrc=0x34,times=1,command=WriteDataByID")
        _, outcome = await bench.run("WriteDataByID", dataId="0xF198", value="0x53")
        assert (outcome.code, outcome.nrc) == (code, nrc)
        assert bench.witness.executed("WriteDataByID") == (0 if code else 1)
