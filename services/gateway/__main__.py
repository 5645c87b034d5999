"""The gateway as a process of its own."""

from gateway.composition import compose
from gateway.settings import GatewaySettings
from service_kit.lifecycle import run_service
from service_kit.settings import load_settings


def main() -> None:
    run_service("gateway", load_settings(GatewaySettings), compose)


if __name__ == "__main__":
    main()
