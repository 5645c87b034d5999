"""Both WebSockets, through a real server and a real client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import gathered_writes, server, socket_talk
from gateway import outlet as outlets
from gateway.metrics import WEBSOCKETS_OPEN
from sovd_protos.live.v1.live_pb2 import CommandEvent, VehicleEvents
from tests.integration.gateway.small_gateway import SmallGateway, small_gateway
from tests.support.waiting import until, until_it
from tests.unit.gateway.live_fakes import CHANNEL, COMMAND, RecordedCommand, check_whole, live, response, status

OTHER = "01970c3a-6f2e-7d5a-8c1b-ffffffffffff"
RESYNC = {"event": "resync", "vehicles": True}


@pytest.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    async with small_gateway() as running:
        running.service.recorded[COMMAND] = RecordedCommand()
        yield running


def happen(gateway: SmallGateway, *events: CommandEvent, published: bool = True) -> None:
    gateway.service.recorded[COMMAND].record(*events)
    if published:
        gateway.live.send(CHANNEL, live(*events))


def open_command(gateway: SmallGateway, query: str = "", command_id: str = COMMAND) -> connect:
    return connect(gateway.websocket_url(f"/ws/responses/{command_id}?token={gateway.token()}{query}"))


def open_events(gateway: SmallGateway, sid: str = "session-1") -> connect:
    return connect(gateway.websocket_url(f"/ws/events?token={gateway.token(sid=sid)}"))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def rest(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """All that comes, and the close code."""
    events = []
    async with asyncio.timeout(10):
        with suppress(ConnectionClosed):
            while True:
                events.append(json.loads(await socket.recv()))
    assert socket.close_code is not None
    return events, socket.close_code


async def refusal(connection: connect) -> tuple[str, int]:
    """Code of the problem, and the close code."""
    async with connection as socket:
        (problem,), close_code = await rest(socket)
    assert problem["event"] == "problem"
    assert problem["message"]
    return problem["code"], close_code


# One command


async def test_a_viewer_gets_the_past_then_the_present_then_the_end(gateway: SmallGateway) -> None:
    happen(gateway, status(1, 0), response(1), published=False)
    async with open_command(gateway) as socket:
        seen = [await receive(socket), await receive(socket)]
        happen(gateway, response(2), response(3))
        happen(gateway, status(4, 3, terminal=True))
        events, close_code = await rest(socket)
    check_whole(seen + events, responses=3)
    assert close_code == 1000
    await until(lambda: not gateway.live.subscriptions)


async def test_a_command_that_has_ended_is_replayed_after_a_number(gateway: SmallGateway) -> None:
    happen(gateway, *(response(number) for number in range(1, 10)), status(4, 9, terminal=True), published=False)
    async with open_command(gateway, "&after=7") as socket:
        events, close_code = await rest(socket)
    check_whole(events, responses=9, after=7)
    assert close_code == 1000


async def test_without_redis_every_event_comes(gateway: SmallGateway) -> None:
    gateway.live.connected = False
    gateway.live.confirm.clear()
    async with open_command(gateway) as socket:
        happen(gateway, response(1), published=False)
        await gateway.state.live_updates.reread_all()
        assert (await receive(socket))["sequence_number"] == 1
        happen(gateway, status(2, 1, terminal=True), published=False)
        await gateway.state.live_updates.reread_all()
        events, close_code = await rest(socket)
    assert [event["event"] for event in events] == ["status"]
    assert close_code == 1000


async def test_a_command_service_that_is_away_when_a_viewer_comes(gateway: SmallGateway) -> None:
    gateway.service.away = 1
    happen(gateway, status(3, 0, terminal=True), published=False)
    async with open_command(gateway) as socket:
        reading = asyncio.create_task(rest(socket))
        await until(lambda: not gateway.service.away)
        # Again and again, as the clock does: the viewer may still be hearing that the first read failed.
        while not reading.done():
            await gateway.state.live_updates.reread_all()
            await asyncio.wait([reading], timeout=0.05)
        events, close_code = reading.result()
    assert (len(events), close_code) == (1, 1000)


async def test_what_a_vehicle_sent_arrives_as_it_was(gateway: SmallGateway) -> None:
    odd = '{"event":"response",  "sequence_number":1,"response":{ "value": 1.50, "text":"Größe \\u00e9" }}'
    async with open_command(gateway) as socket:
        await until(lambda: bool(gateway.live.subscriptions))
        gateway.live.send(CHANNEL, live(CommandEvent(sequence_number=1, json=odd)))
        assert await socket.recv() == odd


async def test_a_viewer_that_cannot_be_served_is_told_why(gateway: SmallGateway) -> None:
    assert await refusal(open_command(gateway, command_id=OTHER)) == ("UNKNOWN_COMMAND", 4404)
    assert await refusal(open_command(gateway, command_id="7")) == ("VALIDATION_FAILED", 4400)
    for after in ("-1", "x", "", "1.5", "4294967296", "٣"):
        assert await refusal(open_command(gateway, f"&after={after}")) == ("VALIDATION_FAILED", 4400)
    for query in ("", "?token=", "?token=nonsense", "?ticket=nonsense"):
        url = gateway.websocket_url(f"/ws/responses/{COMMAND}{query}")
        assert await refusal(connect(url)) == ("INVALID_TOKEN", 4401)
    assert not gateway.live.subscriptions


async def test_there_is_no_other_websocket(gateway: SmallGateway) -> None:
    for path in ("/", "/ws/nothing", f"/ws/responses/{COMMAND}/more", "/api/v1/commands"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.websocket_url(f"{path}?token={gateway.token()}"))
        assert refused.value.response.status_code == 403


async def test_a_ticket_opens_one_socket(gateway: SmallGateway) -> None:
    gateway.tickets["once"] = gateway.user("viewer")
    url = gateway.websocket_url(f"/ws/responses/{COMMAND}?ticket=once")
    async with connect(url) as socket:
        await send(socket, action="ping")
        assert await receive(socket) == {"event": "pong"}
    assert await refusal(connect(url)) == ("INVALID_TOKEN", 4401)


async def test_the_socket_of_one_command_takes_no_subscriptions(gateway: SmallGateway) -> None:
    async with open_command(gateway) as socket:
        await send(socket, action="subscribe", command_id=COMMAND)
        assert (await receive(socket))["code"] == "UNEXPECTED_MESSAGE"
        happen(gateway, status(2, 0, terminal=True), published=False)
        gateway.live.gap()
        assert (await rest(socket))[1] == 1000


async def test_a_client_that_leaves_leaves_nothing_behind(gateway: SmallGateway) -> None:
    before = WEBSOCKETS_OPEN._value.get()
    async with open_command(gateway), open_events(gateway) as events:
        await send(events, action="subscribe", command_id=COMMAND)
        await send(events, action="subscribe", vehicles=True)
        await until(lambda: len(gateway.live.subscriptions) == 2)
        assert WEBSOCKETS_OPEN._value.get() == before + 2
    await until(lambda: not gateway.live.subscriptions)
    await until(lambda: WEBSOCKETS_OPEN._value.get() == before)
    assert not gateway.state.sessions._watchers


# Many commands


async def test_one_socket_watches_many_commands(gateway: SmallGateway) -> None:
    other = gateway.service.recorded[OTHER] = RecordedCommand(OTHER)
    other.record(response(1), response(2), status(3, 2, terminal=True))
    async with open_events(gateway) as socket:
        await send(socket, action="subscribe", command_id=COMMAND)
        await send(socket, action="subscribe", command_id=OTHER.upper(), after=1)
        assert [(await receive(socket)).get("sequence_number") for _ in range(2)] == [2, None]
        happen(gateway, response(1))
        assert (await receive(socket))["sequence_number"] == 1
        await send(socket, action="unsubscribe", command_id=COMMAND)
        assert await receive(socket) == {"event": "unsubscribed", "command_id": COMMAND}
        happen(gateway, response(2))
        await send(socket, action="subscribe", command_id=COMMAND, after=1)
        assert (await receive(socket))["sequence_number"] == 2


async def test_what_ended_may_be_subscribed_again(gateway: SmallGateway) -> None:
    happen(gateway, status(2, 0, terminal=True), published=False)
    async with open_events(gateway) as socket:
        for _ in range(2):
            await send(socket, action="subscribe", command_id=COMMAND)
            assert (await receive(socket))["terminal"] is True


async def test_a_command_is_subscribed_once(gateway: SmallGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_talk, "MAX_SUBSCRIPTIONS", 1)
    async with open_events(gateway) as socket:
        await send(socket, action="subscribe", command_id=COMMAND)
        await send(socket, action="subscribe", command_id=COMMAND)
        problem = await receive(socket)
        assert (problem["code"], problem["command_id"]) == ("ALREADY_SUBSCRIBED", COMMAND)
        await send(socket, action="subscribe", command_id=OTHER)
        problem = await receive(socket)
        assert (problem["code"], problem["command_id"]) == ("TOO_MANY_SUBSCRIPTIONS", OTHER)


async def test_an_unknown_command_leaves_the_socket_open(gateway: SmallGateway) -> None:
    async with open_events(gateway) as socket:
        await send(socket, action="subscribe", command_id=OTHER)
        problem = await receive(socket)
        assert (problem["event"], problem["code"], problem["command_id"]) == ("problem", "UNKNOWN_COMMAND", OTHER)
        await send(socket, action="ping")
        assert await receive(socket) == {"event": "pong"}


BAD_MESSAGES: list[tuple[str | bytes, str]] = [
    ("", "MALFORMED_JSON"),
    ("{", "MALFORMED_JSON"),
    ("[" * 3000, "MALFORMED_JSON"),
    ("7", "INVALID_MESSAGE"),
    ("[]", "INVALID_MESSAGE"),
    (b"\x00\x01", "BINARY_MESSAGE"),
    (json.dumps({"action": "ping", "padding": "x" * 5000}), "MESSAGE_TOO_LARGE"),
    ("{}", "UNKNOWN_ACTION"),
    ('{"action":["ping"]}', "UNKNOWN_ACTION"),
    ('{"action":"dance"}', "UNKNOWN_ACTION"),
    ('{"action":"ping","now":1}', "INVALID_MESSAGE"),
    ('{"action":"subscribe"}', "INVALID_MESSAGE"),
    ('{"action":"subscribe","vehicles":1}', "INVALID_MESSAGE"),
    ('{"action":"subscribe","command_id":7}', "VALIDATION_FAILED"),
    (f'{{"action":"subscribe","command_id":"{COMMAND}x"}}', "VALIDATION_FAILED"),
    (f'{{"action":"subscribe","command_id":"{COMMAND}","after":true}}', "VALIDATION_FAILED"),
    (f'{{"action":"subscribe","command_id":"{COMMAND}","after":-1}}', "VALIDATION_FAILED"),
    (f'{{"action":"subscribe","command_id":"{COMMAND}","vehicles":true}}', "INVALID_MESSAGE"),
    (f'{{"action":"unsubscribe","command_id":"{COMMAND}","after":1}}', "INVALID_MESSAGE"),
]


async def test_a_bad_message_is_answered_and_too_many_end_it(gateway: SmallGateway) -> None:
    async with open_events(gateway) as socket:
        for message, code in BAD_MESSAGES:
            await socket.send(message)
            problem = await receive(socket)
            assert (problem["event"], problem["code"]) == ("problem", code), message[:60]
        await send(socket, action="ping")
        assert await receive(socket) == {"event": "pong"}
        await socket.send("?")
        events, close_code = await rest(socket)
    assert events[-1]["code"] == "TOO_MANY_BAD_MESSAGES"
    assert close_code == 4400


async def test_a_huge_message_closes_the_socket(gateway: SmallGateway) -> None:
    async with open_events(gateway) as socket:
        await socket.send("x" * 100_000)
        assert (await rest(socket))[1] == 1009


async def test_a_client_that_does_not_read_is_not_read_from(
    gateway: SmallGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand pings while nothing is read: all are answered once it reads, and what was queued was bounded."""
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 3)
    async with open_events(gateway) as socket:
        pings = asyncio.create_task(send_many(socket, 2000))
        for _ in range(2000):
            assert await receive(socket) == {"event": "pong"}
        await pings


