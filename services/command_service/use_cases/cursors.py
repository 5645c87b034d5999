"""Cursors of paginated lists: opaque to whoever holds them."""

import base64
import json
from datetime import UTC, datetime

from service_kit.errors import InvalidInput


def encode_cursor(*key: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_int(cursor: str) -> int | None:
    """None for an empty cursor. Raises InvalidInput INVALID_CURSOR."""
    key = _decode(cursor, int)
    return key if key is None else int(key[0])


def decode_text_pair(cursor: str) -> tuple[str, str] | None:
    key = _decode(cursor, str, str)
    return key if key is None else (key[0], key[1])


def decode_sorted(cursor: str, sort: str) -> tuple[str, str] | None:
    """Of a list that can be sorted in several ways: a cursor is good for the one that it was made for."""
    key = _decode(cursor, str, str, str)
    if key is None:
        return None
    if key[0] != sort:
        raise not_ours()
    return key[1], key[2]


def decode_time_and_text(cursor: str) -> tuple[datetime, str] | None:
    """The time travels as microseconds since the Unix epoch."""
    key = _decode(cursor, int, str)
    try:
        return key if key is None else (datetime.fromtimestamp(key[0] / 1_000_000, UTC), key[1])
    except (ValueError, OverflowError):
        raise not_ours() from None


def _decode(cursor: str, *kinds: type) -> list | None:  # type: ignore[type-arg]
    if not cursor:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
            raise ValueError("not one of ours")
        if any(isinstance(part, int) and abs(part) >= 2**62 for part in key):
            raise ValueError("out of range")
        json.dumps(key, ensure_ascii=False).encode()  # escaped, half a surrogate pair is JSON; it is no text
    except (ValueError, RecursionError):
        raise not_ours() from None
    return key


def not_ours() -> InvalidInput:
    return InvalidInput("INVALID_CURSOR", "cursor is not one that this list has given; leave it out to start anew")
