"""What users do with what is their own: change the password, see and end their login sessions."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from gateway.audit_trail import AuditTrail, audit_entry
from gateway.cursors import decode_cursor, encode_cursor, not_ours
from gateway.passwords import Passwords
from gateway.session_guard import SessionGuard
from gateway.storage.own_sessions import OpenSession, OwnSessions, Place
from gateway.storage.repositories import Users
from gateway.tokens import CurrentUser
from service_kit.errors import InvalidInput, NotFound
from sovd_protos.audit.v1.audit_pb2 import AuditEntry


def _now() -> datetime:
    return datetime.now(UTC)


class OwnProfile:
    def __init__(
        self,
        *,
        users: Users,
        sessions: OwnSessions,
        passwords: Passwords,
        guard: SessionGuard,
        audit: AuditTrail,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._guard = guard
        self._audit = audit
        self._clock = clock

    async def change_password(self, user: CurrentUser, address: str, current: str, new: str) -> None:
        """Ends all other sessions of the user. Raises WRONG_PASSWORD."""
        stored = await self._users.find(user.username)
        if stored is None or not await self._passwords.verify(stored.password_hash, current):
            raise self._wrong_password(user, address)
        new_hash = await self._passwords.hash(new)
        entry = _entry("user.password_changed", "success", user, address)
        ended = await self._sessions.change_password(stored, new_hash, user.sid, self._clock(), entry)
        if ended is None:
            raise self._wrong_password(user, address)
        self._audit.notify()
        await self._guard.announce_end(ended)

    async def sessions(self, user: CurrentUser, limit: int, cursor: str) -> tuple[list[OpenSession], str]:
        """Newest first; the next cursor is "" at the end. Raises INVALID_CURSOR."""
        found = await self._sessions.page(user.user_id, self._clock(), limit + 1, _place(cursor))
        page = found[:limit]
        return page, encode_cursor(page[-1].created_at.isoformat(), page[-1].sid) if len(found) > limit else ""

    async def end_session(self, user: CurrentUser, address: str, sid: str) -> None:
        """Raises NotFound for what is no live session of this user."""
        entry = audit_entry(
            "user.session_ended", "success", user=user, subject=("login_session", sid), remote_address=address
        )
        if not await self._sessions.end(user.user_id, sid, self._clock(), entry):
            raise NotFound("UNKNOWN_SESSION", "you have no such login session, or it is over")
        self._audit.notify()
        await self._guard.announce_end([sid])

    def _wrong_password(self, user: CurrentUser, address: str) -> InvalidInput:
        self._audit.record(_entry("user.password_changed", "failure", user, address))
        return InvalidInput("WRONG_PASSWORD", "the current password is wrong")


def _entry(action: str, outcome: str, user: CurrentUser, address: str) -> AuditEntry:
    return audit_entry(action, outcome, user=user, subject=("user", user.user_id), remote_address=address)


def _place(cursor: str) -> Place | None:
    if not cursor:
        return None
    created_at, sid = decode_cursor(cursor, 2)
    try:
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None:
            raise not_ours()
        return Place(moment.astimezone(UTC), str(UUID(sid)))
    except (ValueError, OverflowError):
        raise not_ours() from None
