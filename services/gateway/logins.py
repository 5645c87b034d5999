"""Log-in sessions: opened with a password, carried on with rotating refresh tokens, ended by log-out or by misuse."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from gateway.audit_trail import AuditTrail, audit_entry
from gateway.metrics import LOGINS
from gateway.passwords import Passwords
from gateway.session_guard import SessionGuard
from gateway.storage.repositories import LoginSession, LoginSessions, Reuse, StoredUser, Users
from gateway.tokens import AccessTokens, CurrentUser, invalid_token
from service_kit.errors import NotAuthenticated, ServiceError
from service_kit.logging import get_logger
from sovd_protos.audit.v1.audit_pb2 import AuditEntry

TICKET_SECONDS = 30
HOUSEKEEPING_SECONDS = 600.0
MAX_USER_AGENT = 256
UNKNOWN_REFRESH_TOKEN = "the refresh token is not valid; log in again"  # noqa: S105  a message

log = get_logger(__name__)


class TokenPair(NamedTuple):
    access_token: str
    refresh_token: str
    expires_in: int


def _hash(token: str) -> str:
    # 256 random bits need no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


def _entry(action: str, outcome: str, remote_address: str, user: CurrentUser) -> AuditEntry:
    return audit_entry(action, outcome, user=user, subject=("login_session", user.sid), remote_address=remote_address)


class Logins:
    def __init__(
        self,
        *,
        users: Users,
        sessions: LoginSessions,
        passwords: Passwords,
        access_tokens: AccessTokens,
        guard: SessionGuard,
        audit: AuditTrail,
        session_seconds: int,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._access_tokens = access_tokens
        self._guard = guard
        self._audit = audit
        self._session_lifetime = timedelta(seconds=session_seconds)
        self._clock = clock

    async def log_in(self, username: str, password: str, remote_address: str, user_agent: str = "") -> TokenPair:
        """Raises INVALID_CREDENTIALS for an unknown user, a wrong password and a deactivated user alike."""
        stored = await self._users.find(username.lower())
        verified = await self._passwords.verify(stored.password_hash if stored else None, password)
        if stored is None or not verified or not stored.user.is_active:
            raise self._refusal(username, remote_address)
        pair = await self._open_session(await self._with_fresh_hash(stored, password), remote_address, user_agent)
        if pair is None:
            raise self._refusal(username, remote_address)
        LOGINS.labels("success").inc()
        return pair

    async def refresh(self, refresh_token: str, remote_address: str) -> TokenPair:
        """The next pair of the same session. A token shown for the second time ends the session."""
        new_token, now = secrets.token_urlsafe(32), self._clock()
        outcome = await self._sessions.rotate(
            _hash(refresh_token),
            _hash(new_token),
            now,
            now + self._session_lifetime,
            partial(_entry, "user.token_reuse", "refused", remote_address),
        )
        if isinstance(outcome, Reuse):
            log.warning("refresh_token_reused", user=outcome.user.username)
            self._audit.notify()
            await self._guard.announce_end([outcome.user.sid])
        if not isinstance(outcome, CurrentUser):
            raise invalid_token(UNKNOWN_REFRESH_TOKEN)
        return self._pair(outcome, new_token)

    async def log_out(self, user: CurrentUser, remote_address: str) -> None:
        entry = _entry("user.logout", "success", remote_address, user)
        await self._sessions.end(user.sid, "logout", self._clock(), entry)
        self._audit.notify()
        await self._guard.announce_end([user.sid])

    async def log_out_by_refresh_token(self, refresh_token: str, remote_address: str) -> None:
        """For whose access token has expired."""
        user = await self._sessions.find_by_refresh_token(_hash(refresh_token))
        if user is None:
            raise invalid_token(UNKNOWN_REFRESH_TOKEN)
        await self.log_out(user, remote_address)

    async def issue_ticket(self, user: CurrentUser) -> str:
        """For opening one WebSocket, where a browser cannot send headers; good for TICKET_SECONDS."""
        ticket = secrets.token_urlsafe(32)
        await self._sessions.add_ticket(_hash(ticket), user.sid, self._clock() + timedelta(seconds=TICKET_SECONDS))
        return ticket

    async def redeem_ticket(self, ticket: str) -> CurrentUser:
        user = await self._sessions.redeem_ticket(_hash(ticket), self._clock())
        if user is None:
            raise invalid_token("the ticket is not valid: it is good for one WebSocket, for 30 seconds")
        return user

    async def run_housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                await self._sessions.forget_old(self._clock())
            except ServiceError as error:
                log.warning("old_login_sessions_not_removed", reason=error.message)

    async def _open_session(self, stored: StoredUser, remote_address: str, user_agent: str) -> TokenPair | None:
        """None: while the password was verified, the user was deactivated or changed."""
        user = CurrentUser(stored.user.user_id, stored.user.username, stored.user.role, str(uuid.uuid4()))
        refresh_token, now = secrets.token_urlsafe(32), self._clock()
        expires_at, seen_as = now + self._session_lifetime, user_agent[:MAX_USER_AGENT] or None
        session = LoginSession(user.sid, _hash(refresh_token), expires_at, remote_address[:64], seen_as)
        if not await self._sessions.open(session, stored, now, _entry("user.login", "success", remote_address, user)):
            return None
        self._audit.notify()
        return self._pair(user, refresh_token)

    def _refusal(self, username: str, remote_address: str) -> NotAuthenticated:
        LOGINS.labels("failure").inc()
        self._audit.record(audit_entry("user.login", "failure", actor_name=username, remote_address=remote_address))
        return NotAuthenticated("INVALID_CREDENTIALS", "the username or the password is wrong")

    def _pair(self, user: CurrentUser, refresh_token: str) -> TokenPair:
        return TokenPair(self._access_tokens.issue(user), refresh_token, self._access_tokens.lifetime_seconds)

    async def _with_fresh_hash(self, stored: StoredUser, password: str) -> StoredUser:
        if not self._passwords.is_outdated(stored.password_hash):
            return stored
        renewed = replace(stored, password_hash=await self._passwords.hash(password))
        await self._users.renew_password_hash(stored, renewed.password_hash, self._clock())
        return renewed
