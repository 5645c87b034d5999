"""`python -m vehicle_connector`."""

from service_kit.lifecycle import run_service
from service_kit.settings import load_settings
from vehicle_connector.composition import compose
from vehicle_connector.settings import Settings


def main() -> None:
    run_service("vehicle_connector", load_settings(Settings), compose)


if __name__ == "__main__":
    main()
