import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_kit.uds.dtc import STATUS_BITS, display_code, fault_object, parse_code, status_object


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (0x042011, "P0420-11"),
        (0x000000, "P0000-00"),
        (0x3FFFFF, "P3FFF-FF"),
        (0x403564, "C0035-64"),
        (0x80011B, "B0001-1B"),
        (0xC12100, "U0121-00"),
        (0xFFFFFF, "U3FFF-FF"),
    ],
)
def test_the_letter_is_in_the_two_highest_bits(code: int, shown: str) -> None:
    assert display_code(code) == shown


@given(st.integers(0, 0xFFFFFF))
def test_every_code_can_be_read_as_it_is_shown_and_as_bytes(code: int) -> None:
    assert parse_code(display_code(code)) == (code, 0xFFFFFF)
    assert parse_code(f"0x{code:06x}") == (code, 0xFFFFFF)


def test_without_a_failure_type_every_one_is_meant() -> None:
    assert parse_code("P0420") == (0x042000, 0xFFFF00)


@pytest.mark.parametrize("text", ["", "P0420-1", "X0420", "0x0420", "P4420", "P0420-11 ", "420"])
def test_what_is_no_code_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no DTC"):
        parse_code(text)


@pytest.mark.parametrize(("bit", "name"), list(enumerate(STATUS_BITS)))
def test_each_status_bit_has_its_name(bit: int, name: str) -> None:
    status = status_object(1 << bit)
    assert [key for key, value in status.items() if value is True] == [name]
    assert status["raw"] == f"0x{1 << bit:02X}"


def test_a_fault_is_shown_with_address_code_and_status() -> None:
    fault = fault_object(0x10, 0x042011, 0x2F)
    assert (fault["ecuAddress"], fault["code"], fault["display_code"]) == ("0x10", "0x042011", "P0420-11")
