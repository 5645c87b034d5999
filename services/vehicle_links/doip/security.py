"""What an operator plugs in to unlock ECUs, named by settings as `module:function`.

A seed-key function (service 0x27):  key(seed: bytes, level: int, vin: str, ecu_address: int) -> bytes
It runs in a thread: it may compute for a while, or ask a server.

An authentication (service 0x29):    async authenticate(ask, vin: str, ecu_address: int) -> None
`ask` sends the bytes after the service byte and returns those of the positive answer; a refusal raises. What it returns
from counts as authenticated.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from service_kit.logging import get_logger
from vehicle_links.dialled import LINK_OUTCOMES, CommandFailed

_log = get_logger(__name__)

SeedKey = Callable[[bytes, int, str, int], bytes]
Ask = Callable[[bytes], Awaitable[bytes]]
Authenticate = Callable[[Ask, str, int], Awaitable[None]]


def load_function(name: str) -> Callable[..., Any]:
    """The function that `module:function` names. Raises ValueError that says what is wrong with it."""
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise ValueError(f"{name!r} is not of the form module:function")
    try:
        function = getattr(import_module(module_name), function_name, None)
    except ImportError as error:
        raise ValueError(f"{name!r}: {error}") from None
    if not callable(function):
        raise ValueError(f"{name!r}: {module_name} has no function {function_name}")
    loaded: Callable[..., Any] = function
    return loaded


@dataclass(frozen=True, slots=True)
class Security:
    """What there is for one vehicle. `level`: the odd sub-function that requests a seed."""

    vin: str
    level: int = 1
    seed_key: SeedKey | None = None
    authenticate: Authenticate | None = None

    async def unlock(self, ask: Ask, ecu_address: int) -> None:
        """0x29; what the ECU refuses, and what else links raise, comes through."""
        assert self.authenticate is not None
        try:
            await self.authenticate(ask, self.vin, ecu_address)
        except LINK_OUTCOMES:
            raise
        except Exception as error:
            _log.error("authentication_failed", vin=self.vin, exc_info=error)
            raise CommandFailed("AUTHENTICATION_FAILED", "the authentication failed; the log says why") from None

    async def key(self, seed: bytes, ecu_address: int) -> bytes:
        assert self.seed_key is not None
        try:
            key: object = await asyncio.to_thread(self.seed_key, seed, self.level, self.vin, ecu_address)
        except Exception as error:
            _log.error("seed_key_failed", vin=self.vin, exc_info=error)
            raise CommandFailed("SECURITY_ACCESS_FAILED", "the seed-key function failed; the log says why") from None
        if not isinstance(key, bytes):
            raise CommandFailed("SECURITY_ACCESS_FAILED", "the seed-key function returned no bytes")
        return key