async def send_many(socket: ClientConnection, count: int) -> None:
    for _ in range(count):
        await send(socket, action="ping")


async def test_a_slow_client_gets_everything_in_order(gateway: SmallGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "MAX_QUEUED_MESSAGES", 4)
    recorded = gateway.service.recorded[COMMAND]
    recorded.page, recorded.padding = 50, "x" * 10_000
    async with open_command(gateway) as socket:
        await until(lambda: bool(gateway.live.subscriptions))
        for number in range(1, 1001):
            happen(gateway, response(number, "x" * 10_000))
        happen(gateway, status(2, 1000, terminal=True))
        events, close_code = await rest(socket)
    check_whole(events, responses=1000)
    assert close_code == 1000


async def test_a_socket_ends_with_its_session_though_its_client_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WEBSOCKET_PING_SECONDS", 0.2)
    monkeypatch.setattr(gathered_writes, "STUCK_SECONDS", 0.2)
    async with small_gateway() as gateway:
        recorded = gateway.service.recorded[COMMAND] = RecordedCommand(page=20, padding="x" * 100_000)
        recorded.record(*(response(number) for number in range(1, 401)))
        open_before = WEBSOCKETS_OPEN._value.get()
        address = gateway.websocket_url(f"/ws/responses/{COMMAND}?token={gateway.token()}")
        socket = await connect(address, max_queue=1, ping_interval=None)
        (connection,) = gateway.server._server.server_state.connections

        async def is_stuck() -> bool:
            unsent = connection.transport.get_write_buffer_size()
            await asyncio.sleep(0.1)
            return 0 < unsent == connection.transport.get_write_buffer_size()

        await until_it(is_stuck)
        await gateway.end_session("session-1")
        await until(lambda: WEBSOCKETS_OPEN._value.get() == open_before)
        socket.transport.abort()


