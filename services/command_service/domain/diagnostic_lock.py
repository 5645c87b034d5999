"""The diagnostic lock of a vehicle: for a while, only its owner may change anything on it. Reading stays free."""

from dataclasses import dataclass
from datetime import datetime

from command_service.domain.command import CommandClass


@dataclass(frozen=True, slots=True)
class DiagnosticLock:
    """It ends by itself, by the database's clock: one whose time is up is as good as none."""

    owner_id: str
    owner: str
    taken_at: datetime
    expires_at: datetime

    def lasts(self, now: datetime) -> bool:
        return now < self.expires_at

    def holds_back(self, user_id: str, command_class: str, now: datetime) -> bool:
        """Whether a command of that user and class may not run now."""
        return command_class != CommandClass.READ and user_id != self.owner_id and self.lasts(now)
