"""The WebSockets: one command, or many at once."""

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.app_state import app_state
from gateway.auth import authenticate_websocket
from gateway.live_updates import LiveUpdates
from gateway.metrics import WEBSOCKETS_OPEN
from gateway.outlet import Outlet
from gateway.socket_talk import CommandTalk, EventsTalk, Talk, problem_event, read_message, refuse
from gateway.tokens import invalid_token
from service_kit.errors import Category, InvalidInput, ServiceError

# A client that sends so much nonsense is broken.
MAX_BAD_MESSAGES = 20

DESCRIPTION = """

## Live events

Browsers cannot send headers with a WebSocket: open it with `?ticket=…` (from `POST /api/v1/auth/ws-ticket`, good once)
or `?token=…` (an access token).

`/ws/responses/{command_id}?ticket=…&after=N` sends what is recorded of one command after response number N (default 0),
then what happens, then closes with 1000 after the terminal event.

`/ws/events?ticket=…` is one socket for many commands. The client sends
`{"action":"subscribe","command_id":"…","after":N}`, `{"action":"unsubscribe","command_id":"…"}`,
`{"action":"subscribe","vehicles":true}`, `{"action":"unsubscribe","vehicles":true}` or `{"action":"ping"}`. It watches
at most 1000 commands at a time; one that has ended leaves by itself. `unsubscribe` is answered by
`{"event":"unsubscribed",…}`, after which nothing more of it comes; `ping` by `{"event":"pong"}`.

Events of a command: `response` (numbered 1..n, in order, without gaps or repeats), `status` (with a growing `revision`,
never before the responses it counts) and `error`, the terminal event of a command that did not complete. After a lost
connection, open again with `after` = the last `sequence_number`.

Events of vehicles, when their connection, their lock or why they are not reached changes:
`{"event":"vehicle","vehicle_id":"…","vin":"…","connection_status":"offline","lock":null,
"link_problem":{"reason":"…","since":"…"},"at":"…"}`. They are not recorded: `{"event":"resync","vehicles":true}` comes
first, and whenever one may have been missed, and says "read `GET /api/v1/vehicles` now".

What a client does wrong is answered by `{"event":"problem","code":"…","message":"…"}`. Close codes: 1000 the command
has ended, 1012 the service restarts, 1013 try again later, 4400 a bad request, 4401 not authenticated, or the login
session has ended, 4404 no such command.
"""


class WebSockets:
    """ASGI: serves the WebSockets, and leaves the rest to `http`.

    They do not enter the framework, whose layers would stay in memory, a third of it all, while a socket is open.
    """

    def __init__(self, app: Starlette, http: ASGIApp) -> None:
        self._app = app
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._http(scope, receive, send)
            return
        scope["app"] = self._app
        begin = _begin(scope["path"], websocket := WebSocket(scope, receive, send))
        await (_serve(websocket, begin) if begin else websocket.close())


def _begin(path: str, websocket: WebSocket) -> Callable[[LiveUpdates, Outlet], Talk] | None:
    """What is talked about at this address."""
    if path == "/ws/events":
        return EventsTalk
    head, _, command_id = path.rpartition("/")
    return partial(CommandTalk, command_id, websocket.query_params) if head == "/ws/responses" else None


async def _serve(websocket: WebSocket, begin: Callable[[LiveUpdates, Outlet], Talk]) -> None:
    """Accepts first: a browser is told nothing about a WebSocket that was never open."""
    await websocket.accept()
    state, outlet = app_state(websocket), Outlet(websocket)
    try:
        user = await authenticate_websocket(websocket)
        talk = begin(state.live_updates, outlet)
    except ServiceError as error:
        refuse(outlet, error)
        await _ended(websocket)
        return
    unwatch = state.sessions.watch(user.sid, partial(refuse, outlet, invalid_token("the login session has ended")))
    state.live_updates.attach(outlet)
    WEBSOCKETS_OPEN.inc()
    try:
        await _listen(websocket, outlet, talk)
    finally:
        WEBSOCKETS_OPEN.dec()
        state.live_updates.detach(outlet)
        unwatch()
        talk.end()
        outlet.abandon()


async def _listen(websocket: WebSocket, outlet: Outlet, talk: Talk) -> None:
    """Until the socket is closed, by whichever side."""
    bad_messages = 0
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        await outlet.room()
        try:
            talk.act(read_message(message.get("text")))
        except ServiceError as error:
            outlet.put(problem_event(error))
            bad_messages += error.category is Category.INVALID
        if bad_messages == MAX_BAD_MESSAGES:
            refuse(outlet, InvalidInput("TOO_MANY_BAD_MESSAGES", f"{MAX_BAD_MESSAGES} messages made no sense"))


async def _ended(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
