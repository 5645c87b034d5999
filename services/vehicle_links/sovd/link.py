"""The link to a vehicle's own SOVD server (ISO 17978-3 over HTTP)."""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service_kit.logging import get_logger
from vehicle_links.dialled import (
    CommandFailed,
    DialledVehicle,
    Execution,
    FateUnknown,
    NotSent,
    Stopped,
    Unreachable,
)
from vehicle_links.sovd import scan
from vehicle_links.sovd.codec import Object, ServerFailed, bad_response, check, object_of, text_of
from vehicle_links.sovd.commands import SovdCommands
from vehicle_links.sovd.directory import Directory
from vehicle_links.sovd.http import Answer, BadAnswer, ConnectionLost, SovdHttp
from vehicle_links.sovd.locks import Locks

_log = get_logger(__name__)

_ASK_SECONDS = 10.0
_NOT_OFFERED = (404, 405, 501)
_VIN_ID = 0xF190
_VIN = re.compile(r"[A-Z0-9]{17}")
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class SovdRules:
    """Settings of all SOVD links. `ca_file`: whom to trust instead of the system's certificate authorities; without
    `cert_file` and `key_file` the vehicle gets to see no client certificate."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    bearer_token: str = ""
    lock_seconds: int = 30
    session_mode: str = ""
    alive_seconds: float = 10.0


class SovdDialler:
    """A Dialler (see dialled.py). Raises OSError when a certificate cannot be read."""

    def __init__(self, rules: SovdRules) -> None:
        self._rules = rules
        self._tls = _tls_context(rules)

    async def dial(self, vehicle: DialledVehicle) -> "SovdConnection":
        try:
            http = SovdHttp(vehicle.address, tls=self._tls, bearer_token=self._rules.bearer_token)
        except ValueError as error:
            raise Unreachable(f"{vehicle.address!r}: {error}") from error
        connection = SovdConnection(http, self._rules)
        try:
            await connection.open(vehicle.vin)
        except (ConnectionLost, BadAnswer, CommandFailed, FateUnknown) as error:
            await connection.close()
            raise Unreachable(str(error)) from error
        except BaseException:
            await connection.close()
            raise
        return connection


class SovdConnection:
    """A Connection (see dialled.py): HTTP has none that lasts, so the server is asked now and then."""

    def __init__(self, http: SovdHttp, rules: SovdRules) -> None:
        self._http = http
        self._alive_seconds = rules.alive_seconds
        self._alive_path = ""
        self._check_now = asyncio.Event()
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        directory = Directory(http.base, self._get)
        self._commands = SovdCommands(http, directory, Locks(http, rules.lock_seconds), rules.session_mode)

    async def open(self, vin: str) -> None:
        """Finds the API's version and the components; raises when it is another vehicle."""
        self._alive_path = f"{self._http.base}/version-info"
        answer = await self._get(self._alive_path)
        if answer.status in _NOT_OFFERED:  # then the address is that of the API itself
            self._alive_path = f"{self._http.base}/components"
        else:
            info = object_of(check(answer, "version-info"))
            self._http.base = _newest_base(info, self._http) or self._http.base
        directory = self._commands.directory = Directory(self._http.base, self._get)
        await directory.read()
        await self._check_vin(vin)

    async def execute(self, execution: Execution) -> None:
        try:
            await self._run(execution)
        except ConnectionLost as lost:
            self._check_now.set()
            raise FateUnknown(str(lost)) from lost
        except BadAnswer as bad:
            raise bad_response(bad, execution.command.command_name) from bad
        except ServerFailed as failed:
            if execution.begun and not execution.command.repeatable:
                raise
            raise CommandFailed(failed.code, str(failed)) from failed

    async def lost(self) -> str:
        while not self._broken.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._alive_seconds):
                    await self._check_now.wait()
            self._check_now.clear()
            if not await self._speaks():
                self._break("the SOVD server does not answer any more")
        return self._broken.result()

    async def close(self) -> None:
        self._break("closed")
        await self._http.close()

    def _break(self, reason: str) -> None:
        if not self._broken.done():
            self._broken.set_result(reason)
        self._check_now.set()

    async def _run(self, execution: Execution) -> None:
        """As long as nothing of it is sent, a connection that breaks (an idle one that was just closed) is no reason
        to give up: it is tried once more."""
        try:
            await self._while_it_lasts(execution)
        except ConnectionLost:
            if execution.begun:
                raise
            try:
                await self._while_it_lasts(execution)
            except ConnectionLost as lost:
                if execution.begun:
                    raise
                self._break(str(lost))
                raise NotSent from lost

    async def _while_it_lasts(self, execution: Execution) -> None:
        """From a vehicle that is gone nothing is awaited: others wait for the next link. What changes nothing is simply
        left off when that is asked; a change says itself whether it has stopped."""
        running = asyncio.ensure_future(self._ask(execution))
        stopping = asyncio.ensure_future(execution.stop_requested.wait())
        gone = asyncio.ensure_future(self._gone())
        repeatable = execution.command.repeatable
        ends = (running, stopping, self._broken) if repeatable else (running, gone)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            elif repeatable and stopping.done():
                raise Stopped
            else:
                raise ConnectionLost(self._broken.result())
        finally:
            stopping.cancel()
            gone.cancel()
            if not running.done():
                running.cancel()
                await asyncio.wait((running,))

    async def _gone(self) -> None:
        """Returns when the link is broken and the vehicle silent. That another command could not be sent, which breaks
        the link too, says nothing of a change that is under way on a connection of its own."""
        await asyncio.shield(self._broken)
        while await self._speaks():  # noqa: ASYNC110 (it is the vehicle that is asked)
            await asyncio.sleep(self._alive_seconds)

    async def _ask(self, execution: Execution) -> None:
        if execution.command.command_name == scan.COMMAND_NAME:
            await scan.run(self._commands, execution)
        else:
            await self._commands.run(execution)

    async def _speaks(self) -> bool:
        """Anything it says will do. A second time, so that one lost packet is no outage."""
        for _ in range(2):
            with suppress(ConnectionLost):
                with suppress(BadAnswer):
                    await self._get(self._alive_path)
                return True
        return False

    async def _get(self, path: str) -> Answer:
        return await self._http.request("GET", path, read_seconds=_ASK_SECONDS)

    async def _check_vin(self, vin: str) -> None:
        """The first component that knows its vehicle's VIN is believed; a server need not have one."""
        for component in await self._commands.directory.components():
            path = await self._commands.directory.resource(component, "data", _VIN_ID)
            try:
                said = object_of(check(await self._get(path), "the VIN"))
            except (CommandFailed, FateUnknown, BadAnswer):
                continue
            found = _vin_in(said.get("data", said.get("value")))
            if found and found != vin:
                raise CommandFailed("WRONG_VEHICLE", f"at this address is the vehicle {found}, not {vin}")
            if found:
                return


