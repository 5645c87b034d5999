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
    assert descriptions[0x10].encoded(0x2001, "900") == b"\x03\x84"
    assert descriptions[0x10].encoded(0x2001, "0x384") == b"\x03\x84"
    assert descriptions[0x40].encoded(0x2303, "0A0B") == b"\x0a\x0b"


@pytest.mark.parametrize(
    ("data_id", "value", "complaint"),
    [
        (0x2001, "many", r"'many' is no value of idleSpeedAdaptation \(uint, in 1/min\)"),
        (0x2001, "70000", "cannot be encoded using 16 bits"),
        (0x2001, "-1", "'-1' is no value"),
        (0x2001, "1.5", "'1.5' is no value"),
        (0xF405, "90", "does not say how 0xF405 is written: give bytes"),
        (0x1234, "90", "does not say how 0x1234 is written"),
    ],
)
def test_what_cannot_be_encoded_is_told_of(
    descriptions: dict[int, EcuDescription], data_id: int, value: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        descriptions[0x10].encoded(data_id, value)


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
        json.dumps(description.answer(request_, answer), allow_nan=False)
        json.dumps(description.answer(bytes.fromhex("31010301"), b"\x71\x01\x03\x01" + answer), allow_nan=False)
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
