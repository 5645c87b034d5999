"""Administrative SQL for tests, usable with or without a running event loop."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import asyncpg  # type: ignore[import-untyped]


def execute_sql(url: str, *statements: str) -> None:
    """Execute statements one by one, each in a transaction of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(url, timeout=30)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    run_apart(run())


def run_apart(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a thread and event loop of its own, whatever runs here."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
