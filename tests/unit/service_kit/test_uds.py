from service_kit.uds import NRC_NAMES, nrc_name


def test_names_of_the_standard() -> None:
    assert nrc_name(0x22) == "conditionsNotCorrect"
    assert nrc_name(0x31) == "requestOutOfRange"
    assert nrc_name(0x78) == "requestCorrectlyReceived-ResponsePending"
    assert len(set(NRC_NAMES.values())) == len(NRC_NAMES)


def test_codes_without_a_name_say_what_range_they_lie_in() -> None:
    assert nrc_name(0xF3) == "vehicleManufacturerSpecificConditionsNotCorrect"
    assert nrc_name(0x01) == "ISOSAEReserved"
