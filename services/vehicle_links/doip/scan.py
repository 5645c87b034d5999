"""ScanECUs: who answers a tester present, and what each says of itself (ISO 14229-1, 0x3E, 0x22 and Annex C.1)."""

import asyncio
from collections.abc import Sequence

from service_kit.uds import RESPONSE_PENDING
from service_kit.uds.identification import FACTS, text_of
from vehicle_links.dialled import CommandFailed, Execution
from vehicle_links.doip.commands import number, read_data
from vehicle_links.doip.decoding import Json, hexadecimal
from vehicle_links.doip.ecu import TESTER_PRESENT, EcuSession, Negative, is_answer_or_refusal
from vehicle_links.doip.ecus import Ecus
from vehicle_links.doip.entity import ConnectionLost, EntityConnection, Inbox
from vehicle_links.doip.functional import ask_all, check_time, next_frame

COMMAND_NAME = "ScanECUs"
_ALL_ECUS = 0xE400
_ADDRESS_COUNT = 256
_HIGHEST_ADDRESS = 0xFFFF
# Of a range, so many are asked at once, and then waited for: an ECU answers within P2, which gateways make longer.
_AT_ONCE = 4
_ANSWER_SECONDS = 0.5
# An entity is asked at most _AT_ONCE addresses in this time, however fast it says that they are not there.
_LEAST_SECONDS = 0.04
_TELL_EVERY = 256
# For all that one ECU says of itself: one that falls silent does not hide those behind it.
_IDENTITY_SECONDS = 5.0


async def run(connection: EntityConnection, ecus: Ecus, execution: Execution) -> None:
    """One response for each ECU that answers, by address, then how many. Raises what links raise."""
    found = sorted(await _answering(connection, ecus, execution))
    for address in found:
        await execution.respond(await _identity(ecus[address], execution))
    await execution.respond({"count": len(found)})


async def _answering(connection: EntityConnection, ecus: Ecus, execution: Execution) -> set[int]:
    params = execution.parameters
    everybody = number(params, "functionalAddress") if "functionalAddress" in params else _ALL_ECUS
    try:
        found = set(await ask_all(connection, everybody, TESTER_PRESENT, ecus, execution))
    except CommandFailed as failure:
        if "firstAddress" not in params:
            hint = f"0x{everybody:X}: {failure.message}; try another functionalAddress, or firstAddress"
            raise CommandFailed(failure.code, hint) from None
        found = set()
    if "firstAddress" in params:
        first = number(params, "firstAddress")
        last = min(_HIGHEST_ADDRESS, first + params.get("addressCount", _ADDRESS_COUNT) - 1)
        try:
            async with ecus.none_by_itself(execution):
                found |= await _ask_each(connection, range(first, last + 1), execution)
        except ConnectionLost as lost:
            raise lost.fate from None
    return found


async def _ask_each(connection: EntityConnection, addresses: Sequence[int], execution: Execution) -> set[int]:
    found: set[int] = set()
    inbox = connection.listen_to_all()
    try:
        for at in range(0, len(addresses), _AT_ONCE):
            check_time(execution)
            if at and at % _TELL_EVERY == 0:
                await execution.progress(RESPONSE_PENDING, f"{at} of {len(addresses)} addresses were asked")
            connection.check()
            for address in addresses[at : at + _AT_ONCE]:
                connection.write(address, TESTER_PRESENT)
            found |= await _heard(inbox, set(addresses[at : at + _AT_ONCE]))
    finally:
        connection.stop_listening_to_all()
    return found.intersection(addresses)


async def _heard(inbox: Inbox, waiting_for: set[int]) -> set[int]:
    """Who answers, until all have or the entity says that they are not there; also who was asked before and is slow."""
    clock, heard = asyncio.get_running_loop().time, set()
    begin = clock()
    while waiting_for and (frame := await next_frame(inbox, begin + _ANSWER_SECONDS - clock())) is not None:
        if frame.nack is None and is_answer_or_refusal(frame.data, TESTER_PRESENT):
            heard.add(frame.ecu)
        if frame.nack is None or frame.nack:
            waiting_for.discard(frame.ecu)
    await asyncio.sleep(begin + _LEAST_SECONDS - clock())
    return heard


async def _identity(ecu: EcuSession, execution: Execution) -> Json:
    """What it says; where it makes no sense or stops answering, `problem` says so."""
    said: Json = {"ecuAddress": f"0x{ecu.address:X}"}
    try:
        async with asyncio.timeout(_IDENTITY_SECONDS):
            for fact, data_ids in FACTS.items():
                said |= await _fact(ecu, execution, fact, data_ids)
    except CommandFailed as failure:
        said["problem"] = f"{failure.code}: {failure.message}"
    except TimeoutError:
        said["problem"] = f"it has not said all within {_IDENTITY_SECONDS:g} s"
    return said


async def _fact(ecu: EcuSession, execution: Execution, fact: str, data_ids: Sequence[int]) -> Json:
    """From the first of the identifiers that the ECU knows; as text, or the bytes in hexadecimal."""
    for data_id in data_ids:
        try:
            raw = (await ecu.ask(execution, read_data(data_id)))[3:]
        except Negative:
            continue
        if raw:
            return {fact: text_of(data_id, raw) or hexadecimal(raw)}
    return {}
