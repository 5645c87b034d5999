"""The command catalogue as calls of ISO 17978-3.

What may be needed before (which component, a lock) is asked first; `begin` comes right before the one request that
counts. Requests that change something go on a connection of their own and are never sent twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from urllib.parse import quote

from service_kit.logging import get_logger
from service_kit.uds import NOT_SAID_TO_ALL, is_functional
from service_kit.uds.dtc import STATUS_BITS
from vehicle_links.dialled import CommandFailed, Execution, FateUnknown, Stopped
from vehicle_links.sovd.codec import (
    Object,
    check,
    data_response,
    details_response,
    execution_response,
    failure_of,
    fault_response,
    given,
    items_of,
    matching_faults,
    object_of,
    status_byte,
    text_of,
)
from vehicle_links.sovd.directory import Component, Directory
from vehicle_links.sovd.http import Answer, BadAnswer, SovdHttp
from vehicle_links.sovd.locks import Locks
from vehicle_links.sovd.streams import stream_data

_log = get_logger(__name__)

_ASK_SECONDS = 10.0
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 2.0
# A routine that still runs shortly before the timeout is told of as running, not as one whose fate is unknown.
_MARGIN_SECONDS = 2.0
# Names of the sub-functions of ISO 14229-1 service 0x11, as OpenSOVD spells them.
_RESETS = {"hard": "hardreset", "keyOffOn": "keyoffonreset", "soft": "softreset"}
# Resets were operations before there was a status resource (SOVD 1.0).
_RESET_OPERATIONS = ("ecureset", "reset")
# What ECUs keep to themselves when all are asked (NOT_SAID_TO_ALL), in SOVD's words.
_HAS_NO_SUCH_THING = ("NOT_FOUND_ON_VEHICLE", "UNSUPPORTED_COMMAND", "DTC_NOT_STORED")


class SovdCommands:
    """Of one vehicle. `session_mode`: components are put into that diagnostic session before they are changed."""

    def __init__(self, http: SovdHttp, directory: Directory, locks: Locks, session_mode: str = "") -> None:
        self.http = http
        self.directory = directory
        self._locks = locks
        self._session_mode = session_mode
        self._executions: dict[str, str] = {}

    async def run(self, execution: Execution) -> None:
        handler = _HANDLERS.get(execution.command.command_name)
        if handler is None:
            name = execution.command.command_name
            raise CommandFailed("UNSUPPORTED_COMMAND", f"{name} is not known over SOVD")
        address = int(execution.parameters["ecuAddress"], 16)
        count = await self._ask_each(handler, execution, address)
        if execution.command.command_name == "ReadDTC":
            await execution.respond({"ecuAddress": f"0x{address:X}", "count": count})

    async def call(self, execution: Execution, method: str, path: str, what: str, body: object = None) -> Answer:
        """The request that counts, or a further one of the same command."""
        answer = await self.http.request(
            method,
            path,
            body,
            headers=_tracing(execution),
            before_write=None if execution.begun else execution.begin,
            fresh=not execution.command.repeatable,
        )
        return check(answer, what)

    async def ask(self, path: str, what: str) -> Answer:
        """Reads what is needed before."""
        return check(await self.http.request("GET", path, read_seconds=_ASK_SECONDS), what)

    def guarded(self, execution: Execution, component: Component) -> AbstractAsyncContextManager[object]:
        """The component's lock while it is changed, where it has locks."""
        if execution.command.repeatable or "locks" not in component.links:
            return nullcontext()
        return self._locks.held(component)

    async def _ask_each(self, handler: "_Handler", execution: Execution, address: int) -> int:
        """Returns how many responses there were. What one component refuses is raised after all were asked."""
        if not is_functional(address):
            return await handler(self, execution, await self.directory.component(address))
        nobody = CommandFailed("ECU_NOT_REACHABLE", "no component answers to that")
        nonsense: BadAnswer | None = None
        refusals: list[CommandFailed] = []
        answered, count = False, 0
        for component in await self.directory.components():
            try:
                count += await handler(self, execution, component)
                answered = True
            except CommandFailed as failure:
                if failure.code in _HAS_NO_SUCH_THING:
                    nobody = failure
                elif failure.nrc not in NOT_SAID_TO_ALL:
                    refusals.append(CommandFailed(failure.code, f"{component.name}: {failure.message}", failure.nrc))
            except BadAnswer as bad:
                nonsense = nonsense or BadAnswer(f"that of {component.name} {bad.reason}", bad.raw)
        if nonsense is not None:
            raise nonsense
        if refusals:
            reasons = "; ".join(refusal.message for refusal in refusals)
            raise CommandFailed(refusals[0].code, reasons, refusals[0].nrc)
        if not answered:
            raise nobody
        return count

    async def prepare(self, component: Component) -> None:
        """Into the session that changes need (ISO 17978-3, 7.16)."""
        if self._session_mode and "modes" in component.links:
            path = f"{component.path}/modes/session"
            answer = await self.http.request("PUT", path, {"value": self._session_mode}, read_seconds=_ASK_SECONDS)
            check(answer, f"mode session={self._session_mode} of {component.name}")

    # --- faults

    async def faults(self, execution: Execution, component: Component, mask: int = 0xFF) -> tuple[list[Object], bytes]:
        path = f"{component.path}/faults{_filter(mask)}"
        answer = await self.call(execution, "GET", path, f"faults of {component.name}")
        return items_of(answer), answer.body

    async def fault_paths(self, component: Component, wanted: str) -> list[str]:
        """Where the faults are that this code means; asked before the command itself."""
        answer = await self.ask(f"{component.path}/faults", f"faults of {component.name}")
        paths = [_fault_path(component, fault) for fault in matching_faults(items_of(answer), wanted)]
        if not paths:
            raise CommandFailed("DTC_NOT_STORED", f"{wanted} is not in the fault memory of {component.name}")
        return paths

    # --- operations

    async def follow(self, execution: Execution, path: str, answer: Answer, told: Object) -> Object:
        """Polls a started execution until it has ended, is stopped as asked, or the time is nearly over. A server that
        refuses to tell of it or to stop it has not ended it: it is polled on. Raises FateUnknown when the last poll was
        refused."""
        pause, refused = _FIRST_POLL_SECONDS, ""
        state, stop_requested = answer, execution.stop_requested
        while _is_running(state):
            seconds = min(pause, execution.seconds_left - _MARGIN_SECONDS)
            if seconds <= 0:
                if refused:
                    raise FateUnknown(f"{told['name']} was started, its state is not told: {refused}")
                return execution_response(object_of(state), "running")
            if await _requested(stop_requested, seconds):
                await self._stop(execution, path, told)
                stop_requested = asyncio.Event()  # it is not asked again
            pause = min(pause * 2, _LONGEST_POLL_SECONDS)
            try:
                state = await self.call(execution, "GET", path, f"execution of {told['name']}")
                refused = ""
            except CommandFailed as failure:
                if failure.nrc:
                    raise
                refused = failure.message
        ended = object_of(state)
        if text_of(ended, "status") == "failed" or ended.get("error"):
            raise failure_of(ended.get("error"), f"{told['name']} has failed")
        return execution_response(ended, "completed")

    async def _stop(self, execution: Execution, path: str, told: Object) -> None:
        """Raises Stopped; returns when that is refused: then it runs on."""
        try:
            await self.call(execution, "DELETE", path, f"stopping {told['name']}")
        except CommandFailed as refused:
            _log.info("stop_refused", reason=refused.message[:200])
        else:
            raise Stopped

    def remember(self, operation: str, execution_id: str) -> None:
        self._executions[operation] = execution_id

    async def last_execution(self, operation: str, name: str) -> str:
        """The path of the newest execution: the one that was started from here, else the last of the list."""
        execution_id = self._executions.get(operation)
        if execution_id is None:
            items = items_of(await self.ask(f"{operation}/executions", f"executions of {name}"))
            execution_id = next((found for item in reversed(items) if (found := text_of(item, "id"))), None)
        if execution_id is None:
            raise CommandFailed("NOT_FOUND_ON_VEHICLE", f"{name} was not started")
        return f"{operation}/executions/{quote(execution_id, safe='')}"