# Vehicles


async def test_connection_changes_of_vehicles(gateway: SmallGateway) -> None:
    online = {"event": "vehicle", "vehicle_id": OTHER, "connection_status": "online"}
    async with open_events(gateway) as first, open_events(gateway) as second:
        await send(first, action="subscribe", vehicles=True)
        assert await receive(first) == RESYNC
        await send(second, action="subscribe", vehicles=True)
        assert await receive(second) == RESYNC
        gateway.live.send("vehicles", VehicleEvents(json=[json.dumps(online)]))
        assert await receive(first) == online
        assert await receive(second) == online
        gateway.live.gap()
        assert await receive(first) == RESYNC
        await send(first, action="unsubscribe", vehicles=True)
        assert await receive(first) == {"event": "unsubscribed", "vehicles": True}
        gateway.live.send("vehicles", b"\xff\xff")
        gateway.live.send("vehicles", VehicleEvents(json=[json.dumps(online)]))
        await send(first, action="ping")
        assert await receive(first) == {"event": "pong"}


# The end


async def test_an_ended_session_ends_its_sockets(gateway: SmallGateway) -> None:
    happen(gateway, response(1), published=False)
    async with open_events(gateway) as mine, open_events(gateway, sid="session-2") as anothers:
        await send(mine, action="subscribe", command_id=COMMAND)
        assert (await receive(mine))["sequence_number"] == 1
        await gateway.end_session("session-1")
        events, close_code = await rest(mine)
        assert ([event["code"] for event in events], close_code) == (["INVALID_TOKEN"], 4401)
        await send(anothers, action="ping")
        assert await receive(anothers) == {"event": "pong"}
    assert await refusal(open_events(gateway)) == ("INVALID_TOKEN", 4401)


async def test_a_session_that_ended_elsewhere_is_found_by_the_check(gateway: SmallGateway) -> None:
    async with open_events(gateway) as socket:
        await until(lambda: bool(gateway.state.sessions._watchers))
        gateway.ended_sessions.add("session-1")
        await gateway.state.sessions.check_watched()
        assert (await rest(socket))[1] == 4401


async def test_a_gateway_that_stops_sends_its_clients_elsewhere() -> None:
    async with small_gateway() as gateway:
        gateway.service.recorded[COMMAND] = RecordedCommand()
        async with open_command(gateway) as one, open_events(gateway) as many:
            await send(many, action="ping")
            await receive(many)
            await until(lambda: bool(gateway.live.subscriptions))
            await gateway.state.lifecycle.stop()
            assert [(await rest(one))[1], (await rest(many))[1]] == [1012, 1012]
        assert not gateway.live.subscriptions


async def test_who_asks_too_often_is_told_to_come_later() -> None:
    async with small_gateway(user_rate_limit="2/minute") as gateway:
        for _ in range(2):
            async with open_events(gateway) as socket:
                await send(socket, action="ping")
                await receive(socket)
        assert await refusal(open_events(gateway)) == ("RATE_LIMITED", 1013)
