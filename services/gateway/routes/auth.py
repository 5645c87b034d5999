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
from gateway.problem_details import problems
from gateway.tokens import Role, invalid_token

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


class RefreshRequest(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": TOKENS_EXAMPLE["refresh_token"]}})

    refresh_token: RefreshToken


class LogoutRequest(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": TOKENS_EXAMPLE["refresh_token"]}})

    refresh_token: RefreshToken | None = Field(None, description="Instead of an access token, when that has expired.")


class Tokens(ApiAnswer):
    access_token: str
    refresh_token: str
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


def _tokens(pair: TokenPair) -> Response:
    return json_answer(
        {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "token_type": "bearer",
            "expires_in": pair.expires_in,
        }
    )


@router.post("/login", responses=answers(Tokens, TOKENS_EXAMPLE) | problems(401), openapi_extra=PUBLIC)
async def log_in(request: Request, login: LoginRequest) -> Response:
    """Exchange a username and a password for tokens."""
    state, address = app_state(request), remote_address(request)
    await state.rate_limits.check_login(address)
    return _tokens(await state.logins.log_in(login.username, login.password, address))


@router.post("/refresh", responses=answers(Tokens, TOKENS_EXAMPLE) | problems(401), openapi_extra=PUBLIC)
async def refresh(request: Request, body: RefreshRequest, address: Annotated[str, Depends(anonymous)]) -> Response:
    """Exchange a refresh token for new tokens. Each is good for once: using it again ends the login session."""
    return _tokens(await app_state(request).logins.refresh(body.refresh_token, address))


@router.post("/logout", status_code=204, responses=problems(401))
async def log_out(request: Request, body: LogoutRequest | None = None) -> Response:
    """End the login session: its tokens and its WebSockets."""
    state = app_state(request)
    if body is not None and body.refresh_token is not None:
        await state.logins.log_out_by_refresh_token(body.refresh_token, await anonymous(request))
    else:
        await state.logins.log_out(await current_user(request), remote_address(request))
    return Response(status_code=204)


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