def _tracing(execution: Execution) -> dict[str, str]:
    command = execution.command
    headers = {"x-request-id": f"{command.command_id}.{command.attempt}"}
    return headers | ({"traceparent": command.traceparent} if command.traceparent else {})


def _filter(mask: int) -> str:
    """One bit is asked for by name. Of several the standard does not say whether one or all must be set."""
    names = [name for bit, name in enumerate(STATUS_BITS) if mask >> bit & 1]
    return f"?status%5B{names[0]}%5D=1" if len(names) == 1 else ""


def _fault_path(component: Component, fault: Object) -> str:
    return f"{component.path}/faults/{quote(text_of(fault, 'code', 'id'), safe='')}"


def _is_running(answer: Answer) -> bool:
    if answer.status == 202:
        return True
    return bool(answer.body) and text_of(object_of(answer), "status") in ("running", "pending", "inProgress")


async def _requested(stop: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await stop.wait()
    except TimeoutError:
        return False


async def _read_dtc(to: SovdCommands, execution: Execution, component: Component) -> int:
    mask = int(execution.parameters.get("statusMask", "0xFF"), 16)
    faults, raw = await to.faults(execution, component, mask)
    responses = [fault_response(component.address or 0, fault, raw) for fault in faults]
    wanted = [response for response in responses if mask == 0xFF or status_byte(response["status"]) & mask]
    for response in wanted:
        await execution.respond(response)
    return len(wanted)


async def _read_dtc_details(to: SovdCommands, execution: Execution, component: Component) -> int:
    for path in await to.fault_paths(component, execution.parameters["dtcCode"]):
        query = "?include-snapshot=true&include-extended-data=true"
        answer = await to.call(execution, "GET", path + query, f"a fault of {component.name}")
        await execution.respond(details_response(component.address or 0, object_of(answer), answer.body))
    return 1


async def _clear_dtc(to: SovdCommands, execution: Execution, component: Component) -> int:
    code = execution.parameters.get("dtcCode")
    async with to.guarded(execution, component):
        await to.prepare(component)
        paths = [f"{component.path}/faults"] if code is None else await to.fault_paths(component, code)
        for path in paths:
            await to.call(execution, "DELETE", path, f"clearing the faults of {component.name}")
    await execution.respond({"ecuAddress": f"0x{component.address:X}"})
    return 1


async def _read_data(to: SovdCommands, execution: Execution, component: Component) -> int:
    await execution.respond(await read_value(to, execution, component, execution.parameters["dataId"]))
    return 1


async def read_value(to: SovdCommands, execution: Execution, component: Component, data_id: str) -> Object:
    identifier = int(data_id, 16)
    path = await to.directory.resource(component, "data", identifier)
    answer = await to.call(execution, "GET", path, f"data {data_id} of {component.name}")
    value = object_of(answer)
    expected = path.rpartition("/")[2]
    if quote(text_of(value, "id"), safe="") not in ("", expected):
        raise BadAnswer(f"about {text_of(value, 'id')!r} and not about {expected!r}", answer.body)
    return data_response(component.address or 0, identifier, value, answer.body)


async def _write_data(to: SovdCommands, execution: Execution, component: Component) -> int:
    data_id, value = execution.parameters["dataId"], execution.parameters["value"]
    path = await to.directory.resource(component, "data", int(data_id, 16))
    async with to.guarded(execution, component):
        await to.prepare(component)
        body = {"data": given(value)}
        await to.call(execution, "PUT", path, f"writing data {data_id} of {component.name}", body)
    written = {"raw": f"0x{value[2:].upper()}"} if value[:2] == "0x" else {"value": body["data"]}
    about = {"ecuAddress": f"0x{component.address:X}", "id": f"0x{int(data_id, 16):04X}"}
    await execution.respond(about | written)
    return 1


async def _routine_control(to: SovdCommands, execution: Execution, component: Component) -> int:
    parameters = execution.parameters
    operation = await to.directory.resource(component, "operations", int(parameters["routineId"], 16))
    told: Object = {
        "ecuAddress": f"0x{component.address:X}",
        "id": f"0x{int(parameters['routineId'], 16):04X}",
        "name": operation.rpartition("/")[2],
        "action": parameters["action"],
    }
    async with to.guarded(execution, component):
        await to.prepare(component)
        await _ROUTINE_ACTIONS[parameters["action"]](to, execution, operation, told)
    return 1


async def _start_routine(to: SovdCommands, execution: Execution, operation: str, told: Object) -> None:
    parameters = execution.parameters.get("parameters")
    body = {} if parameters is None else {"parameters": given(parameters)}
    answer = await to.call(execution, "POST", f"{operation}/executions", f"starting {told['name']}", body)
    if not _is_running(answer):
        started = object_of(answer) if answer.body else {}
        if text_of(started, "status") == "failed" or started.get("error"):
            raise failure_of(started.get("error"), f"{told['name']} has failed")
        await execution.respond(told | execution_response(started, "completed"))
        return
    started = object_of(answer)
    path = _execution_path(to, operation, answer, started)
    await execution.respond(told | execution_response(started, "running"))
    if path is None:
        return
    ended = await to.follow(execution, path, answer, told)
    if ended["status"] != "running":
        await execution.respond(told | ended)


def _execution_path(to: SovdCommands, operation: str, answer: Answer, started: Object) -> str | None:
    """Where to ask for it. By its id, or by the Location: but never at another host."""
    execution_id = text_of(started, "id", "execution_id")
    if execution_id:
        to.remember(operation, execution_id)
        return f"{operation}/executions/{quote(execution_id, safe='')}"
    return to.http.own_path(answer.headers.get("location"), f"{operation}/executions/")


async def _stop_routine(to: SovdCommands, execution: Execution, operation: str, told: Object) -> None:
    path = await to.last_execution(operation, told["name"])
    answer = await to.call(execution, "DELETE", path, f"stopping {told['name']}")
    await execution.respond(told | execution_response(object_of(answer) if answer.body else {}, "stopped"))


async def _routine_results(to: SovdCommands, execution: Execution, operation: str, told: Object) -> None:
    path = await to.last_execution(operation, told["name"])
    answer = await to.call(execution, "GET", path, f"results of {told['name']}")
    found = object_of(answer)
    if text_of(found, "status") == "failed" or found.get("error"):
        raise failure_of(found.get("error"), f"{told['name']} has failed")
    await execution.respond(told | execution_response(found, "running" if answer.status == 202 else "completed"))


async def _ecu_reset(to: SovdCommands, execution: Execution, component: Component) -> int:
    reset_type = execution.parameters["resetType"]
    async with to.guarded(execution, component):
        path = component.reset_path = component.reset_path or await _reset_path(to, component)
        method = "POST" if path.endswith("/executions") else "PUT"
        body = {"parameters": {"ResetType": _RESETS[reset_type]}}
        await to.call(execution, method, path, f"resetting {component.name}", body)
    await execution.respond({"ecuAddress": f"0x{component.address:X}", "resetType": reset_type})
    return 1


async def _reset_path(to: SovdCommands, component: Component) -> str:
    """The status resource where there is one (ISO 17978-3, 7.19), an operation otherwise."""
    status = await to.http.request("GET", f"{component.path}/status", read_seconds=_ASK_SECONDS)
    if status.status == 200:
        return f"{component.path}/status/restart"
    operation = await to.directory.has_operation(component, _RESET_OPERATIONS)
    if operation is None:
        raise CommandFailed("UNSUPPORTED_COMMAND", f"{component.name} offers no reset")
    return f"{operation}/executions"


async def _stream_data(to: SovdCommands, execution: Execution, component: Component) -> int:
    paths = {
        data_id: await to.directory.resource(component, "data", int(data_id, 16))
        for data_id in execution.parameters["dataIds"]
    }

    async def poll(data_id: str) -> Object:
        return await read_value(to, execution, component, data_id)

    await stream_data(to.http, execution, component, paths, poll)
    return 1


_Handler = Callable[[SovdCommands, Execution, Component], Awaitable[int]]
_HANDLERS: dict[str, _Handler] = {
    "ReadDTC": _read_dtc,
    "ReadDTCDetails": _read_dtc_details,
    "ClearDTC": _clear_dtc,
    "ReadDataByID": _read_data,
    "WriteDataByID": _write_data,
    "RoutineControl": _routine_control,
    "ECUReset": _ecu_reset,
    "StreamDataByID": _stream_data,
}
_ROUTINE_ACTIONS: dict[str, Callable[[SovdCommands, Execution, str, Object], Awaitable[None]]] = {
    "start": _start_routine,
    "stop": _stop_routine,
    "requestResults": _routine_results,
}
