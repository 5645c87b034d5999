"""`python -m command_service`."""

from command_service.composition import compose
from command_service.settings import Settings
from service_kit.lifecycle import run_service
from service_kit.settings import load_settings


def main() -> None:
    run_service("command_service", load_settings(Settings), compose)


if __name__ == "__main__":
    main()
