"""What clients should not say over a WebSocket: they are told, the socket of nobody else is harmed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from gateway.tokens import AccessTokens, CurrentUser
from tests.integration.robustness.harness import Api, check_order, events_until_closed, events_until_end

NOBODY = "01970c3a-6f2e-7d5a-8c1b-000000000000"


@pytest.fixture
async def socket(api: Api) -> AsyncIterator[ClientConnection]:
    async with api.socket(f"/ws/events?ticket={await api.ticket()}") as socket:
        yield socket


async def answer(socket: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(await socket.recv())
    return event


async def pong(socket: ClientConnection) -> None:
    """The socket still works."""
    await socket.send('{"action":"ping"}')
    assert await answer(socket) == {"event": "pong"}


async def refusal(api: Api, path: str) -> tuple[str, int | None]:
    """Code of the problem, and the close code."""
    async with api.socket(path) as socket:
        (problem,), close_code = await events_until_closed(socket)
    assert problem["event"] == "problem"
    return problem["code"], close_code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "MALFORMED_JSON"),
        ("{", "MALFORMED_JSON"),
        ("[" * 4000, "MALFORMED_JSON"),
        ('{"action":"\\ud800"}', "MALFORMED_JSON"),
        ("[]", "INVALID_MESSAGE"),
        ("null", "INVALID_MESSAGE"),
        (b'{"action":"ping"}', "BINARY_MESSAGE"),
        (b"\xff\x00", "BINARY_MESSAGE"),
        ("x" * 5000, "MESSAGE_TOO_LARGE"),
        ('{"action":"explode"}', "UNKNOWN_ACTION"),
        ('{"action":{"action":"ping"}}', "UNKNOWN_ACTION"),
        ('{"action":"subscribe"}', "INVALID_MESSAGE"),
        ('{"action":"subscribe","command_id":"7"}', "VALIDATION_FAILED"),
        (f'{{"action":"subscribe","command_id":"{NOBODY}","after":-1}}', "VALIDATION_FAILED"),
        (f'{{"action":"subscribe","command_id":"{NOBODY}","after":4294967296}}', "VALIDATION_FAILED"),
        (f'{{"action":"subscribe","command_id":"{NOBODY}"}}', "UNKNOWN_COMMAND"),
    ],
)
async def test_a_bad_message(socket: ClientConnection, message: str | bytes, code: str) -> None:
    await socket.send(message)
    problem = await answer(socket)
    assert (problem["event"], problem["code"]) == ("problem", code)
    assert problem["message"]
    await pong(socket)


async def test_bad_messages_do_not_disturb_what_is_watched(api: Api, socket: ClientConnection) -> None:
    command_id = await api.submit()
    await socket.send("?")
    await socket.send(json.dumps({"action": "subscribe", "command_id": command_id}))
    await socket.send(b"?")
    check_order(await events_until_end(socket, command_id), responses=3)


async def test_too_many_bad_messages_end_the_socket(socket: ClientConnection) -> None:
    for _ in range(30):
        await socket.send("?")
    events, close_code = await events_until_closed(socket)
    assert (events[-1]["code"], close_code) == ("TOO_MANY_BAD_MESSAGES", 4400)


async def test_a_huge_message_ends_the_socket(socket: ClientConnection) -> None:
    await socket.send("x" * 1_000_000)
    assert await events_until_closed(socket) == ([], 1009)


async def test_the_socket_of_one_command_takes_pings_only(api: Api) -> None:
    # One that goes on for long enough not to end before it was spoken to.
    stream = {"ecuAddress": "0x10", "dataIds": ["0xF40C"], "interval_ms": 500, "duration_s": 2}
    command_id = await api.submit("StreamDataByID", command_params=stream)
    async with api.socket(f"/ws/responses/{command_id}?token={api.token}") as socket:
        await socket.send(json.dumps({"action": "subscribe", "command_id": NOBODY}))
        events, close_code = await events_until_closed(socket)
    problems = [event for event in events if event["event"] == "problem"]
    assert [problem["code"] for problem in problems] == ["UNEXPECTED_MESSAGE"]
    responses = sum(event["event"] == "response" for event in events)
    check_order([event for event in events if event["event"] != "problem"], responses)
    assert responses > 0
    assert close_code == 1000


async def test_a_client_that_breaks_the_protocol_or_leaves_without_a_word(api: Api) -> None:
    path = f"/ws/events?token={api.token}"
    async with api.socket(path) as socket:
        socket.transport.write(b"\xff" * 100)
        _, close_code = await events_until_closed(socket)
        assert close_code == 1002
    async with api.socket(path) as socket:
        await pong(socket)
        socket.transport.abort()


async def test_bad_tickets_and_tokens(api: Api) -> None:
    used = await api.ticket()
    async with api.socket(f"/ws/events?ticket={used}") as socket:
        await pong(socket)
    for query in ("", "?ticket=", "?ticket=nonsense", "?ticket=%00", f"?ticket={used}", "?token=x.y.z", "?token=%00"):
        assert await refusal(api, f"/ws/events{query}") == ("INVALID_TOKEN", 4401), query
        assert await refusal(api, f"/ws/responses/{NOBODY}{query}") == ("INVALID_TOKEN", 4401), query
    claims = jwt.decode(api.token, options={"verify_signature": False})
    user = CurrentUser(claims["sub"], claims["username"], claims["role"], claims["sid"])
    expired = AccessTokens([api.system.processes["gateway"].environment["JWT_SECRET"]], -10).issue(user)
    assert await refusal(api, f"/ws/events?token={expired}") == ("TOKEN_EXPIRED", 4401)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ws/responses/7?", ("VALIDATION_FAILED", 4400)),
        ("/ws/responses/%00?", ("VALIDATION_FAILED", 4400)),
        (f"/ws/responses/{NOBODY}?", ("UNKNOWN_COMMAND", 4404)),
        (f"/ws/responses/{NOBODY}?after=-1&", ("VALIDATION_FAILED", 4400)),
        (f"/ws/responses/{NOBODY}?after=1e3&", ("VALIDATION_FAILED", 4400)),
    ],
)
async def test_a_wrong_address(api: Api, path: str, expected: tuple[str, int]) -> None:
    assert await refusal(api, f"{path}token={api.token}") == expected


async def test_there_is_no_other_websocket(api: Api) -> None:
    for path in ("/ws", "/ws/nothing", "/api/v1/commands", f"/ws/responses/{NOBODY}/more"):
        with pytest.raises(InvalidStatus) as refused:
            await api.socket(f"{path}?token={api.token}")
        assert refused.value.response.status_code == 403
