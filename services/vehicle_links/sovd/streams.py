"""StreamDataByID: cyclic subscriptions (ISO 17978-3, 7.10) with server-sent events, or reading again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from urllib.parse import quote

from service_kit.logging import get_logger
from vehicle_links.dialled import CommandFailed, Execution, FateUnknown
from vehicle_links.sovd.codec import (
    EventLines,
    Object,
    check,
    data_response,
    event_payload,
    object_of,
    text_of,
)
from vehicle_links.sovd.directory import Component
from vehicle_links.sovd.http import BadAnswer, ConnectionLost, SovdHttp

_log = get_logger(__name__)

_ASK_SECONDS = 10.0
_DELETE_SECONDS = 2.0
# Each subscription is a connection: of more identifiers than that the values are asked for.
_MOST_SUBSCRIPTIONS = 8
_MOST_EVENT_BYTES = 256 * 1024
_WAITING_EVENTS = 64
# An event that comes so much of an interval too early still counts: clocks differ.
_EARLY = 0.2
_LONGEST_SUBSCRIPTION_EXTRA_SECONDS = 10

Poll = Callable[[str], Awaitable[Object]]
_Event = tuple[str, Object | Exception]


class _NoSubscriptions(Exception):
    """This server, or this resource, has none."""


async def stream_data(
    http: SovdHttp, execution: Execution, component: Component, paths: Mapping[str, str], poll: Poll
) -> None:
    """`paths` by data identifier. Responds until the duration is over; the caller cancels it."""
    try:
        if len(paths) > _MOST_SUBSCRIPTIONS:
            raise _NoSubscriptions
        await _subscribed(http, execution, component, paths)
    except _NoSubscriptions:
        await _polled(execution, list(paths), poll)


async def _polled(execution: Execution, data_ids: list[str], poll: Poll) -> None:
    interval, duration = _pace(execution)
    clock = asyncio.get_running_loop().time
    begin = clock()
    for number in range(max(1, int(duration / interval))):
        if (wait := begin + number * interval - clock()) > 0:
            await asyncio.sleep(wait)
        elif clock() - begin > duration:  # the vehicle is slower than was asked for
            return
        for data_id in data_ids:
            await execution.respond(await poll(data_id))


async def _subscribed(http: SovdHttp, execution: Execution, component: Component, paths: Mapping[str, str]) -> None:
    interval, duration = _pace(execution)
    events: asyncio.Queue[_Event] = asyncio.Queue(_WAITING_EVENTS)
    async with AsyncExitStack() as stack:
        for data_id, path in paths.items():
            source = await _subscribe(http, execution, component, path, duration, interval, stack)
            listening = asyncio.create_task(_listen(http, execution, source, data_id, events))
            stack.callback(listening.cancel)
        await _respond(execution, component, events, paths, interval, duration)


async def _subscribe(
    http: SovdHttp,
    execution: Execution,
    component: Component,
    path: str,
    duration: float,
    interval: float,
    stack: AsyncExitStack,
) -> str:
    """Where the events come from. The subscription ends with the stack."""
    base = f"{component.path}/cyclic-subscriptions"
    body = {
        "resource": path,
        "protocol": "sse",
        "interval": _interval_class(interval),
        "duration": int(duration) + _LONGEST_SUBSCRIPTION_EXTRA_SECONDS,
    }
    answer = await http.request(
        "POST",
        base,
        body,
        read_seconds=_ASK_SECONDS,
        before_write=None if execution.begun else execution.begin,
    )
    try:
        said = object_of(check(answer, f"a subscription of {component.name}"))
    except (CommandFailed, FateUnknown, BadAnswer) as refused:
        _log.info("no_cyclic_subscription", component=component.name, reason=str(refused)[:200])
        raise _NoSubscriptions from refused
    subscription = text_of(said, "id", "subscription_id")
    own = f"{base}/{quote(subscription, safe='')}" if subscription else http.own_path(answer.headers.get("location"))
    if own is not None:
        stack.push_async_callback(_unsubscribe, http, own)
    source = http.own_path(said.get("event_source"), f"{base}/")
    if source is None:  # elsewhere, or nowhere
        raise _NoSubscriptions
    return source


async def _unsubscribe(http: SovdHttp, path: str) -> None:
    """Not deleted, it ends with its duration."""
    with suppress(BadAnswer, ConnectionLost):
        await http.request("DELETE", path, read_seconds=_DELETE_SECONDS)


async def _listen(
    http: SovdHttp, execution: Execution, source: str, data_id: str, events: "asyncio.Queue[_Event]"
) -> None:
    try:
        async with http.open_stream(source, {"x-request-id": execution.command.command_id}) as (answer, chunks):
            check(answer, f"events of {data_id}")
            lines = EventLines(_MOST_EVENT_BYTES)
            async for chunk in chunks:
                for data in lines.feed(chunk):
                    await events.put((data_id, event_payload(data)))
        await events.put((data_id, ConnectionLost(f"the events of {data_id} ended before their time")))
    except (CommandFailed, FateUnknown, BadAnswer, ConnectionLost) as error:
        await events.put((data_id, error))


async def _respond(
    execution: Execution,
    component: Component,
    events: "asyncio.Queue[_Event]",
    paths: Mapping[str, str],
    interval: float,
    duration: float,
) -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + duration
    due = dict.fromkeys(paths, 0.0)
    while (left := end - clock()) > 0:
        try:
            async with asyncio.timeout(left):
                data_id, event = await events.get()
        except TimeoutError:
            return
        if isinstance(event, Exception):
            raise event
        now = clock()
        if now >= due[data_id] - interval * _EARLY:
            due[data_id] = max(due[data_id], now) + interval
            raw = str(event).encode(errors="replace")
            await execution.respond(data_response(component.address or 0, int(data_id, 16), event, raw))


def _pace(execution: Execution) -> tuple[float, float]:
    """Interval and duration in seconds."""
    return execution.parameters["interval_ms"] / 1000, float(execution.parameters["duration_s"])


def _interval_class(interval: float) -> str:
    """The slowest that is fast enough: fast is below 100 ms, normal below 250 ms, slow below 500 ms."""
    return "fast" if interval < 0.25 else "normal" if interval < 0.5 else "slow"
