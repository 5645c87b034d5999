"""Who listens to which channel of this process."""

from dataclasses import dataclass

from service_kit.live_events.port import OnGap, OnMessage
from service_kit.logging import get_logger

_log = get_logger(__name__)


@dataclass(eq=False, frozen=True, slots=True)
class Subscriber:
    channel: str
    on_message: OnMessage
    on_gap: OnGap


class Subscribers:
    def __init__(self) -> None:
        self._by_channel: dict[str, list[Subscriber]] = {}

    @property
    def channels(self) -> list[str]:
        return list(self._by_channel)

    def __contains__(self, channel: str) -> bool:
        return channel in self._by_channel

    def add(self, subscriber: Subscriber) -> None:
        self._by_channel.setdefault(subscriber.channel, []).append(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Removing twice does nothing."""
        listening = self._by_channel.get(subscriber.channel, [])
        if subscriber in listening:
            listening.remove(subscriber)
        if not listening:
            self._by_channel.pop(subscriber.channel, None)

    def deliver(self, channel: str, payload: bytes) -> None:
        for subscriber in tuple(self._by_channel.get(channel, ())):
            try:
                subscriber.on_message(payload)
            except Exception:
                # One that fails must not cost the others the message.
                _log.exception("live_event_subscriber_failed", channel=channel)

    def tell_gap(self) -> None:
        for listening in list(self._by_channel.values()):
            for subscriber in tuple(listening):
                try:
                    subscriber.on_gap()
                except Exception:
                    _log.exception("live_event_subscriber_failed", channel=subscriber.channel)
