"""Access tokens: short-lived JWTs with a pinned algorithm, signed with the first secret, verified with any."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from jwt.types import Options

from service_kit.errors import NotAuthenticated

ALGORITHM = "HS256"
ISSUER = "sovd-webapp"
AUDIENCE = "sovd-api"
TYPE = "access"
_REQUIRED = ["iss", "aud", "typ", "jti", "sid", "sub", "iat", "exp", "username", "role"]

Role = Literal["viewer", "engineer", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "engineer", "admin")


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """Who makes the request, and in which login session."""

    user_id: str
    username: str
    role: Role
    sid: str


def invalid_token(message: str = "the access token is not valid; log in again") -> NotAuthenticated:
    return NotAuthenticated("INVALID_TOKEN", message)


class AccessTokens:
    """Issues and verifies. What verified once is remembered until it expires: checking a signature costs more."""

    def __init__(
        self,
        secrets: Sequence[str],
        lifetime_seconds: int,
        *,
        clock: Callable[[], float] = time.time,
        cache_size: int = 10_000,
    ) -> None:
        self._secrets = tuple(secrets)
        self._clock = clock
        self._cache_size = cache_size
        self._verified: dict[str, tuple[CurrentUser, float]] = {}
        self.lifetime_seconds = lifetime_seconds

    def issue(self, user: CurrentUser) -> str:
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": TYPE,
            "jti": str(uuid.uuid4()),
            "sid": user.sid,
            "sub": user.user_id,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "username": user.username,
            "role": user.role,
        }
        return jwt.encode(claims, self._secrets[0], ALGORITHM)

    def verify(self, token: str) -> CurrentUser:
        """Raises NotAuthenticated: INVALID_TOKEN or TOKEN_EXPIRED."""
        known = self._verified.get(token) or self._verify_afresh(token)
        user, expires_at = known
        if expires_at <= self._clock():
            self._verified.pop(token, None)
            raise NotAuthenticated("TOKEN_EXPIRED", "the access token has expired; use the refresh token")
        return user

    def _verify_afresh(self, token: str) -> tuple[CurrentUser, float]:
        claims = self._decode(token)
        # We signed it, so it is well formed; unless the secret is used for something else as well.
        if claims["typ"] != TYPE or claims["role"] not in ROLES or not isinstance(claims["exp"], int):
            raise invalid_token()
        user = CurrentUser(str(claims["sub"]), str(claims["username"]), claims["role"], str(claims["sid"]))
        if len(self._verified) >= self._cache_size:
            self._verified.pop(next(iter(self._verified)))  # the oldest
        self._verified[token] = known = (user, float(claims["exp"]))
        return known

    def _decode(self, token: str) -> dict[str, Any]:
        # Expiry is judged by verify(), by the same clock for fresh and for remembered tokens.
        options: Options = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False}
        for secret in self._secrets:
            try:
                return jwt.decode(
                    token, secret, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, RecursionError):
                raise invalid_token() from None
        raise invalid_token()
