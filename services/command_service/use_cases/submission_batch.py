"""The submissions of one call, and what becomes of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from command_service.domain.audit import AuditEntry
from command_service.domain.catalogue import CommandType
from command_service.domain.command import Command
from command_service.use_cases.actor import Actor
from service_kit.errors import Conflict, ServiceError


@dataclass(frozen=True, slots=True)
class Submission:
    """What a user asks for. `command_params` is JSON text; None means the default; "" means no idempotency key."""

    command_id: str
    vehicle_id: str
    command_name: str
    command_params: str
    actor: Actor
    timeout_seconds: int | None = None
    expires_in_seconds: int | None = None
    priority: int = 0
    idempotency_key: str = ""
    request_hash: bytes = b""
    traceparent: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.actor.user_id, self.idempotency_key


@dataclass(frozen=True, slots=True)
class Checked:
    """A submission whose form is right; whether it is accepted depends on the vehicle and its queue."""

    submission: Submission
    command_type: CommandType
    parameters: Mapping[str, Any]
    timeout_seconds: int
    expires_in_seconds: int


Accepted = tuple[Command, str]
"""The command and the VIN of its vehicle."""


class SubmissionBatch:
    """The submissions of one call: what is still open, what is admitted, and the answers."""

    def __init__(self, size: int) -> None:
        self.answers: list[Accepted | ServiceError | None] = [None] * size
        self.open: dict[int, Checked] = {}
        self.admitted: dict[int, Accepted] = {}
        # What of the answers goes into the audit trail.
        self.refusals: dict[int, AuditEntry] = {}

    def vehicle_ids(self) -> set[str]:
        return {checked.submission.vehicle_id for checked in self.open.values()}

    def accepted(self) -> list[Command]:
        return [command for command, _ in self.admitted.values()]

    def begin_again(self) -> None:
        """Of what is open, nothing is decided."""
        self.admitted.clear()
        self.refusals.clear()
        for index in self.open:
            self.answers[index] = None

    def unanswered(self) -> list[tuple[int, Checked]]:
        return [(index, checked) for index, checked in self.open.items() if self.answers[index] is None]

    def refused(self) -> list[int]:
        """Of what is open."""
        return [index for index in self.open if isinstance(self.answers[index], ServiceError)]

    def twin_of(self, index: int) -> int | None:
        """An admitted submission of the same batch with the same key."""
        key = self.open[index].submission.key
        return next((other for other in self.admitted if self.open[other].submission.key == key), None)

    def keyed(self) -> list[tuple[int, Checked]]:
        return [(index, checked) for index, checked in self.unanswered() if checked.submission.idempotency_key]

    def finished(self) -> list[Accepted | ServiceError]:
        for index in self.open:
            if self.answers[index] is None and index not in self.admitted:
                twin = self.twin_of(index)
                assert twin is not None, "every open submission is admitted, answered or a twin"
                first, second = self.open[twin].submission, self.open[index].submission
                same = first.request_hash == second.request_hash
                self.answers[index] = self.admitted[twin] if same else key_conflict(second)
        return [answer or self.admitted[index] for index, answer in enumerate(self.answers)]


def key_conflict(submission: Submission) -> ServiceError:
    return Conflict(
        "IDEMPOTENCY_CONFLICT",
        f"Idempotency-Key {submission.idempotency_key!r} was used within 24 h for a different request",
    )
