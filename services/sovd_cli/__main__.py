"""The `sovd` entry point."""

import sys


def main() -> None:
    """Runs the program and exits with its code."""
    try:
        # Here, because loading takes long enough for somebody to press Ctrl-C.
        from sovd_cli.program import run

        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
