"""What a vehicle remembers of the commands it was handed, beyond those it works on."""

from collections.abc import Iterable, Sequence

from sovd_protos.session.v1.session_pb2 import CommandUpdate, Execute
from vehicle_session.held_command import Held, Key


class HandOvers:
    """Only `admit` must be there. Left as it is, the rest means: what is held ends with the process."""

    def admit(self, vin: str, commands: Sequence[Execute]) -> list[bool]:
        """They were handed over, and nothing of them is done before this returns. For each: may it be executed?"""
        raise NotImplementedError

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
