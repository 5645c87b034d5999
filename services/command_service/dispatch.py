"""The dispatcher: looks at the vehicles where something changed, and publishes what was committed to a connector."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from command_service import metrics, observation
from command_service.domain.command import Command
from command_service.domain.preconditions import Required
from command_service.grpc_mapping import required_to_proto
from command_service.use_cases.dispatch_commands import DispatchCommands
from command_service.use_cases.find_preconditions import FindPreconditions
from command_service.use_cases.ports import Storage
from service_kit.batcher import Batcher
from service_kit.errors import Unavailable
from service_kit.logging import get_logger
from service_kit.messaging.port import Messaging, OutgoingMessage
from service_kit.tracing import ActiveSpan, SpanKind, start_sampled
from sovd_protos.connector.v1.connector_pb2 import DispatchedCommand, DispatchedCommands

_log = get_logger(__name__)

_AT_ONCE = 500
# What a broker does for a message costs more than what a command adds to it. Bounds its size, too: half a megabyte.
_COMMANDS_PER_MESSAGE = 16
_RETRY_SECONDS = 1.0


class WokenVehicles:
    """use_cases.aftermath.DispatchWaker: which vehicles to look at."""

    def __init__(self) -> None:
        self._vehicle_ids: dict[str, None] = {}
        self._event = asyncio.Event()

    def wake(self, vehicle_ids: Iterable[str]) -> None:
        self._vehicle_ids.update(dict.fromkeys(vehicle_ids))
        self._event.set()

    async def next(self) -> list[str]:
        """Waits until there are some; takes at most _AT_ONCE, first come first."""
        await self._event.wait()
        taken = list(self._vehicle_ids)[:_AT_ONCE]
        for vehicle_id in taken:
            del self._vehicle_ids[vehicle_id]
        if not self._vehicle_ids:
            self._event.clear()
        return taken


class _Publication(NamedTuple):
    command: Command
    span: ActiveSpan | None

    @property
    def traceparent(self) -> str:
        return self.command.traceparent if self.span is None else self.span.traceparent


class Dispatcher:
    def __init__(
        self,
        dispatch: DispatchCommands,
        find_preconditions: FindPreconditions,
        storage: Storage,
        woken: WokenVehicles,
        messaging: Messaging,
    ) -> None:
        self._dispatch = dispatch
        self._find_preconditions = find_preconditions
        self._storage = storage
        self._woken = woken
        self._messaging = messaging
        self._publisher: Batcher[Command, None] = Batcher(self._publish)
        self._swept_to = ""

    async def run(self) -> None:
        """One look at a time: what is woken meanwhile waits for the next."""
        while True:
            vehicle_ids = await self._woken.next()
            if not self.connected:
                # Committing what cannot be published would only take it back; the sweep finds it again.
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                commands = await self._dispatch(vehicle_ids)
            except Unavailable as error:
                _log.warning("dispatch_waits", reason=error.message)
                await asyncio.sleep(_RETRY_SECONDS)
                self._woken.wake(vehicle_ids)
                continue
            metrics.BATCH_SIZE.labels("dispatch").observe(len(commands))
            self.publish(commands)

    @property
    def connected(self) -> bool:
        return self._messaging.connected

    def publish(self, commands: Sequence[Command]) -> None:
        """Commands whose dispatch is committed; returns at once."""
        for command in commands:
            self._publisher.put(command)

    async def sweep(self) -> None:
        """Wakes vehicles that have work they could do: what another replica or a crash left behind. So many at a time,
        going on where the last sweep ended: some may be named again and again, and have to wait all the same."""
        async with self._storage.reading() as uow:
            found = await uow.commands.vehicles_with_runnable_work(_AT_ONCE, self._swept_to)
        self._swept_to = found[-1] if len(found) == _AT_ONCE else ""
        self._woken.wake(found)

    async def drain(self) -> None:
        await self._publisher.drain()

    async def _publish(self, commands: Sequence[Command]) -> list[None]:
        groups = list(_by_connector([_Publication(command, _span_of(command)) for command in commands]))
        errors = await self._send(groups)
        unpublished = []
        for group, error in zip(groups, errors, strict=True):
            for command, span in group:
                if error is not None:
                    observation.not_dispatched(command, error)
                    unpublished.append((command.command_id, command.dispatch_number))
                if span is not None:
                    span.end(error)
        if unpublished:
            await self._take_back(unpublished)
        return [None] * len(commands)

    async def _send(self, groups: "Sequence[Sequence[_Publication]]") -> Sequence[Exception | None]:
        """What went wrong with each message; None: the broker has it."""
        try:
            found = await self._find_preconditions([each.command for group in groups for each in group])
        except Unavailable as error:
            return [error] * len(groups)
        return await self._messaging.publish([_to_message(group, found) for group in groups])

    async def _take_back(self, unpublished: list[tuple[str, int]]) -> None:
        try:
            await self._dispatch.take_back(unpublished)
        except Unavailable as error:
            _log.warning("take_back_waits_for_the_watchdog", commands=len(unpublished), reason=error.message)


def _span_of(command: Command) -> ActiveSpan | None:
    """From the publish to the confirm."""
    return start_sampled(
        "command.dispatch",
        command.traceparent,
        SpanKind.PRODUCER,
        command_id=command.command_id,
        command_name=command.command_name,
        vehicle_id=command.vehicle_id,
        connector_id=command.connector_id or "",
        dispatch_number=command.dispatch_number,
    )


def _by_connector(publications: Iterable[_Publication]) -> Iterator[Sequence[_Publication]]:
    """One after the other what becomes a message."""
    of_connector: dict[str | None, list[_Publication]] = defaultdict(list)
    for publication in publications:
        of_connector[publication.command.connector_id].append(publication)
    for group in of_connector.values():
        for start in range(0, len(group), _COMMANDS_PER_MESSAGE):
            yield group[start : start + _COMMANDS_PER_MESSAGE]


def _to_message(group: Sequence[_Publication], preconditions: Mapping[str, Sequence[Required]]) -> OutgoingMessage:
    first = group[0].command
    return OutgoingMessage(
        routing_key=f"connector.{first.connector_id}",
        body=DispatchedCommands(
            commands=[_to_proto(each, preconditions.get(each.command.command_id, ())) for each in group]
        ).SerializeToString(),
        message_id=f"{first.command_id}/{first.dispatch_number}",
        headers={"traceparent": group[0].traceparent},
    )


def _to_proto(publication: _Publication, preconditions: Sequence[Required]) -> DispatchedCommand:
    command = publication.command
    return DispatchedCommand(
        command_id=command.command_id,
        dispatch_number=command.dispatch_number,
        vehicle_id=command.vehicle_id,
        session_epoch=command.session_epoch,
        command_name=command.command_name,
        command_params=command.command_params,
        repeatable=command.repeatable,
        timeout_ms=command.timeout_seconds * 1000,
        expires_at_us=int(command.expires_at.timestamp() * 1_000_000),
        traceparent=publication.traceparent,
        stream_duration_ms=command.stream_duration_ms,
        preconditions=[required_to_proto(*each) for each in preconditions],
    )
