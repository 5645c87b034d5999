"""What happens to a command that was just sent from here, kept for who is about to watch it."""

from collections.abc import Iterable

from gateway.viewer import Event

# Beyond this nothing is kept, and who opens the command reads its recorded state, as of any other command.
MAX_KEPT_EVENTS = 32
MAX_KEPT_CHARACTERS = 64 * 1024
# Rounds of the clock of LiveUpdates.
MAX_ROUNDS = 2


class ExpectedCommand:
    """Subscribed to before the command is accepted: with nothing missed since, it has all there is."""

    __slots__ = ("_characters", "_confirmed", "_lost", "_rounds", "command_id", "events")

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        self.events: list[Event] = []
        self._characters = 0
        self._rounds = 0
        self._confirmed = False
        self._lost = False

    @property
    def whole(self) -> bool:
        return self._confirmed and not self._lost

    def round_over(self) -> bool:
        """Whether it has been waited for long enough."""
        self._rounds += 1
        return self._rounds > MAX_ROUNDS

    def keep(self, events: Iterable[Event]) -> None:
        if self._lost:
            return
        for event in events:
            self.events.append(event)
            self._characters += len(event.json)
        if len(self.events) > MAX_KEPT_EVENTS or self._characters > MAX_KEPT_CHARACTERS:
            self._lose()

    def missed(self) -> None:
        """The first time it is the confirmation of the subscription, before which there was nothing to miss."""
        if self._confirmed:
            self._lose()
        self._confirmed = True

    def _lose(self) -> None:
        self._lost = True
        self.events.clear()
