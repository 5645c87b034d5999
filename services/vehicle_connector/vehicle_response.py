"""The one place where what a vehicle says is validated. From here on a response is passed on as it is."""

import json
import re
from typing import NoReturn

from sovd_protos.connector.v1.connector_pb2 import Outcome
from vehicle_links.vehicle_link import End, Finished

MAX_RESPONSE_BYTES = 256 * 1024
_MAX_MESSAGE = 1000
_MAX_REASON = 200
# 64 KiB in hexadecimal, and how many there were.
_MAX_UNREADABLE = 2 * 64 * 1024 + 32
_QUOTED = 300
_LARGEST_NRC = 0xFF
_ENDS = {
    End.COMPLETED: Outcome.COMPLETED,
    End.FAILED: Outcome.FAILED,
    End.CANCELLED: Outcome.CANCELLED,
    End.LOST: Outcome.LOST,
}
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


def outcome_of(finished: Finished) -> Outcome:
    """How an attempt ended, as its vehicle says."""
    return Outcome(
        kind=_ENDS[finished.end],
        code="" if finished.end is End.COMPLETED else _clean_code(finished.code),
        message=clean_message(finished.message),
        nrc=clean_nrc(finished.nrc),
        unreadable=_clean_unreadable(finished.unreadable),
    )


def clean_message(text: str) -> str:
    """A text for people, fit to be sent and stored: not too long, without NUL and half surrogate pairs."""
    return _clean(text[:_MAX_MESSAGE])


def _clean_unreadable(text: str) -> str:
    """What nobody could read, fit to be kept; of a long one the beginning."""
    cut = f"… ({len(text)} characters)" if len(text) > _MAX_UNREADABLE else ""
    return _clean(text[:_MAX_UNREADABLE]) + cut


def clean_reason(text: str) -> str:
    """One short line for people, of what may quote a vehicle."""
    return clean_message(" ".join(text.split())[:_MAX_REASON])


def _clean_code(code: str) -> str:
    """A code for programs; what does not look like one becomes one that does."""
    return code if _CODE.fullmatch(code) else "VEHICLE_ERROR"


def clean_nrc(nrc: int) -> int:
    """A negative response code is one byte (ISO 14229-1); what is none says nothing."""
    return nrc if nrc <= _LARGEST_NRC else 0


def _clean(text: str) -> str:
    return text.replace("\0", "�").encode(errors="replace").decode()


def _quote(response: str) -> str:
    return json.dumps(response[:_QUOTED], ensure_ascii=False)
