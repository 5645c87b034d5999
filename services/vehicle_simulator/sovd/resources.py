"""The resources of a component of a simulated vehicle (ISO 17978-3), by path and method."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from vehicle_simulator.faults import FaultKind
from vehicle_simulator.sovd.vehicle import INTERVALS, Component, Object, SovdError

_LARGEST_BODY = 64 * 1024
_LONGEST_LOCK_SECONDS = 3600

Handler = Callable[[Component, Request], Awaitable[Response]]


async def _describe(component: Component, request: Request) -> Response:
    return JSONResponse(component.description())


async def _data_list(component: Component, request: Request) -> Response:
    return items(component.data_list())


async def _read_data(component: Component, request: Request) -> Response:
    return JSONResponse(component.read(request.path_params["id"]))


async def _write_data(component: Component, request: Request) -> Response:
    component.write(request.path_params["id"], (await _body(request)).get("data"))
    return Response(status_code=204)


async def _list_faults(component: Component, request: Request) -> Response:
    query = request.query_params.items()
    return items(component.faults({name[7:-1]: value for name, value in query if name.startswith("status[")}))


async def _fault_details(component: Component, request: Request) -> Response:
    return JSONResponse(component.fault(request.path_params["id"]))


async def _clear_faults(component: Component, request: Request) -> Response:
    component.clear(request.path_params.get("id"))
    return Response(status_code=204)


async def _list_operations(component: Component, request: Request) -> Response:
    return items(component.operations())


async def _operation(component: Component, request: Request) -> Response:
    return JSONResponse({"item": component.operation(request.path_params["id"])})


async def _start(component: Component, request: Request) -> Response:
    name = request.path_params["id"]
    execution_id, state = component.start(name, (await _body(request)).get("parameters") or "")
    location = f"{component.path}/operations/{name}/executions/{execution_id}"
    status = 202 if state["status"] == "running" else 200
    return JSONResponse(state, status, headers={"location": location})


async def _list_executions(component: Component, request: Request) -> Response:
    return items(component.executions_of(request.path_params["id"]))


async def _execution(component: Component, request: Request) -> Response:
    return JSONResponse(component.execution(request.path_params["id"], request.path_params["part"]))


async def _stop(component: Component, request: Request) -> Response:
    component.stop(request.path_params["id"], request.path_params["part"])
    return Response(status_code=204)


async def _list_modes(component: Component, request: Request) -> Response:
    return items([{"id": mode} for mode in component.modes])


async def _mode(component: Component, request: Request) -> Response:
    return JSONResponse(component.mode(request.path_params["id"]))


async def _set_mode(component: Component, request: Request) -> Response:
    return JSONResponse(component.set_mode(request.path_params["id"], (await _body(request)).get("value")))


async def _status(component: Component, request: Request) -> Response:
    return JSONResponse({"status": "ready", "restart": f"{component.path}/status/restart"})


async def _restart(component: Component, request: Request) -> Response:
    parameters = (await _body(request)).get("parameters")
    component.restart(parameters.get("ResetType") if isinstance(parameters, dict) else None)
    return Response(status_code=202, headers={"location": f"{component.path}/status"})


async def _list_locks(component: Component, request: Request) -> Response:
    return items(component.locks(request.state.client))


async def _acquire(component: Component, request: Request) -> Response:
    seconds = _lock_seconds(await _body(request))
    lock = component.acquire(request.state.client, request.state.owner, seconds)
    headers = {"location": f"{component.path}/locks/{lock.id}"}
    return JSONResponse(lock.object(request.state.client), 201, headers=headers)


async def _renew(component: Component, request: Request) -> Response:
    lock = component.own_lock(request.state.client, request.path_params["id"])
    lock.expires_at = time.time() + _lock_seconds(await _body(request))
    return Response(status_code=204)


async def _lock(component: Component, request: Request) -> Response:
    locks = [lock for lock in component.locks(request.state.client) if lock["id"] == request.path_params["id"]]
    if not locks:
        raise SovdError(404, "resource-not-found", f"{component.id} has no such lock")
    return JSONResponse(locks[0])


async def _release(component: Component, request: Request) -> Response:
    component.own_lock(request.state.client, request.path_params["id"])
    component.lock = None
    return Response(status_code=204)


async def _subscriptions(component: Component, request: Request) -> Response:
    return items([component.subscription(subscription_id) for subscription_id in component.subscriptions])


async def _subscribe(component: Component, request: Request) -> Response:
    body = await _body(request)
    made = component.subscribe(body.get("resource"), body.get("interval"), body.get("duration"))
    return JSONResponse(made, 201, headers={"location": f"{component.path}/cyclic-subscriptions/{made['id']}"})


async def _subscription(component: Component, request: Request) -> Response:
    return JSONResponse(component.subscription(request.path_params["id"]))


async def _unsubscribe(component: Component, request: Request) -> Response:
    component.subscribed(request.path_params["id"])
    del component.subscriptions[request.path_params["id"]]
    return Response(status_code=204)


async def _events(component: Component, request: Request) -> Response:
    component.subscribed(request.path_params["id"])
    fault = request.state.faults.get(FaultKind.DISCONNECT)
    events = _event_stream(component, request.path_params["id"])
    if fault is not None:
        events = _breaking(events, fault.after, request.state.abort)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})


# By path below a component and method: the handler, the command of the catalogue it belongs to ("": to none), and
# whether it changes something.
ROUTES: dict[str, dict[str, tuple[Handler, str, bool]]] = {
    "": {"GET": (_describe, "", False)},
    "/data": {"GET": (_data_list, "", False)},
    "/data/{id}": {"GET": (_read_data, "ReadDataByID", False), "PUT": (_write_data, "WriteDataByID", True)},
    "/faults": {"GET": (_list_faults, "ReadDTC", False), "DELETE": (_clear_faults, "ClearDTC", True)},
    "/faults/{id}": {"GET": (_fault_details, "ReadDTCDetails", False), "DELETE": (_clear_faults, "ClearDTC", True)},
    "/operations": {"GET": (_list_operations, "", False)},
    "/operations/{id}": {"GET": (_operation, "", False)},
    "/operations/{id}/executions": {"GET": (_list_executions, "", False), "POST": (_start, "RoutineControl", True)},
    "/operations/{id}/executions/{part}": {"GET": (_execution, "", False), "DELETE": (_stop, "RoutineControl", True)},
    "/modes": {"GET": (_list_modes, "", False)},
    "/modes/{id}": {"GET": (_mode, "", False), "PUT": (_set_mode, "", True)},
    "/status": {"GET": (_status, "", False)},
    "/status/restart": {"PUT": (_restart, "ECUReset", True)},
    "/locks": {"GET": (_list_locks, "", False), "POST": (_acquire, "", False)},
    "/locks/{id}": {"GET": (_lock, "", False), "PUT": (_renew, "", False), "DELETE": (_release, "", False)},
    "/cyclic-subscriptions": {"GET": (_subscriptions, "", False), "POST": (_subscribe, "", False)},
    "/cyclic-subscriptions/{id}": {"GET": (_subscription, "", False), "DELETE": (_unsubscribe, "", False)},
    "/cyclic-subscriptions/{id}/events": {"GET": (_events, "StreamDataByID", False)},
}


def items(items: list[Object]) -> Response:
    return JSONResponse({"items": items})


async def _body(request: Request) -> Object:
    body = await request.body()
    if len(body) > _LARGEST_BODY:
        raise SovdError(413, "incomplete-request", f"a body has at most {_LARGEST_BODY} bytes")
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SovdError(400, "incomplete-request", "the body must be a JSON object")
    return value


def _lock_seconds(body: Object) -> float:
    seconds = body.get("lock_expiration")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_LOCK_SECONDS:
        message = f"lock_expiration must be a number of seconds, 1 to {_LONGEST_LOCK_SECONDS}"
        raise SovdError(400, "incomplete-request", message)
    return seconds


async def _event_stream(component: Component, subscription_id: str) -> AsyncIterator[bytes]:
    """Events until the subscription ends (5.2.2, table 5: EventEnvelope)."""
    subscription = component.subscribed(subscription_id)
    due = time.monotonic()
    while component.subscriptions.get(subscription_id) is subscription and due < subscription.ends_at:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"timestamp": stamp, "payload": component.read(subscription.data_id)}
        yield f"data: {json.dumps(event)}\n\n".encode()
        due += INTERVALS[subscription.interval]
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    component.subscriptions.pop(subscription_id, None)


async def _breaking(events: AsyncIterator[bytes], after: int, abort: Callable[[], Any]) -> AsyncIterator[bytes]:
    sent = 0
    async for event in events:
        if sent == after:
            abort()
            return
        yield event
        sent += 1
