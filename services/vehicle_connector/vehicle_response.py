"""The one place where what a vehicle says is validated. From here on a response is passed on as it is."""

import json
import re
from typing import NoReturn

MAX_RESPONSE_BYTES = 256 * 1024
_MAX_MESSAGE = 1000
_MAX_REASON = 200
_QUOTED = 300
_LARGEST_NRC = 0xFF
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# NaN and Infinity are Python's, not JSON's: a browser would choke on them.
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def complaint_about(response: str) -> str | None:
    """None for one JSON object of at most 256 KiB; else why not, with the beginning of what came."""
    if len(response) * 4 > MAX_RESPONSE_BYTES and len(response.encode()) > MAX_RESPONSE_BYTES:
        return f"larger than {MAX_RESPONSE_BYTES} bytes: {_quote(response)}"
    try:
        value = _decode(response)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({str(error)[:100]}): {_quote(response)}"
    return None if isinstance(value, dict) else f"not a JSON object: {_quote(response)}"


def clean_message(text: str) -> str:
    """A text for people, fit to be sent and stored: not too long, without NUL and half surrogate pairs."""
    return text[:_MAX_MESSAGE].replace("\0", "�").encode(errors="replace").decode()


def clean_reason(text: str) -> str:
    """One short line for people, of what may quote a vehicle."""
    return clean_message(" ".join(text.split())[:_MAX_REASON])


def clean_code(code: str, default: str) -> str:
    """A code for programs; what does not look like one becomes `default`."""
    return code if _CODE.fullmatch(code) else default


def clean_nrc(nrc: int) -> int:
    """A negative response code is one byte (ISO 14229-1); what is none says nothing."""
    return nrc if nrc <= _LARGEST_NRC else 0


def _quote(response: str) -> str:
    return json.dumps(response[:_QUOTED], ensure_ascii=False)
