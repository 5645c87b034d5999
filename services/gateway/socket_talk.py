"""What is said over a WebSocket: messages of the client, and whom it watches in consequence."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from gateway.api_types import UUID_PATTERN
from gateway.live_updates import LiveUpdates, Viewer
from gateway.outlet import Outlet
from service_kit.errors import Category, Conflict, InvalidInput, LimitExceeded, NotFound, ServiceError

MAX_MESSAGE_CHARACTERS = 4096
MAX_SUBSCRIPTIONS = 1000
MAX_SEQUENCE_NUMBER = 2**32 - 1

_UUID = re.compile(UUID_PATTERN)
_PONG = '{"event":"pong"}'
_CLOSE_CODES = {
    Category.INVALID: 4400,
    Category.NOT_AUTHENTICATED: 4401,
    Category.FORBIDDEN: 4403,
    Category.NOT_FOUND: 4404,
    # 1013: try again later.
    Category.LIMIT_EXCEEDED: 1013,
    Category.UNAVAILABLE: 1013,
}


class Talk(Protocol):
    """One open WebSocket."""

    def act(self, message: Mapping[str, Any]) -> None:
        """Does what the client says. Raises ServiceError; the socket stays open."""

    def end(self) -> None:
        """The socket is closed: nothing is watched for it any more."""


class CommandTalk:
    """`/ws/responses/{command_id}`: the events of one command, then the socket is closed."""

    __slots__ = ("_live_updates", "_outlet", "_viewer")

    def __init__(self, command_id: str, query: Mapping[str, str], live_updates: LiveUpdates, outlet: Outlet) -> None:
        """Raises InvalidInput."""
        self._live_updates = live_updates
        self._outlet = outlet
        self._viewer = live_updates.open(_uuid(command_id), _after_text(query.get("after", "0")), outlet, self._on_end)

    def act(self, message: Mapping[str, Any]) -> None:
        if message != {"action": "ping"}:
            raise InvalidInput("UNEXPECTED_MESSAGE", 'this socket only takes {"action":"ping"}; /ws/events takes more')
        self._outlet.put(_PONG)

    def end(self) -> None:
        self._live_updates.close(self._viewer)

    def _on_end(self, found: bool) -> None:
        if found:
            self._outlet.close(1000, "the command has ended")
        else:
            refuse(self._outlet, unknown_command(self._viewer.command_id))


class EventsTalk:
    """`/ws/events`: the events of many commands, and connection changes of vehicles."""

    __slots__ = ("_live_updates", "_outlet", "_viewers")

    def __init__(self, live_updates: LiveUpdates, outlet: Outlet) -> None:
        self._live_updates = live_updates
        self._outlet = outlet
        self._viewers: dict[str, Viewer] = {}

    def act(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"action": "ping", **rest} if not rest:
                self._outlet.put(_PONG)
            case {"action": "subscribe", "command_id": command_id, **rest} if rest.keys() <= {"after"}:
                self._subscribe(_uuid(command_id), _after(rest.get("after", 0)))
            case {"action": "unsubscribe", "command_id": command_id, **rest} if not rest:
                self._unsubscribe(_uuid(command_id))
            case {"action": "subscribe", "vehicles": True, **rest} if not rest:
                self._live_updates.vehicles.open(self._outlet)
            case {"action": "unsubscribe", "vehicles": True, **rest} if not rest:
                self._live_updates.vehicles.close(self._outlet)
                self._outlet.put('{"event":"unsubscribed","vehicles":true}')
            case _:
                raise _not_understood(message)

    def end(self) -> None:
        for viewer in self._viewers.values():
            self._live_updates.close(viewer)
        self._live_updates.vehicles.close(self._outlet)

    def _subscribe(self, command_id: str, after: int) -> None:
        if command_id in self._viewers:
            raise Conflict("ALREADY_SUBSCRIBED", "this socket watches it already", {"command_id": command_id})
        if len(self._viewers) >= MAX_SUBSCRIPTIONS:
            message = f"one socket watches at most {MAX_SUBSCRIPTIONS} commands"
            raise LimitExceeded("TOO_MANY_SUBSCRIPTIONS", message, {"command_id": command_id})

        def on_end(found: bool) -> None:
            del self._viewers[command_id]
            if not found:
                self._outlet.put(problem_event(unknown_command(command_id)))

        self._viewers[command_id] = self._live_updates.open(command_id, after, self._outlet, on_end)

    def _unsubscribe(self, command_id: str) -> None:
        viewer = self._viewers.pop(command_id, None)
        if viewer is not None:
            self._live_updates.close(viewer)
        self._outlet.put(_json({"event": "unsubscribed", "command_id": command_id}))


def read_message(text: str | None) -> dict[str, Any]:
    """Raises InvalidInput, saying what is wrong with the message (None: it is binary)."""
    if text is None:
        raise InvalidInput("BINARY_MESSAGE", "messages should be text, each one JSON object")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise InvalidInput("MESSAGE_TOO_LARGE", f"a message may have at most {MAX_MESSAGE_CHARACTERS} characters")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput("MALFORMED_JSON", "the message is not JSON") from None
    if not isinstance(message, dict):
        raise InvalidInput("INVALID_MESSAGE", "a message should be a JSON object")
    return message


def refuse(outlet: Outlet, error: ServiceError) -> None:
    """Says why and closes, before anything that is still queued. Browsers learn of a refusal in no other way."""
    outlet.drop()
    outlet.put(problem_event(error))
    outlet.close(_CLOSE_CODES[error.category], error.message[:100])


def problem_event(error: ServiceError) -> str:
    return _json({"event": "problem", "code": error.code, "message": error.message, **error.details})


def unknown_command(command_id: str) -> ServiceError:
    return NotFound("UNKNOWN_COMMAND", "there is no such command", {"command_id": command_id})


def _not_understood(message: Mapping[str, Any]) -> ServiceError:
    if message.get("action") not in ("subscribe", "unsubscribe", "ping"):
        return InvalidInput("UNKNOWN_ACTION", "action should be subscribe, unsubscribe or ping")
    return InvalidInput(
        "INVALID_MESSAGE",
        'subscribe and unsubscribe take "command_id" (and subscribe "after"), or "vehicles":true; ping takes nothing',
    )


def _uuid(value: object) -> str:
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise InvalidInput("VALIDATION_FAILED", "command_id should be a UUID")
    return value.lower()


def _after(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SEQUENCE_NUMBER:
        raise InvalidInput("VALIDATION_FAILED", f"after should be an integer from 0 to {MAX_SEQUENCE_NUMBER}")
    return value


def _after_text(value: str) -> int:
    return _after(int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else None)


def _json(event: dict[str, Any]) -> str:
    return orjson.dumps(event).decode()
