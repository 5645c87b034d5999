"""Bytes and physical values, by a PDX file; and bytes that no ECU should send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pdx import write_pdx
from vehicle_links.odx.description import EcuDescription, _plain
from vehicle_links.odx.library import _parsed
from vehicle_simulator.ecus import ECU_TYPES

DATA_IDS = sorted({data_id for ecu_type in ECU_TYPES.values() for data_id in ecu_type.data} | {0xF187, 0x1234})


@pytest.fixture(scope="module")
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> dict[int, EcuDescription]:
    folder = tmp_path_factory.mktemp("pdx")
    found = {}
    for address, ecu_type in ECU_TYPES.items():
        file = _parsed(write_pdx(folder / f"{address}.pdx", ecu_type, address=address))
        assert file is not None
        found[address] = EcuDescription(file.variants[0].variant)
        _kept.append(file)
    return found


# Its variants do not live without it.
_kept: list[object] = []


def test_all_that_the_simulator_knows_is_decoded_as_the_simulator_does(
    descriptions: dict[int, EcuDescription],
) -> None:
    for address, ecu_type in ECU_TYPES.items():
        for definition in ecu_type.data.values():
            raw = (0x21).to_bytes(definition.length, "big")
            said = descriptions[address].data(definition.id, raw)
            assert said["name"] == definition.name
            assert said.get("unit", "") == definition.unit
            assert said["value"] == (
                definition.value(raw) if definition.coding == "number" else f"0x{raw.hex().upper()}"
            )
            assert descriptions[address].data_size(definition.id) == definition.length


def test_physical_values_are_encoded_as_they_are_decoded(descriptions: dict[int, EcuDescription]) -> None:
    idle_speed = bytes.fromhex("2E2001")
    for text in ("900", "0x384", '{"idleSpeedAdaptation": 900}'):
        assert descriptions[0x10].encoded(idle_speed, text) == b"\x03\x84"
    assert descriptions[0x40].encoded(bytes.fromhex("2E2303"), "0A0B") == b"\x0a\x0b"
    bleed_brakes = bytes.fromhex("31010310")
    assert descriptions[0x28].encoded(bleed_brakes, '{"valve": "rearLeft", "duration": 5}') == b"\x03\x05"


@pytest.mark.parametrize(
    ("address", "request_", "value", "complaint"),
    [
        (0x10, "2E2001", "many", r"'many' is no value of idleSpeedAdaptation \(uint, in 1/min\)"),
        (0x10, "2E2001", "70000", "cannot be encoded using 16 bits"),
        (0x10, "2E2001", "-1", "'-1' is no value"),
        (0x10, "2E2001", "1.5", "'1.5' is no value"),
        (0x10, "2E2001", "[" * 100_000, "is no value"),
        (0x10, "2EF405", "90", "no values for a request 0x2EF405…: give bytes"),
        (0x10, "2E1234", "90", "no values for a request 0x2E1234…"),
        (0x10, "31010301", "90", "no values for a request 0x31010301…"),
        (
            0x28,
            "31010310",
            "5",
            r"valve \(one of frontLeft, frontRight, rearLeft, rearRight\), duration \(uint, in s\) \(several",
        ),
        (0x28, "31010310", '{"valve": "rearLeft"}', "'duration'} are required"),
        (0x28, "31010310", '{"valve": "middle", "duration": 5}', "'middle'"),
        (0x28, "31010310", '{"valve": "rearLeft", "duration": 256}', "cannot be encoded using 8 bits"),
    ],
)
def test_what_cannot_be_encoded_is_told_of(
    descriptions: dict[int, EcuDescription], address: int, request_: str, value: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        descriptions[address].encoded(bytes.fromhex(request_), value)


def test_what_a_routine_returns(descriptions: dict[int, EcuDescription]) -> None:
    started = descriptions[0x10].routine(bytes.fromhex("31010301"), bytes.fromhex("71010301 01"))
    assert started == {"name": "Start_selfTest", "value": {"status": "running"}}
    results = descriptions[0x10].routine(bytes.fromhex("31030301"), bytes.fromhex("71030301 00 0064"))
    assert results == {"name": "Results_selfTest", "value": {"status": "completed", "score": 100}}


def test_an_extended_data_record(descriptions: dict[int, EcuDescription]) -> None:
    def said(record: str) -> object:
        return descriptions[0x10].extended_data(bytes.fromhex(f"5906 042011AF {record}"))

    assert said("01 07") == {"name": "occurrenceCounter", "value": 7}
    assert said("02 03") == {"name": "agingCounter", "value": 3}
    # Not described, longer than described, shorter.
    assert [said("03 07"), said("01 0701"), said("01 07 02 03"), said("01")] == [{}] * 4


def test_what_is_longer_or_shorter_than_described_stays_raw(descriptions: dict[int, EcuDescription]) -> None:
    assert descriptions[0x10].data(0xF40C, b"\x1a") == {}
    assert descriptions[0x10].data(0xF40C, b"\x1a\xf8\x00") == {}
    assert descriptions[0x10].data(0x1234, b"\x1a") == {}


@given(st.sampled_from(DATA_IDS), st.binary(max_size=40))
def test_whatever_a_vehicle_sends_is_decoded_or_stays_raw(
    descriptions: dict[int, EcuDescription], data_id: int, raw: bytes
) -> None:
    for description in descriptions.values():
        json.dumps(description.data(data_id, raw), allow_nan=False)


@given(st.binary(min_size=1, max_size=8), st.binary(max_size=16), st.integers(0, 0xFFFFFF))
def test_whatever_is_said_of_routines_and_codes(
    descriptions: dict[int, EcuDescription], request_: bytes, answer: bytes, code: int
) -> None:
    for description in descriptions.values():
        json.dumps(description.routine(request_, answer), allow_nan=False)
        for action in (1, 2, 3):
            head = bytes((action, 3, 1))
            json.dumps(description.routine(b"\x31" + head, b"\x71" + head + answer), allow_nan=False)
        json.dumps(description.extended_data(b"\x59\x06" + code.to_bytes(3, "big") + b"\xaf" + answer), allow_nan=False)
        json.dumps(description.fault(code), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (0.1 + 0.2, 0.3),
        (bytearray(b"\x01"), "0x01"),
        ({"a": [1, (b"\x02", "b")]}, {"a": [1, ["0x02", "b"]]}),
        (None, "None"),
    ],
)
def test_values_as_json(value: object, shown: object) -> None:
    assert _plain(value) == shown
