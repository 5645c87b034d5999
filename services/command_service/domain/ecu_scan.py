"""What the responses of ScanECUs say about a vehicle's ECUs."""

import json
import re
from datetime import datetime
from typing import Any

from command_service.domain.vehicle import Ecu
from service_kit.uds.identification import FACTS

COMMAND_NAME = "ScanECUs"
# No vehicle has so many; what goes beyond is on the command, and not kept with the vehicle.
MAX_ECUS = 1000
_MOST_CHARACTERS = 100
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{1,8}")


def ecu_found(body: str, at: datetime) -> Ecu | None:
    """The ECU that a response tells of; None for the count, and for what makes no sense."""
    response: Any = json.loads(body)
    address = response.get("ecuAddress") if isinstance(response, dict) else None
    if not isinstance(address, str) or _ADDRESS.fullmatch(address) is None:
        return None
    said = {name: _shown(value) for name in FACTS if isinstance(value := response.get(name), str)}
    return Ecu(int(address, 16), said.pop("name", ""), said, at)


def _shown(text: str) -> str:
    """Also what JSON can escape and nothing can encode."""
    return text[:_MOST_CHARACTERS].encode(errors="replace").decode()
