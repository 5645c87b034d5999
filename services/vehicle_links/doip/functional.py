"""One request to all ECUs at once (functional addressing, ISO 14229-2), and the answers of those that have one."""

import asyncio
from collections.abc import Mapping

from service_kit.uds import NOT_SAID_TO_ALL, RESPONSE_PENDING, nrc_name
from vehicle_links.dialled import BadResponse, CommandFailed, Execution, NotSent, Stopped, TimedOut
from vehicle_links.doip.commands import described, fault_count, responses_to, simple_request
from vehicle_links.doip.decoding import Json
from vehicle_links.doip.ecu import TESTER_PRESENT, Negative, is_answer_or_refusal, is_pending, is_refusal, nrc_text
from vehicle_links.doip.ecus import Ecus
from vehicle_links.doip.entity import ACK_SECONDS, ConnectionLost, EntityConnection, Frame, Inbox

# Nobody knows how many ECUs there are: those that answer do so within P2, which gateways make a little longer.
_WINDOW_SECONDS = 1.0
# How often it is looked whether there is still time.
_LOOK_SECONDS = 0.1


async def run(connection: EntityConnection, address: int, ecus: Ecus, execution: Execution) -> None:
    """Responds with what each ECU answers, in the order of their addresses; then what others refused, or nonsense of
    one of them, fails the command. Raises what links raise."""
    params, name = execution.parameters, execution.command.command_name
    request = simple_request(name, params)
    if request is None:
        raise CommandFailed("UNSUPPORTED_COMMAND", f"{name} cannot be said to all ECUs at once")
    answers = dict(sorted((await ask_all(connection, address, request, ecus, execution)).items()))
    if not answers:
        raise CommandFailed("ECU_NOT_REACHABLE", "no ECU answers to that")
    responses: list[Json] = []
    nonsense: BadResponse | None = None
    for ecu, answer in answers.items():
        if is_refusal(answer, request):
            continue
        try:
            responses += responses_to(name, params, ecu, answer, await described(ecus[ecu], execution))
        except BadResponse as bad:
            nonsense = nonsense or BadResponse(f"ECU 0x{ecu:X}: {bad.complaint}", bad.beginning, bad.unreadable)
    for response in responses:
        await execution.respond(response)
    refused = _refused({ecu: answer[2] for ecu, answer in answers.items() if is_refusal(answer, request)}, len(answers))
    if failure := _failure(refused, nonsense):
        raise failure
    if name == "ReadDTC":
        await execution.respond(fault_count(address, len(responses)))


def _refused(nrcs: Mapping[int, int], answers: int) -> Mapping[int, int]:
    """Of the NRCs by ECU those that count. Some ECUs that are not concerned say so: it counts when nobody is."""
    concerned = {ecu: nrc for ecu, nrc in nrcs.items() if nrc not in NOT_SAID_TO_ALL}
    return nrcs if not concerned and len(nrcs) == answers else concerned


def _failure(refused: Mapping[int, int], nonsense: BadResponse | None) -> CommandFailed | None:
    """Names everybody who refused, and the first who talked nonsense."""
    said = [f"ECU 0x{ecu:X}: {nrc_text(nrc)}" for ecu, nrc in refused.items()]
    if nonsense is not None:
        return BadResponse("; ".join([*said, nonsense.complaint]), nonsense.beginning, nonsense.unreadable)
    return Negative(next(iter(refused.values())), "; ".join(said)) if refused else None


async def ask_all(
    connection: EntityConnection, address: int, request: bytes, ecus: Ecus, execution: Execution
) -> dict[int, bytes]:
    """What each ECU answers to the request, positively or not, by address."""
    try:
        async with ecus.none_by_itself(execution) as behind:
            connection.check()
            inbox = connection.listen_to_all()
            try:
                execution.begin()
                number = connection.write(address, request)
                await _acknowledged(connection, inbox, number)
                return await _collect(inbox, request, behind, execution)
            finally:
                connection.stop_listening_to_all()
    except ConnectionLost as lost:
        raise (lost.fate if execution.begun else NotSent()) from None


async def _collect(inbox: Inbox, request: bytes, behind: set[int], execution: Execution) -> dict[int, bytes]:
    """`behind`: who may still answer something earlier; an ECU answers in order."""
    answers: dict[int, bytes] = {}
    waiting_for: set[int] = set()
    clock = asyncio.get_running_loop().time
    window_ends = clock() + _WINDOW_SECONDS
    while waiting_for or clock() < window_ends:
        check_time(execution)
        frame = await next_frame(inbox, _LOOK_SECONDS if waiting_for else min(_LOOK_SECONDS, window_ends - clock()))
        if frame is None:
            continue
        if frame.ecu in behind:
            if is_answer_or_refusal(frame.data, TESTER_PRESENT):
                behind.discard(frame.ecu)
        elif is_pending(frame.data, request):
            waiting_for.add(frame.ecu)
            await execution.progress(RESPONSE_PENDING, f"{nrc_name(RESPONSE_PENDING)} (ECU 0x{frame.ecu:X})")
        elif is_answer_or_refusal(frame.data, request):
            waiting_for.discard(frame.ecu)
            answers.setdefault(frame.ecu, frame.data)
    return answers


def check_time(execution: Execution) -> None:
    if execution.seconds_left <= 0:
        raise TimedOut
    if execution.stop_requested.is_set() and execution.command.repeatable:
        raise Stopped


async def _acknowledged(connection: EntityConnection, inbox: Inbox, number: int) -> None:
    """Some entities acknowledge in the name of another address; from there nothing is expected just then."""
    while (frame := await next_frame(inbox, ACK_SECONDS)) is None or frame.acknowledges not in (0, number):
        if frame is None:
            connection.break_off(f"no acknowledgement within {ACK_SECONDS:g} s")
    if frame.nack:
        raise CommandFailed("ECU_NOT_REACHABLE", "the vehicle does not know this functional address")


async def next_frame(inbox: Inbox, seconds: float) -> Frame | None:
    """None: nothing came in that time."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            frame = await inbox.get()
    except TimeoutError:
        return None
    if isinstance(frame, ConnectionLost):
        raise frame
    return frame
