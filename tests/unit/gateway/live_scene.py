"""A hub of viewers with its fakes and its sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.live_updates import LiveUpdates, Viewer
from gateway.outlet import Outlet
from sovd_protos.live.v1.live_pb2 import CommandEvent
from tests.unit.gateway.live_fakes import CHANNEL, COMMAND, HandLiveEvents, RecordedCommand, SlowSocket, live, settle


class Scene:
    """A hub, its fakes and its sockets."""

    def __init__(self) -> None:
        self.live = HandLiveEvents()
        self.command = RecordedCommand()
        self.hub = LiveUpdates(self.live, self.command.read)
        self.ends: list[bool] = []
        self.viewers: list[Viewer] = []

    def open(self, after: int = 0) -> tuple[SlowSocket, Viewer]:
        socket = SlowSocket()
        viewer = self.hub.open(COMMAND, after, Outlet(socket), self.ends.append)
        self.viewers.append(viewer)
        return socket, viewer

    def happen(self, *events: CommandEvent, published: bool = True) -> None:
        self.command.record(*events)
        if published:
            self.live.send(CHANNEL, live(*events))


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    scene.command.hold = False
    while scene.command.held:
        scene.command.release()
    for viewer in scene.viewers:
        scene.hub.close(viewer)
        viewer.outlet.abandon()
    await scene.hub.stop()
    await settle()
    assert scene.live.subscriptions == []
