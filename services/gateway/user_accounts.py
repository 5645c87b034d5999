"""What administrators do with users: create, change, reset the password. Each of it is audited."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.audit_trail import AuditTrail, audit_entry
from gateway.cursors import decode_cursor, encode_cursor
from gateway.passwords import Passwords
from gateway.session_guard import SessionGuard
from gateway.storage.repositories import User, Users
from gateway.storage.user_directory import Account, AccountFilter, Changed, NoLongerAdmin, TellOfChange, UserDirectory
from gateway.tokens import CurrentUser, Role
from service_kit.errors import Conflict, Forbidden, NotFound
from sovd_protos.audit.v1.audit_pb2 import AuditEntry


class UserAccounts:
    def __init__(
        self, *, users: Users, directory: UserDirectory, passwords: Passwords, guard: SessionGuard, audit: AuditTrail
    ) -> None:
        self._users = users
        self._directory = directory
        self._passwords = passwords
        self._guard = guard
        self._audit = audit

    async def page(self, filter_: AccountFilter, limit: int, cursor: str) -> tuple[list[Account], str]:
        """By username; the next cursor is "" at the end. Raises INVALID_CURSOR."""
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        found = await self._directory.page(filter_, limit + 1, after)
        page = found[:limit]
        return page, encode_cursor(page[-1].user.username) if len(found) > limit else ""

    async def get(self, user_id: str) -> Account:
        """Raises NotFound."""
        found = await self._directory.get(user_id)
        if found is None:
            raise _unknown()
        return found

    async def create(
        self, admin: CurrentUser, address: str, *, username: str, password: str, email: str, full_name: str, role: Role
    ) -> Account:
        """Raises Conflict DUPLICATE_USERNAME."""
        user = User(str(uuid.uuid4()), username, email, full_name, role, is_active=True)
        password_hash, now = await self._passwords.hash(password), datetime.now(UTC)
        entry = _entry("user.created", admin, address, user, role=role)
        if not await self._users.create(user, password_hash, now, entry):
            raise Conflict("DUPLICATE_USERNAME", f"there is a user {username} already")
        self._audit.notify()
        return Account(user, now, None)

    async def change(self, admin: CurrentUser, address: str, user_id: str, wanted: Mapping[str, Any]) -> Account:
        """Whose role changes or who is deactivated is logged out everywhere. Raises NotFound, Conflict OWN_ACCOUNT."""
        if user_id == admin.user_id and (wanted.get("role", "admin") != "admin" or wanted.get("is_active") is False):
            raise Conflict("OWN_ACCOUNT", "nobody may deactivate or demote themselves; ask another administrator")

        def tell(user: User, differing: Mapping[str, Any]) -> AuditEntry:
            return _entry("user.updated", admin, address, user, **{k: str(v) for k, v in differing.items()})

        return await self._carried_out(self._directory.change, admin, user_id, wanted, tell)

    async def reset_password(self, admin: CurrentUser, address: str, user_id: str, password: str) -> None:
        """The user is logged out everywhere. Raises NotFound, Conflict OWN_ACCOUNT."""
        if user_id == admin.user_id:
            raise Conflict("OWN_ACCOUNT", "change your own password with POST /api/v1/auth/password")
        password_hash = await self._passwords.hash(password)

        def tell(user: User, _: Mapping[str, Any]) -> AuditEntry:
            return _entry("user.password_reset", admin, address, user)

        await self._carried_out(self._directory.reset_password, admin, user_id, password_hash, tell)

    async def _carried_out(
        self, change: Callable[..., Any], admin: CurrentUser, user_id: str, wanted: Any, tell: TellOfChange
    ) -> Account:
        try:
            changed: Changed | None = await change(admin.user_id, user_id, wanted, datetime.now(UTC), tell)
        except NoLongerAdmin:
            raise Forbidden("FORBIDDEN", "this needs the role admin, which you have no longer") from None
        if changed is None:
            raise _unknown()
        self._audit.notify()
        await self._guard.announce_end(changed.ended_sids)
        return changed.account


def _entry(action: str, admin: CurrentUser, address: str, user: User, **details: str) -> AuditEntry:
    subject = ("user", user.user_id)
    return audit_entry(
        action, "success", user=admin, subject=subject, remote_address=address, username=user.username, **details
    )


def _unknown() -> NotFound:
    return NotFound("UNKNOWN_USER", "there is no such user")
