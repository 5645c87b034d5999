"""A command's events over the WebSocket, from one to the last, however often the connection breaks."""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from sovd_cli.api import Api
from sovd_cli.errors import CliError, ExitCode, TooManyRequests, Unreachable

GIVE_UP_AFTER_SECONDS = 300.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
# One response is at most 256 KiB; the event around it is small.
LARGEST_EVENT = 1024 * 1024
# Close codes that say "trying again is pointless": policy violation, too big, and the gateway's own 44xx but 4401,
# which a new ticket cures.
FINAL_CLOSE_CODES = frozenset({1008, 1009, *range(4402, 4500), 4400})

_OUTCOMES = {
    "completed": ExitCode.COMPLETED,
    "failed": ExitCode.FAILED,
    "timed_out": ExitCode.TIMED_OUT,
    "expired": ExitCode.EXPIRED,
    "cancelled": ExitCode.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event: as it came, on one line, and read."""

    line: str
    body: dict[str, Any]

    @property
    def is_response(self) -> bool:
        return self.body.get("event") == "response"

    @property
    def outcome(self) -> ExitCode | None:
        """How the command ended; None for an event that is not the last."""
        return None if self.is_response else outcome(self.body)


def outcome(command: dict[str, Any]) -> ExitCode | None:
    """What the status of a command or of a terminal event means as an exit code; None: it has not ended."""
    if command.get("code", command.get("error_code")) == "OUTCOME_UNKNOWN":
        return ExitCode.OUTCOME_UNKNOWN
    return _OUTCOMES.get(str(command.get("status")))


class Follower:
    """Iterates over a command's events; remembers how far it came, so iterating again goes on from there."""

    def __init__(
        self, api: Api, command_id: str, after: int = 0, on_trouble: Callable[[str], None] | None = None
    ) -> None:
        self._api = api
        self.command_id = command_id
        self.after = after
        self._on_trouble = on_trouble or (lambda message: None)

    def __iter__(self) -> Iterator[Event]:
        delay, last_progress = FIRST_DELAY, time.monotonic()
        while True:
            try:
                for event in self._connection():
                    delay, last_progress = FIRST_DELAY, time.monotonic()
                    yield event
                    if event.outcome is not None:
                        return
                trouble: Exception = Unreachable("the server closed the connection early")
            except (OSError, WebSocketException, Unreachable, TooManyRequests) as error:
                trouble = error
            if time.monotonic() - last_progress > GIVE_UP_AFTER_SECONDS:
                raise Unreachable(f"lost {self._api.url}: {trouble}; go on with 'sovd watch {self.command_id}'")
            self._on_trouble(f"connection lost ({_short(trouble)}); reconnecting")
            time.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            delay = min(delay * 2, LONGEST_DELAY)

    def _connection(self) -> Iterator[Event]:
        """The events of one connection; ends when the server closes it."""
        try:
            with connect(self._address(), max_size=LARGEST_EVENT, close_timeout=1) as socket:
                for message in socket:
                    event = _event(message)
                    if event is not None and self._is_news(event):
                        yield event
        except InvalidStatus as error:
            status = error.response.status_code
            if 400 <= status < 500 and status not in (401, 408, 429):
                raise CliError(f"the server refused to show the command: {status}") from error
            raise
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code in FINAL_CLOSE_CODES:
                raise CliError(f"the server ended the connection: {error.rcvd.reason or error.rcvd.code}") from error
            raise

    def _address(self) -> str:
        ticket = self._api.post("/api/v1/auth/ws-ticket", again=True)["ticket"]
        query = urlencode({"ticket": ticket, "after": self.after})
        scheme, _, rest = self._api.url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws/responses/{self.command_id}?{query}"

    def _is_news(self, event: Event) -> bool:
        if not event.is_response:
            return True
        number = int(event.body["sequence_number"])
        if number <= self.after:
            return False
        self.after = number
        return True


def _event(message: str | bytes) -> Event | None:
    """None for what a newer server may send that this version does not know."""
    text = message if isinstance(message, str) else message.decode()
    body = json.loads(text)
    if not isinstance(body, dict) or body.get("event") not in ("response", "status", "error"):
        return None
    # A vehicle's JSON comes as the vehicle wrote it; line breaks in it are only ever white space.
    return Event(text.replace("\n", " ").replace("\r", " "), body)


def _short(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
