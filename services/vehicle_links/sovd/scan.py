"""ScanECUs: the components that have an address, and what their identification data say (ISO 17978-3, 7.5 and 7.9)."""

import asyncio
from collections.abc import Sequence

from service_kit.uds.identification import FACTS
from vehicle_links.dialled import CommandFailed, Execution
from vehicle_links.sovd.codec import Object, ServerFailed
from vehicle_links.sovd.commands import SovdCommands, read_value
from vehicle_links.sovd.directory import Component
from vehicle_links.sovd.http import BadAnswer

COMMAND_NAME = "ScanECUs"
# For all that one component says of itself: one that falls silent does not hide those behind it.
_IDENTITY_SECONDS = 10.0
_QUOTED_BYTES = 300


async def run(to: SovdCommands, execution: Execution) -> None:
    """One response for each component, by address, then how many. Raises what links raise."""
    await to.directory.read()
    execution.begin()
    components = {component.address or 0: component for component in await to.directory.components()}
    for address, component in sorted(components.items()):
        await execution.respond({"ecuAddress": f"0x{address:X}"} | await _identity(to, execution, component))
    await execution.respond({"count": len(components)})


async def _identity(to: SovdCommands, execution: Execution, component: Component) -> Object:
    """What it says; where it makes no sense or does not answer, `problem` says so."""
    said: Object = {}
    try:
        async with asyncio.timeout(_IDENTITY_SECONDS):
            declared = await to.directory.declared(component, "data")
            for fact, data_ids in FACTS.items():
                wanted = [data_id for data_id in data_ids if not declared or data_id in declared]
                said |= await _fact(to, execution, component, fact, wanted)
    except ServerFailed as failed:
        said["problem"] = f"{failed.code}: {failed}"
    except BadAnswer as bad:
        said["problem"] = f"{bad.reason}: {bad.raw[:_QUOTED_BYTES]!r}"
    except TimeoutError:
        said["problem"] = f"it has not said all within {_IDENTITY_SECONDS:g} s"
    return said | {"name": component.name}


async def _fact(
    to: SovdCommands, execution: Execution, component: Component, fact: str, data_ids: Sequence[int]
) -> Object:
    """From the first of the identifiers that it knows; as text, or the bytes in hexadecimal."""
    for data_id in data_ids:
        try:
            answer = await read_value(to, execution, component, f"0x{data_id:04X}")
        except CommandFailed:
            continue
        if said := str(answer.get("value", answer["raw"])):
            return {fact: said}
    return {}
