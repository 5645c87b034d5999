"""Cursors of the lists that the gateway keeps itself: opaque to whoever holds them."""

import base64
import json

from service_kit.errors import InvalidInput


def encode_cursor(*key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, parts: int) -> list[str]:
    """Raises InvalidInput INVALID_CURSOR."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(key, list) or len(key) != parts or not all(isinstance(part, str) for part in key):
            raise ValueError("not one of ours")
        if any("\0" in part for part in key):
            raise ValueError("no text of a database")
        "".join(key).encode()  # escaped, half a surrogate pair is JSON; it is no text
    except (ValueError, RecursionError):
        raise not_ours() from None
    return key


def not_ours() -> InvalidInput:
    return InvalidInput("INVALID_CURSOR", "cursor is not one that this list has given; leave it out to start anew")
