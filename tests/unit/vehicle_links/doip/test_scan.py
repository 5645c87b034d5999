"""ScanECUs over DoIP: who answers, and what each says of itself."""

import asyncio
from typing import Any

import jsonschema
import pytest

from command_service.domain.catalogue import CATALOGUE
from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.unit.vehicle_links.doip.conftest import VIN, Bench
from vehicle_links.doip import scan
from vehicle_simulator.ecus import ECU_TYPES

ENGINE = {
    "ecuAddress": "0x10",
    "name": "ECM",
    "part_number": "A2749004",
    "software_number": "A2749004SW",
    "software_version": "4.12.0",
    "hardware_number": "A000901HW3",
    "hardware_version": "03.01",
    "vin": VIN,
}


async def scanned(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    responses = await bench.completed("ScanECUs", **params)
    for response in responses:
        jsonschema.validate(response, CATALOGUE["ScanECUs"].response_schema)
    return responses


async def test_all_ecus_that_answer_and_what_they_are(bench: Bench) -> None:
    *found, count = await scanned(bench)
    assert [ecu["ecuAddress"] for ecu in found] == [f"0x{address:X}" for address in sorted(ECU_TYPES)]
    assert ENGINE.items() <= found[0].items()
    assert found[0]["serial_number"].startswith("SN")
    assert count == {"count": len(ECU_TYPES)}


async def test_a_range_is_asked_address_by_address(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no functional address reaches all."""
    monkeypatch.setattr(scan, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(scan, "_TELL_EVERY", 16)
    bench.entity.functional_addresses = range(0)
    command = await bench.dispatch("ScanECUs", functionalAddress="0xE000", firstAddress="0x0000", addressCount=48)
    assert (await bench.outcome(command)).kind == Outcome.COMPLETED
    assert [one.get("name") for one in bench.responses(command)] == ["ECM", "TCM", "SRS", "ABS", None]
    assert bench.progress(command) == [0x78, 0x78]


async def test_a_functional_address_that_is_not_known(bench: Bench) -> None:
    bench.entity.functional_addresses = range(0)
    _, outcome = await bench.run("ScanECUs")
    assert (outcome.kind, outcome.code) == (Outcome.FAILED, "ECU_NOT_REACHABLE")
    assert "0xE400" in outcome.message
    assert "firstAddress" in outcome.message


async def test_entities_are_asked_at_a_bounded_rate(bench: Bench) -> None:
    clock = asyncio.get_running_loop().time
    begin = clock()
    await scanned(bench, firstAddress="0x8000", addressCount=64)
    assert clock() - begin >= 64 / scan._AT_ONCE * scan._LEAST_SECONDS


async def test_an_ecu_that_falls_silent_hides_none_behind_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_IDENTITY_SECONDS", 1.0)
    bench.script("silent:times=1,command=ReadDataByID")
    first, *found, count = await scanned(bench)
    assert first == {"ecuAddress": "0x10", "problem": "it has not said all within 1 s"}
    assert [ecu["name"] for ecu in found] == ["TCM", "SRS", "ABS", "BCM", "IC"]
    assert count == {"count": 6}
    assert (await bench.completed("ReadDataByID", dataId="0xF190"))[0]["value"] == VIN


async def test_garbage_of_one_ecu_is_shown_and_harms_no_other(bench: Bench) -> None:
    bench.script("garbage:times=1,command=ReadDataByID")
    first, second, *_ = await scanned(bench)
    assert first["problem"].startswith("BAD_VEHICLE_RESPONSE: ")
    assert "0x00BADBAD" in first["problem"]
    assert second["name"] == "TCM"


async def test_a_scan_is_tried_again_when_the_connection_breaks(bench: Bench) -> None:
    bench.script("disconnect:after=0,times=1,command=ReadDataByID")
    _, outcome = await bench.run("ScanECUs")
    assert outcome.kind == Outcome.LOST
