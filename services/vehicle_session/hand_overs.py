"""What a vehicle remembers of the commands it was handed, beyond those it works on."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute
from vehicle_session.held_command import Held, Key


class Admission(ABC):
    """What every vehicle has to decide."""

    @abstractmethod
    def admit(self, vin: str, commands: Sequence[Execute]) -> list[bool]:
        """They were handed over, and nothing of them is done before this returns. For each: may it be executed?"""


class HandOvers(Admission):
    """And what it is told. Left as it is, it means: what is held ends with the process."""

    def refuse(self, vin: str, command: Execute) -> None:
        """It was handed over again while the vehicle holds it."""

    def finish(self, vin: str, command: Execute, outcome: str, *, cancelled: bool = False) -> None:
        """Its outcome, by its code, or "COMPLETED"."""

    def keep(self, update: CommandUpdate) -> None:
        """Of a command that was admitted; it is not sent before this returns."""

    def recorded(self, key: Key, number: int) -> None:
        """Updates up to that number are safe with the platform."""

    def let_go(self, key: Key) -> None:
        """Nothing of it is held any more."""

    def held(self, vin: str) -> Iterable[Held]:
        """What an earlier process held."""
        return ()
