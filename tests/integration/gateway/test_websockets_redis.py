"""Viewers on a real Redis that goes away in the middle: everybody still sees everything, once and in order."""

import asyncio
from contextlib import suppress
from typing import Any

from gateway.live_updates import LiveUpdates
from gateway.outlet import Outlet
from service_kit.live_events.port import LiveEvents
from service_kit.live_events.redis import RedisLiveEvents
from sovd_protos.command.v1.command_pb2 import CommandUpdates, KnownState
from sovd_protos.live.v1.live_pb2 import CommandEvent
from tests.support.servers import RedisServer
from tests.support.waiting import until
from tests.unit.gateway.live_fakes import RecordedCommand, SlowSocket, check_whole, live, response, status

RESPONSES = 80
COMMANDS = [f"01970c3a-6f2e-7d5a-8c1b-{number:012x}" for number in range(20)]


class Recorder:
    """Records and publishes as the command service does: recorded first, published if that works."""

    def __init__(self, live_events: LiveEvents) -> None:
        self.live_events = live_events
        self.commands = {command_id: RecordedCommand(command_id, page=10) for command_id in COMMANDS}

    async def happen(self, *events: CommandEvent) -> None:
        for command in self.commands.values():
            command.record(*events)
        messages = [(f"command.{command_id}", live(*events).SerializeToString()) for command_id in self.commands]
        with suppress(ConnectionError):
            await self.live_events.publish(messages)

    async def read(self, known: list[KnownState]) -> list[CommandUpdates]:
        return [self.commands[state.command_id].updates(state) for state in known]


def seen(socket: SlowSocket) -> int:
    return sum(event["event"] == "response" for event in socket.events)


async def test_redis_goes_away_and_comes_back(redis_url: str, redis_server: RedisServer) -> None:
    publishing, listening = RedisLiveEvents(redis_url), RedisLiveEvents(redis_url)
    recorder = Recorder(publishing)
    hub = LiveUpdates(listening, recorder.read, reread_seconds=0.2)
    clock = asyncio.create_task(hub.run())
    sockets = [SlowSocket() for _ in COMMANDS]
    ended: list[Any] = []
    for command_id, socket in zip(COMMANDS, sockets, strict=True):
        hub.open(command_id, 0, Outlet(socket), ended.append)
    for number in range(1, RESPONSES):
        await recorder.happen(response(number), status(number, number))
        if number == RESPONSES // 4:
            await until(lambda: all(socket.sent for socket in sockets))
            await asyncio.to_thread(redis_server.stop)
        if number == RESPONSES // 2:
            # Redis is away: what was recorded comes by the clock.
            await until(lambda: all(seen(socket) == RESPONSES // 2 for socket in sockets))
            await asyncio.to_thread(redis_server.start)
    await until(lambda: listening.connected)
    await recorder.happen(response(RESPONSES), status(RESPONSES, RESPONSES, terminal=True))
    await until(lambda: len(ended) == len(COMMANDS))
    await until(lambda: all(socket.events[-1].get("terminal") for socket in sockets))
    for socket in sockets:
        check_whole(socket.events, RESPONSES)
    clock.cancel()
    await asyncio.wait([clock])
    await hub.stop()
    await listening.close()
    await publishing.close()


async def test_many_viewers_share_one_connection(redis_url: str) -> None:
    publishing, listening = RedisLiveEvents(redis_url), RedisLiveEvents(redis_url)
    recorder = Recorder(publishing)
    hub = LiveUpdates(listening, recorder.read)
    sockets = [SlowSocket() for _ in range(10 * len(COMMANDS))]
    ended: list[Any] = []
    for number, socket in enumerate(sockets):
        hub.open(COMMANDS[number % len(COMMANDS)], 0, Outlet(socket), ended.append)
    for number in range(1, RESPONSES):
        await recorder.happen(response(number), status(number, number))
    await recorder.happen(response(RESPONSES), status(RESPONSES, RESPONSES, terminal=True))
    await until(lambda: len(ended) == len(sockets))
    await until(lambda: all(socket.events[-1].get("terminal") for socket in sockets))
    for socket in sockets:
        check_whole(socket.events, RESPONSES)
    await until(lambda: not hub._channels)
    await hub.stop()
    await listening.close()
    await publishing.close()
