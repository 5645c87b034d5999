import pytest

from vehicle_simulator.vins import ALPHABET, check_digit, fleet_vins


def test_vins_are_valid_and_distinct() -> None:
    vins = fleet_vins(2000)
    assert len(set(vins)) == 2000
    for vin in vins:
        assert len(vin) == 17
        assert set(vin) <= set(ALPHABET)
        assert not set(vin) & set("IOQ")
        assert vin[8] == check_digit(vin)


def test_the_same_seed_gives_the_same_vins() -> None:
    assert fleet_vins(10, seed=3) == fleet_vins(20, seed=3)[:10]
    assert not set(fleet_vins(10, seed=3)) & set(fleet_vins(10, seed=4))


def test_the_check_digit_of_a_known_vin() -> None:
    assert check_digit("1M8GDM9AXKP042788") == "X"


def test_a_fleet_has_a_size() -> None:
    with pytest.raises(ValueError, match="not -1"):
        fleet_vins(-1)
