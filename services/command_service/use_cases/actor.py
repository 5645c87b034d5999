"""Who acts, as the gateway has authenticated them."""

from dataclasses import dataclass

SUBMITTERS = frozenset({"engineer", "admin"})


@dataclass(frozen=True, slots=True)
class Actor:
    """`role`: viewer, engineer or admin."""

    user_id: str
    username: str
    role: str
