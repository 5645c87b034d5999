"""Command ids as the tests name them."""

from uuid import NAMESPACE_OID, uuid5


def command_id(name: str) -> str:
    """The same for the same name."""
    return str(uuid5(NAMESPACE_OID, name))


C1, C2, C3, C4 = (command_id(f"c{number}") for number in range(1, 5))
