"""The `sovd` entry point."""

import os
import sys


def main() -> None:
    """Runs the program and exits with its code."""
    try:
        if sys.argv[1:] == ["health"] and os.environ.get("SOVD_SERVICE"):
            # What containers ask all the time must not wait for the rest to be loaded.
            from sovd_cli.health import ask_own

            sys.exit(ask_own())
        # Here, because loading takes long enough for somebody to press Ctrl-C.
        from sovd_cli.program import run

        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
