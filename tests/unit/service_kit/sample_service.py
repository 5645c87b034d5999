"""A service for test_run_service: what it does is its argument."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service_kit.errors import Forbidden, Unavailable
from service_kit.lifecycle import Lifecycle, run_service
from service_kit.settings import ServiceSettings, load_settings

BEHAVIOUR = sys.argv[1]


def say(text: str) -> None:
    print(text, flush=True)


async def drain() -> None:
    if BEHAVIOUR == "hang":
        say("draining")
        await asyncio.Event().wait()
    say("drained")


async def close() -> None:
    say("closed")


async def fail() -> None:
    raise ValueError("broken")


async def start() -> None:
    match BEHAVIOUR:
        case "no database":
            raise Unavailable("NOT_MIGRATED", "DATABASE_URL: the database is not migrated;\nrun `sovd migrate`")
        case "no broker":
            raise ConnectionRefusedError(111, "Connection refused by the broker")
        case "refused":
            raise Forbidden("ENROLMENT_CODE_WRONG", "the code is not good")
        case "no text":
            raise TimeoutError
        case "bug":
            print(1 / 0)
        case "slow start":
            say("starting")
            await asyncio.Event().wait()


@asynccontextmanager
async def compose(settings: ServiceSettings) -> AsyncIterator[Lifecycle]:
    async with Lifecycle("sample", settings.drain_seconds) as lifecycle:
        lifecycle.on_close(close)
        await start()
        lifecycle.on_drain(drain)
        say(f"ready on {type(asyncio.get_running_loop()).__module__}")
        if BEHAVIOUR == "failing part":
            lifecycle.background(fail(), "loop")
        lifecycle.set_ready(True)
        yield lifecycle


if __name__ == "__main__":
    run_service("sample", load_settings(ServiceSettings), compose)
