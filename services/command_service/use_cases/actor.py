"""Who acts, as the gateway has authenticated them."""

from dataclasses import dataclass

from service_kit.errors import Forbidden

SUBMITTERS = frozenset({"engineer", "admin"})


@dataclass(frozen=True, slots=True)
class Actor:
    """`role`: viewer, engineer or admin."""

    user_id: str
    username: str
    role: str


def require_admin(actor: Actor) -> None:
    """Raises Forbidden."""
    if actor.role != "admin":
        raise Forbidden("FORBIDDEN", "only an admin may change the fleet")
