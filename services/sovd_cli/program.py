"""Runs the program; whatever goes wrong is one line on stderr and an exit code."""

import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from sovd_cli.app import app
from sovd_cli.errors import CliError, ExitCode
from sovd_cli.output import say


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one call of the program."""
    try:
        code = app(arguments, standalone_mode=False, prog_name="sovd")
        return code if isinstance(code, int) else 0
    except CliError as error:
        return _complain(error.message, error.exit_code)
    except TyperException as error:  # bad use
        return _complain(error.format_message(), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _complain("stopped", ExitCode.DETACHED)
    except BrokenPipeError:  # as in `sovd commands | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:
        if os.environ.get("SOVD_DEBUG"):
            raise
        return _complain(f"internal error: {error!r} (SOVD_DEBUG=1 shows where)", ExitCode.FAILED)


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    if line:
        say(f"sovd: {line}")
    return code
