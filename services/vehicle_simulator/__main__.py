"""`python -m vehicle_simulator`: a fleet of simulated vehicles that dial in."""

from service_kit.lifecycle import run_service
from service_kit.settings import load_settings
from vehicle_simulator.composition import NAME, compose
from vehicle_simulator.settings import Settings


def main() -> None:
    run_service(NAME, load_settings(Settings), compose)


if __name__ == "__main__":
    main()
