"""Log-in, refresh, log-out, who am I, and tickets for WebSockets."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from gateway.answers import answers, json_answer
from gateway.api_types import NO_NUL, ApiAnswer, ApiBody
from gateway.app_state import app_state
from gateway.auth import CurrentUser, anonymous, current_user, remote_address
from gateway.logins import TICKET_SECONDS, TokenPair
from gateway.openapi import PUBLIC
from gateway.problem_details import problems, service_error_response
from gateway.refresh_cookie import CSRF_PARAMETER, REFRESH_COOKIE, token_of_cookie, with_cookie, without_cookie
from gateway.tokens import Role, invalid_token
from service_kit.errors import NotAuthenticated

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

TOKENS_EXAMPLE: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…",
    "refresh_token": "uV3mT1xkq8Zr0c9bJ5yD2wNf7hLs4gAeQpXoKiMvB6E",
    "token_type": "bearer",
    "expires_in": 900,
}
RefreshToken = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=NO_NUL)]


class LoginRequest(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"username": "engineer", "password": "engineer123"}})

    username: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NO_NUL)]
    refresh_cookie: bool = Field(
        False, description="For browsers: the refresh token comes in a cookie that scripts cannot read."
    )


class RefreshRequest(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": TOKENS_EXAMPLE["refresh_token"]}})

    refresh_token: RefreshToken | None = Field(None, description="Left out where it comes in the cookie.")


class LogoutRequest(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": TOKENS_EXAMPLE["refresh_token"]}})

    refresh_token: RefreshToken | None = Field(None, description="Instead of an access token, when that has expired.")


class Tokens(ApiAnswer):
    access_token: str
    refresh_token: str | None = Field(description="null where it comes in the cookie.")
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds for which the access token is good.")


class UserAnswer(ApiAnswer):
    user_id: str
    username: str
    email: str
    full_name: str
    role: Role
    is_active: bool


class Ticket(ApiAnswer):
    ticket: str
    expires_in: int


USER_EXAMPLE = {
    "user_id": "8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11",
    "username": "engineer",
    "email": "engineer@example.com",
    "full_name": "Demo Engineer",
    "role": "engineer",
    "is_active": True,
}


@router.post("/login", responses=answers(Tokens, TOKENS_EXAMPLE) | problems(401), openapi_extra=PUBLIC)
async def log_in(request: Request, login: LoginRequest) -> Response:
    """Exchange a username and a password for tokens."""
    state, address = app_state(request), remote_address(request)
    await state.rate_limits.check_login(address)
    user_agent = request.headers.get("user-agent", "")
    pair = await state.logins.log_in(login.username, login.password, address, user_agent)
    return _tokens_in_cookie(request, pair) if login.refresh_cookie else _tokens(pair, pair.refresh_token)


@router.post(
    "/refresh",
    responses=answers(Tokens, TOKENS_EXAMPLE) | problems(401, 403),
    openapi_extra={**PUBLIC, **CSRF_PARAMETER},
)
async def refresh(
    request: Request, address: Annotated[str, Depends(anonymous)], body: RefreshRequest | None = None
) -> Response:
    """Exchange a refresh token for new tokens. Each is good for once: using it again ends the login session."""
    logins = app_state(request).logins
    if body is not None and body.refresh_token is not None:
        pair = await logins.refresh(body.refresh_token, address)
        return _tokens(pair, pair.refresh_token)
    token = token_of_cookie(request)
    if not token:
        raise invalid_token(f"a refresh token is needed, in the body or in the cookie {REFRESH_COOKIE}")
    try:
        return _tokens_in_cookie(request, await logins.refresh(token, address))
    except NotAuthenticated as error:
        return without_cookie(request, service_error_response(error))


@router.post("/logout", status_code=204, responses=problems(401, 403), openapi_extra=CSRF_PARAMETER)
async def log_out(request: Request, body: LogoutRequest | None = None) -> Response:
    """End the login session: its tokens and its WebSockets.

    Which one says the body's refresh token, else the access token, else the cookie.
    """
    try:
        await _log_out(request, body.refresh_token if body else None)
    except NotAuthenticated as error:
        return without_cookie(request, service_error_response(error))
    return without_cookie(request, Response(status_code=204))


async def _log_out(request: Request, refresh_token: str | None) -> None:
    logins = app_state(request).logins
    if refresh_token is None and "authorization" not in request.headers:
        refresh_token = token_of_cookie(request) or None
    if refresh_token is not None:
        await logins.log_out_by_refresh_token(refresh_token, await anonymous(request))
    else:
        await logins.log_out(await current_user(request), remote_address(request))


@router.get("/me", responses=answers(UserAnswer, USER_EXAMPLE))
async def me(request: Request, user: Annotated[CurrentUser, Depends(current_user)]) -> Response:
    """Who you are."""
    found = await app_state(request).users.get(user.user_id)
    if found is None:
        raise invalid_token()
    return json_answer({name: getattr(found, name) for name in UserAnswer.model_fields})


@router.post("/ws-ticket", responses=answers(Ticket, {"ticket": "q1Wc…", "expires_in": TICKET_SECONDS}))
async def ws_ticket(request: Request, user: Annotated[CurrentUser, Depends(current_user)]) -> Response:
    """A ticket to open one WebSocket with (`?ticket=…`), good for 30 seconds."""
    ticket = await app_state(request).logins.issue_ticket(user)
    return json_answer({"ticket": ticket, "expires_in": TICKET_SECONDS})


def _tokens(pair: TokenPair, refresh_token: str | None) -> Response:
    return json_answer(
        {
            "access_token": pair.access_token,
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": pair.expires_in,
        }
    )


def _tokens_in_cookie(request: Request, pair: TokenPair) -> Response:
    return with_cookie(request, _tokens(pair, None), pair.refresh_token)
