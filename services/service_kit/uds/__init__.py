"""The vocabulary of UDS: negative response codes (ISO 14229-1:2020, Annex A) and who is addressed."""

RESPONSE_PENDING = 0x78
# What an ECU keeps to itself when all are asked: it is not concerned (ISO 14229-1:2020, 8.7.3).
NOT_SAID_TO_ALL = frozenset((0x11, 0x12, 0x31, 0x7E, 0x7F))

NRC_NAMES: dict[int, str] = {
    0x10: "generalReject",
    0x11: "serviceNotSupported",
    0x12: "subFunctionNotSupported",
    0x13: "incorrectMessageLengthOrInvalidFormat",
    0x14: "responseTooLong",
    0x21: "busyRepeatRequest",
    0x22: "conditionsNotCorrect",
    0x24: "requestSequenceError",
    0x25: "noResponseFromSubnetComponent",
    0x26: "failurePreventsExecutionOfRequestedAction",
    0x31: "requestOutOfRange",
    0x33: "securityAccessDenied",
    0x34: "authenticationRequired",
    0x35: "invalidKey",
    0x36: "exceedNumberOfAttempts",
    0x37: "requiredTimeDelayNotExpired",
    0x38: "secureDataTransmissionRequired",
    0x39: "secureDataTransmissionNotAllowed",
    0x3A: "secureDataVerificationFailed",
    0x50: "certificateVerificationFailed-InvalidTimePeriod",
    0x51: "certificateVerificationFailed-InvalidSignature",
    0x52: "certificateVerificationFailed-InvalidChainOfTrust",
    0x53: "certificateVerificationFailed-InvalidType",
    0x54: "certificateVerificationFailed-InvalidFormat",
    0x55: "certificateVerificationFailed-InvalidContent",
    0x56: "certificateVerificationFailed-InvalidScope",
    0x57: "certificateVerificationFailed-InvalidCertificate",
    0x58: "ownershipVerificationFailed",
    0x59: "challengeCalculationFailed",
    0x5A: "settingAccessRightsFailed",
    0x5B: "sessionKeyCreationDerivationFailed",
    0x5C: "configurationDataUsageFailed",
    0x5D: "deAuthenticationFailed",
    0x70: "uploadDownloadNotAccepted",
    0x71: "transferDataSuspended",
    0x72: "generalProgrammingFailure",
    0x73: "wrongBlockSequenceCounter",
    RESPONSE_PENDING: "requestCorrectlyReceived-ResponsePending",
    0x7E: "subFunctionNotSupportedInActiveSession",
    0x7F: "serviceNotSupportedInActiveSession",
    0x81: "rpmTooHigh",
    0x82: "rpmTooLow",
    0x83: "engineIsRunning",
    0x84: "engineIsNotRunning",
    0x85: "engineRunTimeTooLow",
    0x86: "temperatureTooHigh",
    0x87: "temperatureTooLow",
    0x88: "vehicleSpeedTooHigh",
    0x89: "vehicleSpeedTooLow",
    0x8A: "throttle/PedalTooHigh",
    0x8B: "throttle/PedalTooLow",
    0x8C: "transmissionRangeNotInNeutral",
    0x8D: "transmissionRangeNotInGear",
    0x8F: "brakeSwitch(es)NotClosed",
    0x90: "shifterLeverNotInPark",
    0x91: "torqueConverterClutchLocked",
    0x92: "voltageTooHigh",
    0x93: "voltageTooLow",
    0x94: "resourceTemporarilyNotAvailable",
}


def nrc_name(code: int) -> str:
    """The standard's name of the code; for a code that has none, what range it lies in."""
    if name := NRC_NAMES.get(code):
        return name
    return "vehicleManufacturerSpecificConditionsNotCorrect" if 0xF0 <= code <= 0xFE else "ISOSAEReserved"


# ISO 13400-2 table 13: functional group addresses; ISO 15765-4: 11-bit and 29-bit functional request identifiers.
FUNCTIONAL_DOIP = range(0xE000, 0xF000)
_FUNCTIONAL_CAN_11_BIT = 0x7DF
_FUNCTIONAL_CAN_29_BIT = range(0x18DB0000, 0x18DC0000)


def is_functional(ecu_address: int) -> bool:
    """Whether the address reaches several ECUs at once (ISO 13400-2, ISO 15765-4)."""
    return (
        ecu_address in FUNCTIONAL_DOIP or ecu_address == _FUNCTIONAL_CAN_11_BIT or ecu_address in _FUNCTIONAL_CAN_29_BIT
    )
