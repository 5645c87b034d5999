"""How a simulated vehicle says no."""

from service_kit.uds import nrc_name

SUB_FUNCTION_NOT_SUPPORTED = 0x12
INCORRECT_LENGTH_OR_FORMAT = 0x13
CONDITIONS_NOT_CORRECT = 0x22
REQUEST_SEQUENCE_ERROR = 0x24
REQUEST_OUT_OF_RANGE = 0x31


class CommandFailed(Exception):
    """The command ends failed with this stable code; `nrc` is set when an ECU refused it."""

    def __init__(self, code: str, message: str, nrc: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.nrc = nrc


def negative_response(nrc: int, reason: str) -> CommandFailed:
    return CommandFailed("NEGATIVE_RESPONSE", f"0x{nrc:02X} {nrc_name(nrc)}: {reason}", nrc)
