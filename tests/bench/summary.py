"""How long a summary takes with many commands, all of the last day: `python -m tests.bench.summary [commands]`.

The first number is of everything at once, as after an upgrade; then what a dashboard asks for.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

from command_service.storage import SCHEMA, SqlStorage, migrate
from command_service.use_cases.summary import FoldEndedCommands, Summarise
from service_kit.database import open_engine
from tests.bench.recent import insert_recent
from tests.support.servers import Servers

TIMES = 50


async def _seconds(action: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


async def _measure(url: str) -> None:
    engine = open_engine(url, SCHEMA)
    storage = SqlStorage(engine)
    fold, summarise = FoldEndedCommands(storage), Summarise(storage)

    async def fold_all() -> None:
        while await fold():
            pass

    print(f"counting all of them, once: {await _seconds(fold_all):.1f} s")
    for hours in (24, 168):
        times = sorted([await _seconds(partial(summarise, hours)) * 1000 for _ in range(TIMES)])
        print(f"a summary of {hours} hours: median {median(times):.1f} ms, {TIMES} times at most {times[-1]:.1f} ms")
    summary = await summarise(24)
    print(f"commands in it: {sum(summary.by_status.values()):,}; by status: {dict(summary.by_status)}")
    await engine.dispose()


def main(commands: int) -> None:
    servers = Servers()
    try:
        url = servers.postgres.new_database()
        asyncio.run(migrate(url))
        insert_recent(url, commands, hours=23)
        asyncio.run(_measure(url))
    finally:
        servers.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
