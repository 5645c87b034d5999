"""The limits of the command service, each a setting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, unless the name says otherwise."""

    max_timeout_seconds: int = 600
    default_expiry_seconds: int = 900
    max_expiry_seconds: int = 30 * 24 * 3600
    max_pending_per_vehicle: int = 100
    max_responses_per_command: int = 10_000
    max_priority: int = 100
    default_lock_seconds: int = 900
    max_lock_seconds: int = 8 * 3600
    lease_seconds: float = 10.0
    # After a lapsed lease, before what the connector held is taken from it.
    lease_grace_seconds: float = 2.0
    # Dispatched but not claimed.
    claim_seconds: float = 10.0
    # After a lost session, before the fate of what it carried is decided.
    session_grace_seconds: float = 30.0
    # After a deadline that the connector should have enforced itself.
    deadline_grace_seconds: float = 10.0
    cancel_repeat_seconds: float = 5.0
