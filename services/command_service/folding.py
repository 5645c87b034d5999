"""Keeps the counts per hour that summaries are made of up to date."""

import asyncio

from command_service.use_cases.summary import FoldEndedCommands
from service_kit.errors import Unavailable
from service_kit.logging import get_logger

_PAUSE_SECONDS = 10.0

_log = get_logger(__name__)


async def keep_folding(fold: FoldEndedCommands) -> None:
    while True:
        try:
            while await fold():
                pass
        except Unavailable as error:
            _log.warning("counting_waits", reason=error.message)
        await asyncio.sleep(_PAUSE_SECONDS)
