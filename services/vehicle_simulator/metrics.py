"""Metrics of the simulator."""

from prometheus_client import Counter, Gauge

from vehicle_simulator.commands import COMMAND_NAMES

VEHICLES_CONNECTED = Gauge("sovd_simulated_vehicles_connected", "Simulated vehicles that have a session.")
COMMANDS = Counter(
    "sovd_simulated_commands_total", "Commands that simulated vehicles have finished.", ["command_name", "outcome"]
)


def count_command(command_name: str, outcome: str) -> None:
    """Names from outside the catalogue are counted as one: they may be anything."""
    COMMANDS.labels(command_name if command_name in COMMAND_NAMES else "other", outcome).inc()
