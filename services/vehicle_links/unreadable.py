"""What a vehicle said and nobody could read, as text to be shown and kept."""

# What carries diagnostic answers could carry more; nobody sends more.
MOST_KEPT_BYTES = 64 * 1024


def quoted(data: bytes, most: int = MOST_KEPT_BYTES) -> str:
    """In hexadecimal; of a long one the beginning."""
    return f"0x{data[:most].hex().upper()}" + _cut(data, most)


def quoted_text(data: bytes) -> str:
    """Text as it is, anything else as above."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return quoted(data)
    return quoted(data) if "\0" in text else text[:MOST_KEPT_BYTES] + _cut(data, MOST_KEPT_BYTES)


def _cut(data: bytes, most: int) -> str:
    return f"… ({len(data)} bytes)" if len(data) > most else ""
