"""Fakes for what the gateway's viewers stand on: live events by hand, a recorded command, a socket that can be slow."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from google.protobuf.message import Message

from service_kit.errors import Unavailable
from sovd_protos.command.v1.command_pb2 import CommandUpdates, KnownState
from sovd_protos.live.v1.live_pb2 import CommandEvent, CommandEvents

COMMAND = "01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b"
CHANNEL = f"command.{COMMAND}"


async def settle() -> None:
    """Lets everything run that can run now."""
    for _ in range(25):
        await asyncio.sleep(0)


@dataclass
class HandSubscription:
    live: "HandLiveEvents"
    channel: str
    on_message: Callable[[bytes], None]
    on_gap: Callable[[], None]

    async def close(self) -> None:
        self.live.subscriptions.remove(self)


class HandLiveEvents:
    """Delivers what the test says, when it says so. Subscriptions are confirmed at once unless `confirm` is cleared."""

    def __init__(self) -> None:
        self.subscriptions: list[HandSubscription] = []
        self.connected = True
        self.fails = 0
        self.confirm = asyncio.Event()
        self.confirm.set()

    async def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        for channel, payload in events:
            self.send(channel, payload)

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> HandSubscription:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("no live events today")
        await self.confirm.wait()
        subscription = HandSubscription(self, channel, on_message, on_gap)
        self.subscriptions.append(subscription)
        return subscription

    async def close(self) -> None:
        self.subscriptions.clear()

    def send(self, channel: str, message: Message | bytes) -> None:
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        for subscription in list(self.subscriptions):
            if subscription.channel == channel:
                subscription.on_message(payload)

    def gap(self) -> None:
        for subscription in list(self.subscriptions):
            subscription.on_gap()


def response(number: int, padding: str = "") -> CommandEvent:
    facts = {"event": "response", "sequence_number": number, "response": padding}
    return CommandEvent(sequence_number=number, json=json.dumps(facts))


def status(revision: int, responses: int, *, terminal: bool = False) -> CommandEvent:
    facts = {"event": "status", "revision": revision, "responses": responses, "terminal": terminal}
    return CommandEvent(revision=revision, responses=responses, terminal=terminal, json=json.dumps(facts))


def live(*events: CommandEvent, traceparent: str = "") -> CommandEvents:
    return CommandEvents(command_id=COMMAND, events=events, traceparent=traceparent)


@dataclass
class RecordedCommand:
    """One command as the command service has recorded it, answering ReadUpdates as the contract says.

    `hold` keeps answers back until the test releases them: they are as old as the question then.
    """

    command_id: str = COMMAND
    page: int = 3
    padding: str = ""
    traceparent: str = ""
    hold: bool = False
    failures: int = 0
    bugs: int = 0
    exists: bool = True
    calls: list[list[KnownState]] = field(default_factory=list)
    responses: int = 0
    latest: CommandEvent | None = None
    held: list["asyncio.Future[None]"] = field(default_factory=list)

    def record(self, *events: CommandEvent) -> None:
        for event in events:
            if event.sequence_number:
                assert event.sequence_number == self.responses + 1
                self.responses = event.sequence_number
            else:
                self.latest = event

    async def read(self, known: list[KnownState]) -> list[CommandUpdates]:
        self.calls.append(list(known))
        if self.failures:
            self.failures -= 1
            raise Unavailable("COMMAND_SERVICE_UNAVAILABLE", "The command service is not available; try again.")
        if self.bugs:
            self.bugs -= 1
            raise RuntimeError("a bug")
        answers = [self.updates(each) for each in known]
        if self.hold:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.held.append(gate)
            await gate
        return answers

    def release(self) -> None:
        """Answers the oldest question that is held back."""
        if self.held:
            self.held.pop(0).set_result(None)

    def updates(self, known: KnownState) -> CommandUpdates:
        if not self.exists or known.command_id != self.command_id:
            return CommandUpdates(command_id=known.command_id, unknown=True)
        last = min(self.responses, known.after + self.page)
        more = last < self.responses
        updates = CommandUpdates(command_id=self.command_id, has_more=more, traceparent=self.traceparent)
        updates.events.extend(response(number, self.padding) for number in range(known.after + 1, last + 1))
        latest = self.latest
        if latest is not None and latest.revision > known.revision and latest.responses <= max(last, known.after):
            updates.events.append(latest)
        return updates


class SlowSocket:
    """Collects what is sent; while `open_gate` is cleared, a send does not return."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed: tuple[int, str | None] | None = None
        self.gone = False
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def send_text(self, data: str) -> None:
        await self.open_gate.wait()
        if self.gone:
            raise OSError("the client is gone")
        self.sent.append(data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.closed = (code, reason)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.sent]


def check_order(events: Sequence[dict[str, Any]], after: int = 0) -> None:
    """What every viewer may rely on, at any moment."""
    numbers = [event["sequence_number"] for event in events if event["event"] == "response"]
    assert numbers == list(range(after + 1, after + 1 + len(numbers))), "responses: in order, no gap, no repeat"
    revisions = [event["revision"] for event in events if event["event"] == "status"]
    assert all(older < newer for older, newer in pairwise(revisions)), "statuses: each newer than the last"
    delivered = after
    for position, event in enumerate(events):
        if event["event"] == "response":
            delivered += 1
        else:
            assert event["responses"] <= delivered, "a status waits for the responses it counts"
            assert not event["terminal"] or position == len(events) - 1, "nothing follows the terminal event"


def check_whole(events: Sequence[dict[str, Any]], responses: int, after: int = 0) -> None:
    """What every viewer of an ended command has seen."""
    check_order(events, after)
    assert sum(event["event"] == "response" for event in events) == max(0, responses - after)
    assert events
    assert events[-1].get("terminal") is True, "the terminal event comes, and comes last"
