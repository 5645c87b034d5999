"""Who is asking, and may they? Dependencies for routes, and the same for WebSockets."""

from collections.abc import Awaitable, Callable

from fastapi import Request, WebSocket
from starlette.requests import HTTPConnection

from gateway.app_state import AppState, app_state
from gateway.audit_trail import audit_entry
from gateway.tokens import CurrentUser as CurrentUser
from gateway.tokens import Role, invalid_token
from service_kit.errors import Forbidden, NotAuthenticated

# Where the access log finds the user.
SCOPE_KEY = "sovd.user"


def remote_address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "unknown"


async def current_user(request: Request) -> CurrentUser:
    """The user of a valid access token whose login session is live, counted against that user's rate limit."""
    state = app_state(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        token = ""
    return await _identify(request, state, _user_of_token(state, token.strip()))


def require_role(*roles: Role) -> Callable[[Request], Awaitable[CurrentUser]]:
    """A dependency: the current user, who must have one of these roles."""

    async def user_with_role(request: Request) -> CurrentUser:
        user = await current_user(request)
        if user.role not in roles:
            raise _refusal(request, user, roles)
        return user

    return user_with_role


require_engineer = require_role("engineer", "admin")
require_admin = require_role("admin")


async def anonymous(request: Request) -> str:
    """A dependency for calls that need no user: counted against the address, which it returns."""
    address = remote_address(request)
    await app_state(request).rate_limits.check_address(address)
    return address


async def authenticate_websocket(websocket: WebSocket) -> CurrentUser:
    """By `?ticket=` (single use) or `?token=`. Raises NotAuthenticated, LimitExceeded or Unavailable."""
    state = app_state(websocket)
    ticket, token = websocket.query_params.get("ticket"), websocket.query_params.get("token")
    identified = state.logins.redeem_ticket(ticket) if ticket else _user_of_token(state, token or "")
    return await _identify(websocket, state, identified)


async def _identify(connection: HTTPConnection, state: AppState, identified: Awaitable[CurrentUser]) -> CurrentUser:
    try:
        user = await identified
    except NotAuthenticated:
        # Who guesses tokens is slowed down by address.
        await state.rate_limits.check_address(remote_address(connection))
        raise
    await state.rate_limits.check_user(user.user_id)
    connection.scope[SCOPE_KEY] = user
    return user


async def _user_of_token(state: AppState, token: str) -> CurrentUser:
    if not token:
        raise invalid_token("an access token is needed: Authorization: Bearer <access_token>")
    user = state.access_tokens.verify(token)
    if not await state.sessions.is_live(user.sid):
        raise invalid_token("the login session has ended; log in again")
    return user


def _refusal(request: Request, user: CurrentUser, roles: tuple[Role, ...]) -> Forbidden:
    subject = ("request", f"{request.method} {request.url.path}")
    app_state(request).audit.record(
        audit_entry("request.refused", "refused", user=user, subject=subject, remote_address=remote_address(request))
    )
    return Forbidden("FORBIDDEN", f"this needs the role {' or '.join(roles)}; you have the role {user.role}")
