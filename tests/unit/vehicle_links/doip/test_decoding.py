"""What ECUs answer, decoded; and garbage, which harms nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vehicle_links.doip.commands import responses_to
from vehicle_links.doip.decoding import (
    BadAnswer,
    SizeNeeded,
    data_value,
    dtcs,
    extended_data_records,
    fault_details,
    snapshot_records,
)
from vehicle_links.doip.descriptions import RAW

ABOUT = bytes.fromhex("042011 2F")
SNAPSHOTS = bytes.fromhex("5904") + ABOUT
EXTENDED = bytes.fromhex("5906") + ABOUT


def test_faults_come_with_code_and_every_status_bit() -> None:
    first, second = responses_to("ReadDTC", {}, 0x10, bytes.fromhex("5902FF 0420112F C1210028"), RAW)
    assert (first["code"], first["display_code"], first["ecuAddress"]) == ("0x042011", "P0420-11", "0x10")
    assert second["display_code"] == "U0121-00"
    status = second["status"]
    assert isinstance(status, dict)
    assert [name for name, value in status.items() if value is True] == ["confirmedDTC", "testFailedSinceLastClear"]


def test_no_faults_are_no_faults() -> None:
    assert dtcs(bytes.fromhex("5902FF")) == []


@pytest.mark.parametrize("answer", ["59", "5902", "5902FF04", "5902FF0420112FC1"])
def test_a_list_that_is_cut_off_is_refused_with_its_bytes(answer: str) -> None:
    with pytest.raises(BadAnswer, match=f"0x{answer}") as refused:
        dtcs(bytes.fromhex(answer))
    assert refused.value.code == "BAD_VEHICLE_RESPONSE"


def test_snapshots_are_split_by_the_sizes_of_their_identifiers() -> None:
    answer = SNAPSHOTS + bytes.fromhex("01 02 F405 7B F40C 1AF8  02 01 F405 7C")
    first, second = snapshot_records(answer, {0xF405: 1, 0xF40C: 2})
    assert first == {
        "record_number": 1,
        "data": [{"id": "0xF405", "raw": "0x7B"}, {"id": "0xF40C", "raw": "0x1AF8"}],
    }
    assert second == {"record_number": 2, "data": [{"id": "0xF405", "raw": "0x7C"}]}


def test_a_size_that_is_needed_is_asked_for_and_one_that_nobody_knows_leaves_the_rest_raw() -> None:
    answer = SNAPSHOTS + bytes.fromhex("01 02 F405 7B 1234 AABB")
    with pytest.raises(SizeNeeded) as needed:
        snapshot_records(answer, {0xF405: 1})
    assert needed.value.identifier == 0x1234
    (record,) = snapshot_records(answer, {0xF405: 1, 0x1234: 0})
    assert record == {"record_number": 1, "data": [{"id": "0xF405", "raw": "0x7B"}], "raw": "0x1234AABB"}


def test_extended_data_is_split_by_the_sizes_of_its_records() -> None:
    answer = EXTENDED + bytes.fromhex("01 07 02 0003")
    with pytest.raises(SizeNeeded):
        extended_data_records(answer, {})
    assert extended_data_records(answer, {1: 1, 2: 2}) == [
        {"record_number": 1, "raw": "0x07"},
        {"record_number": 2, "raw": "0x0003"},
    ]


def test_details_of_another_dtc_are_refused() -> None:
    assert fault_details(0x10, 0x042011, SNAPSHOTS, EXTENDED)["display_code"] == "P0420-11"
    with pytest.raises(BadAnswer, match="not about the DTC"):
        fault_details(0x10, 0x017100, SNAPSHOTS, b"")


def test_identification_is_shown_as_text_and_other_data_as_bytes() -> None:
    vin = data_value(0x10, 0xF190, b"\x62\xf1\x90WDD1234567890ABCD")
    assert vin["value"] == "WDD1234567890ABCD"
    assert data_value(0x10, 0xF40C, bytes.fromhex("62F40C1AF8")) == {
        "ecuAddress": "0x10",
        "id": "0xF40C",
        "raw": "0x1AF8",
    }
    assert "value" not in data_value(0x10, 0xF190, b"\x62\xf1\x90\xff\xfe\x00")


def test_the_beginning_of_a_long_answer_is_shown_and_all_of_it_kept() -> None:
    refused = BadAnswer("is long", b"\xab" * 65_536)
    assert refused.message.endswith(": 0x" + "AB" * 300 + "… (65536 bytes)")
    assert refused.unreadable == "0x" + "AB" * 65_536
    assert BadAnswer("", b"\xab" * 65_537).unreadable == "0x" + "AB" * 65_536 + "… (65537 bytes)"


SIZES = st.dictionaries(st.integers(0, 0xFFFF), st.integers(0, 8), max_size=8)


@given(st.binary(max_size=80), SIZES)
@pytest.mark.parametrize(
    "decode",
    [
        lambda data, sizes: dtcs(data),
        lambda data, sizes: snapshot_records(data, sizes),
        lambda data, sizes: extended_data_records(data, sizes),
        lambda data, sizes: data_value(0x10, 0xF190, data),
        lambda data, sizes: fault_details(0x10, 0x042011, data, data),
    ],
)
def test_garbage_is_refused_or_decoded_and_nothing_else(
    decode: Callable[[bytes, dict[int, int]], object], data: bytes, sizes: dict[int, int]
) -> None:
    refused = needed = None
    try:
        decode(data, sizes)
    except BadAnswer as error:
        refused = error
    except SizeNeeded as error:
        needed = error
    assert refused is None or f"0x{data.hex().upper()}" in refused.message
    assert needed is None or needed.identifier not in sizes


@given(st.binary(max_size=60))
def test_whatever_the_sizes_turn_out_to_be_decoding_ends(data: bytes) -> None:
    sizes: dict[int, int] = {}
    for _ in range(len(data) + 1):
        try:
            snapshot_records(SNAPSHOTS + data, sizes)
            return
        except BadAnswer:
            return
        except SizeNeeded as needed:
            sizes[needed.identifier] = 1
    raise AssertionError("it asks for ever")
