"""The way out to a socket, connection changes of vehicles, and the trace that ends at the socket."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway import outlet as outlets
from gateway.live_updates import LiveUpdates
from gateway.outlet import Outlet
from gateway.vehicle_feed import RESYNC, RESYNC_ROUNDS
from service_kit.tracing import configure_tracing, enter_service, shutdown_tracing
from sovd_protos.live.v1.live_pb2 import VehicleEvents
from tests.unit.gateway.live_fakes import (
    CHANNEL,
    COMMAND,
    HandLiveEvents,
    RecordedCommand,
    SlowSocket,
    live,
    response,
    settle,
    status,
)

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-2] + "00"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing("gateway", exporter)
    yield exporter
    shutdown_tracing()


# The outlet


async def test_what_was_put_before_closing_is_sent_and_nothing_after() -> None:
    socket = SlowSocket()
    outlet = Outlet(socket)
    outlet.put("1")
    outlet.put("2")
    outlet.close(1000, "the end")
    outlet.put("3")
    await settle()
    assert socket.sent == ["1", "2"]
    assert socket.closed == (1000, "the end")


async def test_what_is_dropped_is_not_sent() -> None:
    socket = SlowSocket()
    socket.open_gate.clear()
    outlet = Outlet(socket)
    outlet.put("under way")
    await settle()
    outlet.put("dropped")
    outlet.drop()
    outlet.close(4401, "ended")
    socket.open_gate.set()
    await settle()
    assert socket.sent == ["under way"]
    assert socket.closed == (4401, "ended")


async def test_big_messages_fill_an_outlet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_CHARACTERS", 10)
    socket = SlowSocket()
    socket.open_gate.clear()
    outlet = Outlet(socket)
    assert not outlet.full
    outlet.put("under way")
    await settle()
    outlet.put("x" * 10)
    assert outlet.full
    socket.open_gate.set()
    await outlet.room()
    assert not outlet.full
    assert len(socket.sent) == 2


async def test_a_client_that_is_gone_is_sent_nothing_more() -> None:
    socket = SlowSocket()
    socket.gone = True
    outlet = Outlet(socket)
    outlet.put("1")
    await settle()
    outlet.put("2")
    await settle()
    assert socket.sent == []
    assert socket.closed is None


async def test_who_waits_for_room_is_not_left_waiting_when_the_client_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 1)
    socket = SlowSocket()
    socket.open_gate.clear()
    outlet = Outlet(socket)
    outlet.put("1")
    await settle()
    outlet.put("2")
    outlet.abandon()
    await outlet.room()
    await settle()
    assert socket.sent == []


# Vehicles


async def test_a_slow_socket_is_told_to_read_the_vehicles_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 2)
    live_events, socket = HandLiveEvents(), SlowSocket()
    hub = LiveUpdates(live_events, RecordedCommand().read)
    hub.vehicles.open(Outlet(socket))
    await settle()
    socket.open_gate.clear()
    for number in range(20):
        live_events.send("vehicles", VehicleEvents(json=[json.dumps({"event": "vehicle", "number": number})]))
    socket.open_gate.set()
    await settle()
    assert socket.sent[0] == RESYNC
    assert socket.sent[-1] == RESYNC
    assert len(socket.sent) < 10
    await hub.stop()
    assert live_events.subscriptions == []


async def test_vehicles_are_subscribed_again_after_a_failure() -> None:
    live_events, socket = HandLiveEvents(), SlowSocket()
    live_events.fails = 1
    hub = LiveUpdates(live_events, RecordedCommand().read)
    hub.vehicles.open(Outlet(socket))
    await settle()
    assert socket.sent == []
    await hub.reread_all()
    await settle()
    assert socket.sent == [RESYNC]
    await hub.stop()


async def test_while_live_events_are_away_vehicles_are_read_again_now_and_then() -> None:
    live_events, early, late = HandLiveEvents(), SlowSocket(), SlowSocket()
    hub = LiveUpdates(live_events, RecordedCommand().read)
    hub.vehicles.open(Outlet(early))
    await settle()
    for _ in range(RESYNC_ROUNDS):
        await hub.reread_all()
    await settle()
    assert early.sent == [RESYNC]  # nothing may have been missed
    live_events.connected = False
    for _ in range(2 * RESYNC_ROUNDS):
        await hub.reread_all()
    hub.vehicles.open(Outlet(late))
    await settle()
    assert (early.sent, late.sent) == ([RESYNC] * 3, [RESYNC])
    live_events.connected = True
    live_events.gap()
    await settle()
    assert (early.sent, late.sent) == ([RESYNC] * 4, [RESYNC] * 2)
    await hub.stop()


async def test_stopping_does_not_wait_for_live_events_that_are_away() -> None:
    live_events = HandLiveEvents()
    live_events.confirm.clear()
    hub = LiveUpdates(live_events, RecordedCommand().read)
    hub.vehicles.open(Outlet(SlowSocket()))
    hub.open(COMMAND, 0, Outlet(SlowSocket()), lambda found: None)
    await settle()
    await hub.stop()
    assert live_events.subscriptions == []


# The trace


async def test_what_a_sampled_command_sends_is_a_span_of_its_trace(spans: InMemorySpanExporter) -> None:
    enter_service("gateway")
    live_events, command, socket = HandLiveEvents(), RecordedCommand(), SlowSocket()
    hub = LiveUpdates(live_events, command.read)
    hub.open(COMMAND, 0, Outlet(socket), lambda found: None)
    await settle()
    enter_service("command_service")  # in one process, it may be the publisher who calls
    live_events.send(CHANNEL, live(response(1), traceparent=UNSAMPLED))
    live_events.send(CHANNEL, live(response(2), status(2, 2, terminal=True), traceparent=SAMPLED))
    await settle()
    finished = spans.get_finished_spans()
    assert [span.name for span in finished] == ["websocket.deliver", "websocket.deliver"]
    for span in finished:
        assert span.context is not None
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == SAMPLED[3:35]
        assert f"{span.parent.span_id:016x}" == SAMPLED[36:52]
        assert span.attributes is not None
        assert span.attributes["sovd.service"] == "gateway"
    await hub.stop()


async def test_what_is_replayed_of_a_sampled_command_is_traced_too(spans: InMemorySpanExporter) -> None:
    live_events, command, socket = HandLiveEvents(), RecordedCommand(traceparent=SAMPLED), SlowSocket()
    command.record(response(1), status(2, 1, terminal=True))
    hub = LiveUpdates(live_events, command.read)
    hub.open(COMMAND, 0, Outlet(socket), lambda found: None)
    await settle()
    assert len(spans.get_finished_spans()) == len(socket.sent) == 2
    await hub.stop()
