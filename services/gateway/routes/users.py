"""The users, for administrators."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from gateway.answers import answers, json_answer
from gateway.api_types import NO_NUL, ApiAnswer, ApiBody, ApiModel, Cursor, Flag, Limit, NewPassword, Uuid, moment_text
from gateway.app_state import app_state
from gateway.auth import CurrentUser, remote_address, require_admin
from gateway.problem_details import problems
from gateway.routes.auth import USER_EXAMPLE, UserAnswer
from gateway.storage.user_directory import Account, AccountFilter
from gateway.tokens import Role

router = APIRouter(prefix="/api/v1/users", tags=["users"])

Admin = Annotated[CurrentUser, Depends(require_admin)]
Username = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$", to_lower=True),
    Field(description='Not case sensitive: "Admin" and "admin" are the same person.'),
]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\x00-\x20]+@[^@\x00-\x20]+$")]
FullName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]

ACCOUNT_EXAMPLE: dict[str, Any] = {
    **USER_EXAMPLE,
    "created_at": "2026-01-30T08:00:00.000000Z",
    "last_login_at": "2026-01-31T12:00:00.000000Z",
}
_NEW_EXAMPLE: dict[str, Any] = {
    "username": "technician",
    "password": "correct horse battery staple",
    "email": "technician@example.com",
    "full_name": "A Technician",
    "role": "engineer",
}


class NewUser(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": _NEW_EXAMPLE})

    username: Username
    password: NewPassword
    email: Email
    full_name: FullName
    role: Role


class UserChange(ApiBody):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "viewer"}})

    email: Email | None = None
    full_name: FullName | None = None
    role: Role | None = None
    is_active: bool | None = None


class PasswordReset(ApiBody):
    model_config = ConfigDict(json_schema_extra={"example": {"new_password": _NEW_EXAMPLE["password"]}})

    new_password: NewPassword


class AccountAnswer(UserAnswer):
    created_at: str
    last_login_at: str | None


class AccountList(ApiAnswer):
    items: list[AccountAnswer]
    next_cursor: str | None


class UserQuery(ApiModel):
    search: Annotated[str, StringConstraints(max_length=100, pattern=NO_NUL)] = Field(
        "", description="Part of username, e-mail address or full name, any case."
    )
    role: Role | None = None
    is_active: Flag | None = None
    limit: Limit = 50
    cursor: Cursor = ""


@router.get("", responses=answers(AccountList, {"items": [ACCOUNT_EXAMPLE], "next_cursor": None}) | problems(403))
async def list_users(request: Request, query: Annotated[UserQuery, Query()], _: Admin) -> Response:
    """Users, by username (admin)."""
    filter_ = AccountFilter(query.search, query.role, query.is_active)
    page, next_cursor = await app_state(request).accounts.page(filter_, query.limit, query.cursor)
    return json_answer({"items": [_account_json(account) for account in page], "next_cursor": next_cursor or None})


@router.get("/{user_id}", responses=answers(AccountAnswer, ACCOUNT_EXAMPLE) | problems(403, 404))
async def get_user(request: Request, user_id: Uuid, _: Admin) -> Response:
    """One user (admin)."""
    return json_answer(_account_json(await app_state(request).accounts.get(user_id)))


@router.post(
    "",
    status_code=201,
    responses=answers(
        AccountAnswer, {**ACCOUNT_EXAMPLE, "last_login_at": None}, status=201, description="Created: may log in."
    )
    | problems(403, 409),
)
async def create_user(request: Request, new: NewUser, admin: Admin) -> Response:
    """Add a user (admin)."""
    accounts = app_state(request).accounts
    account = await accounts.create(admin, remote_address(request), **new.model_dump())
    return json_answer(_account_json(account), 201, {"location": f"/api/v1/users/{account.user.user_id}"})


@router.patch("/{user_id}", responses=answers(AccountAnswer, ACCOUNT_EXAMPLE) | problems(403, 404, 409))
async def change_user(request: Request, user_id: Uuid, change: UserChange, admin: Admin) -> Response:
    """Change a user (admin). A new role or a deactivation ends the user's sessions and WebSockets.

    Nobody may deactivate or demote themselves.
    """
    wanted = change.model_dump(exclude_none=True)
    account = await app_state(request).accounts.change(admin, remote_address(request), user_id, wanted)
    return json_answer(_account_json(account))


@router.post("/{user_id}/password", status_code=204, responses=problems(403, 404, 409))
async def reset_password(request: Request, user_id: Uuid, reset: PasswordReset, admin: Admin) -> Response:
    """Give a user a new password (admin), which ends the user's sessions and WebSockets. Not for one's own."""
    await app_state(request).accounts.reset_password(admin, remote_address(request), user_id, reset.new_password)
    return Response(status_code=204)


def _account_json(account: Account) -> dict[str, Any]:
    user = {name: getattr(account.user, name) for name in UserAnswer.model_fields}
    return {**user, "created_at": _text(account.created_at), "last_login_at": _text(account.last_login_at)}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)
