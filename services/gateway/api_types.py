"""Building blocks of request and response bodies: strict about unknown fields, bounded, and free of NUL characters."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

# PostgreSQL cannot store NUL; saying so in the schema keeps it out at the door.
NO_NUL = r"^[^\x00]*$"
UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class ApiModel(BaseModel):
    """What clients send: an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiBody(ApiModel):
    """A JSON body: no string is taken for a number."""

    model_config = ConfigDict(strict=True)


class ApiAnswer(BaseModel):
    """What clients get."""

    model_config = ConfigDict(frozen=True)


def _only_rfc_3339(value: object) -> object:
    # pydantic would take "12" as seconds since the epoch, which the schema does not promise.
    if isinstance(value, str) and _RFC_3339.fullmatch(value) is None:
        raise ValueError("should be a time with its zone, such as 2026-01-31T12:00:00Z")
    return value


def _only_true_or_false(value: object) -> object:
    # In a query, pydantic would take "on" and "1" as well.
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("should be true or false")
        return value == "true"
    return value


Uuid = Annotated[
    str,
    StringConstraints(pattern=UUID_PATTERN, to_lower=True),
    Field(json_schema_extra={"format": "uuid"}, examples=["01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b"]),
]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL)]
Cursor = Annotated[str, StringConstraints(max_length=512, pattern=NO_NUL)]
Limit = Annotated[int, Field(ge=1, le=200)]
Flag = Annotated[bool, BeforeValidator(_only_true_or_false)]
NewPassword = Annotated[str, StringConstraints(min_length=12, max_length=256, pattern=NO_NUL)]
Moment = Annotated[AwareDatetime, BeforeValidator(_only_rfc_3339), Field(examples=["2026-01-31T12:00:00Z"])]


def rfc3339(microseconds: int) -> str | None:
    """Microseconds since the epoch, as the services exchange them, for people and browsers; 0 means "not yet"."""
    if not microseconds:
        return None
    return moment_text(datetime.fromtimestamp(microseconds / 1_000_000, UTC))


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_microseconds(moment: datetime | None) -> int:
    """The other way. None is 0 ("not given"), so that the epoch itself and what precedes it become 1."""
    return 0 if moment is None else max(1, round(moment.timestamp() * 1_000_000))
