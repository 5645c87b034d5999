"""What can go wrong for somebody at a terminal, and the exit code that says so."""

from enum import IntEnum


class ExitCode(IntEnum):
    """A command's outcome, or why there is none."""

    COMPLETED = 0
    FAILED = 1
    BAD_USE = 2
    TIMED_OUT = 3
    EXPIRED = 4
    CANCELLED = 5
    OUTCOME_UNKNOWN = 6
    NOT_ALLOWED = 7
    UNREACHABLE = 8
    DETACHED = 130


EXIT_CODES_HELP = (
    "Exit codes: 0 completed, 1 failed, 2 bad use or refused request, 3 timed out, 4 expired, 5 cancelled, "
    "6 OUTCOME_UNKNOWN (nobody can tell whether the vehicle did it), 7 not logged in or not allowed, "
    "8 the server cannot be reached, 130 detached with Ctrl-C (the command goes on)."
)


class CliError(Exception):
    """Ends the program with one line on stderr."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.BAD_USE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class Unreachable(CliError):
    """No answer, or one that says to come back later: trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.UNREACHABLE)


class TooManyRequests(CliError):
    """What waits may ask again: the server is there, and has had enough of this user or address."""


class NotLoggedIn(CliError):
    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NOT_ALLOWED)
