"""The demonstration fleet: embedded mode and DEMO_DATA=true only."""

from command_service.use_cases.actor import Actor
from command_service.use_cases.manage_vehicles import ManageVehicles
from service_kit.errors import Conflict

DEMO_VEHICLES = (
    ("WDD1234567890ABCD", "Mercedes", "E-Class", 2024),
    ("WDD0987654321ZYXW", "Mercedes", "S-Class", 2024),
    # Never simulated: what offline looks like.
    ("WBA1122334455FFEE", "BMW", "5 Series", 2023),
)
_ACTOR = Actor("", "demo data", "admin")


async def create_demo_vehicles(vehicles: ManageVehicles) -> None:
    """Those that are there already stay as they are."""
    for vin, make, model, year in DEMO_VEHICLES:
        try:
            await vehicles.create(_ACTOR, vin, make, model, year, "session", "")
        except Conflict:
            continue