def _tls_context(rules: SovdRules) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=rules.ca_file)
    except OSError as error:
        raise OSError(f"SOVD_CA_FILE {rules.ca_file}: {error}") from error
    if rules.cert_file is not None:
        try:
            context.load_cert_chain(rules.cert_file, rules.key_file)
        except OSError as error:
            raise OSError(f"SOVD_CERT_FILE {rules.cert_file}, SOVD_KEY_FILE {rules.key_file}: {error}") from error
    return context


def _vin_in(data: Any) -> str:
    values = data.values() if isinstance(data, dict) else (data,)
    return next((value for value in values if isinstance(value, str) and _VIN.fullmatch(value)), "")


def _newest_base(version_info: Object, http: SovdHttp) -> str | None:
    """`base_uri` of the newest version 1.x (ISO 17978-3, 7.4.1); one at another host is not followed."""
    offered = version_info.get("sovd_info", version_info.get("items"))
    found: list[tuple[tuple[int, int], str]] = []
    for info in offered if isinstance(offered, list) else []:
        if isinstance(info, dict) and (match := _VERSION.match(text_of(info, "version"))) and match[1] == "1":
            path = http.own_path(info.get("base_uri"))
            if path is not None:
                found.append(((int(match[1]), int(match[2])), path.rstrip("/")))
    return max(found)[1] if found else None
