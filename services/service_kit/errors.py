"""Errors that services raise on purpose, by what the caller can do about them.

    ServiceError
    ├── InvalidInput        the request is wrong; sending it again is pointless
    ├── NotAuthenticated    who you are is unknown
    ├── Forbidden           who you are is known, and may not
    ├── NotFound
    ├── Conflict            the state of things does not allow it now
    ├── LimitExceeded       too much of it; later perhaps
    └── Unavailable         a part that is needed is away; try again

Every error carries a stable `code` for programs, a `message` for people that says what was wrong and what is
allowed, and `details` (JSON values). Only the gateway turns them into HTTP.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class Category(StrEnum):
    INVALID = "invalid"
    NOT_AUTHENTICATED = "not_authenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    LIMIT_EXCEEDED = "limit_exceeded"
    UNAVAILABLE = "unavailable"


class ServiceError(Exception):
    """Base of all; raise one of the subclasses."""

    category: ClassVar[Category]

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class InvalidInput(ServiceError):
    category = Category.INVALID


class NotAuthenticated(ServiceError):
    category = Category.NOT_AUTHENTICATED


class Forbidden(ServiceError):
    category = Category.FORBIDDEN


class NotFound(ServiceError):
    category = Category.NOT_FOUND


class Conflict(ServiceError):
    category = Category.CONFLICT


class LimitExceeded(ServiceError):
    category = Category.LIMIT_EXCEEDED


class Unavailable(ServiceError):
    category = Category.UNAVAILABLE


BY_CATEGORY: dict[Category, type[ServiceError]] = {
    kind.category: kind
    for kind in (InvalidInput, NotAuthenticated, Forbidden, NotFound, Conflict, LimitExceeded, Unavailable)
}
