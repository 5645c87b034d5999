"""One's own: the password and the login sessions."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from gateway.answers import answers, json_answer
from gateway.api_types import NO_NUL, ApiAnswer, ApiBody, ApiModel, Cursor, Limit, NewPassword, Uuid, moment_text
from gateway.app_state import app_state
from gateway.auth import CurrentUser, current_user, remote_address
from gateway.problem_details import problems
from gateway.storage.own_sessions import OpenSession

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

User = Annotated[CurrentUser, Depends(current_user)]

SESSION_EXAMPLE: dict[str, Any] = {
    "session_id": "5a0c1f0e-2f41-4a57-8d2e-6a1f0b7c9d3e",
    "created_at": "2026-01-30T08:00:00.000000Z",
    "last_used_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-02-14T12:00:00.000000Z",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "address": "192.0.2.7",
    "current": True,
}


class PasswordChange(ApiBody):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"current_password": "engineer123", "new_password": "correct horse battery staple"}
        }
    )

    current_password: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NO_NUL)]
    new_password: NewPassword


class SessionAnswer(ApiAnswer):
    session_id: str
    created_at: str
    last_used_at: str = Field(description="When it last got tokens.")
    expires_at: str
    user_agent: str | None = Field(description="As the client named itself at the log-in.")
    address: str
    current: bool = Field(description="The one that this request is made in.")


class SessionList(ApiAnswer):
    items: list[SessionAnswer]
    next_cursor: str | None


class SessionQuery(ApiModel):
    limit: Limit = 50
    cursor: Cursor = ""


@router.post("/password", status_code=204)
async def change_password(request: Request, change: PasswordChange, user: User) -> Response:
    """Change your password, which ends all your other login sessions. `WRONG_PASSWORD`: the current one is not that."""
    state, address = app_state(request), remote_address(request)
    await state.rate_limits.check_login(address)
    await state.profile.change_password(user, address, change.current_password, change.new_password)
    return Response(status_code=204)


@router.get("/sessions", responses=answers(SessionList, {"items": [SESSION_EXAMPLE], "next_cursor": None}))
async def list_sessions(request: Request, query: Annotated[SessionQuery, Query()], user: User) -> Response:
    """Your login sessions, newest first."""
    page, next_cursor = await app_state(request).profile.sessions(user, query.limit, query.cursor)
    items = [_session_json(session, session.sid == user.sid) for session in page]
    return json_answer({"items": items, "next_cursor": next_cursor or None})


@router.delete("/sessions/{session_id}", status_code=204, responses=problems(404))
async def end_session(request: Request, session_id: Uuid, user: User) -> Response:
    """End one of your login sessions: its tokens and its WebSockets."""
    await app_state(request).profile.end_session(user, remote_address(request), session_id)
    return Response(status_code=204)


def _session_json(session: OpenSession, current: bool) -> dict[str, Any]:
    return {
        "session_id": session.sid,
        "created_at": moment_text(session.created_at),
        "last_used_at": moment_text(session.last_used_at),
        "expires_at": moment_text(session.expires_at),
        "user_agent": session.user_agent,
        "address": session.remote_address,
        "current": current,
    }
