"""`python -m vehicle_agent`: dials in for one vehicle."""

from service_kit.lifecycle import run_service
from service_kit.settings import load_settings
from vehicle_agent.composition import NAME, compose
from vehicle_agent.settings import Settings


def main() -> None:
    run_service(NAME, load_settings(Settings), compose)


if __name__ == "__main__":
    main()
