"""Links are tested in a connector, with a played command service."""

from tests.unit.vehicle_connector.conftest import world, worlds

__all__ = ["world", "worlds"]
