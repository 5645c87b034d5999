"""What a vehicle presents in its hello: derived from a secret of the platform, bound to the VIN."""

import hashlib
import hmac


def vehicle_credential(secret: str, vin: str) -> str:
    """Hex HMAC-SHA256 of the VIN under the platform's secret: an agent that shows another VIN does not match."""
    return hmac.new(secret.encode(), vin.encode(), hashlib.sha256).hexdigest()


def is_vehicle_credential(secret: str, vin: str, presented: str) -> bool:
    return hmac.compare_digest(vehicle_credential(secret, vin).encode(), presented.encode())
