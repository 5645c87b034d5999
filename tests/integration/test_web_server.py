"""The web image's nginx, with its own configuration, beside a gateway that serves the same pages: no difference."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.middleware import RequestEdge
from gateway.web_pages import WebPages
from tests.support.local_servers import LocalServer, free_port
from tests.support.programs import find_binary
from tests.support.system import ROOT
from tests.support.waiting import wait_for

IMAGE = (ROOT / "deploy/web.Dockerfile").read_text()
SCRIPT = "/assets/index-B3k9_dEf.js"
API = "https://api.example.com"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pages")
    (directory / "assets").mkdir()
    (directory / "index.html").write_text("<!doctype html><title>sovd-webapp</title>" + "<!-- long -->" * 50)
    (directory / "favicon.svg").write_text("<svg/>" * 100)
    (directory / SCRIPT.lstrip("/")).write_text("export const answer = 42;" * 100)
    (directory / "assets/Inter-12345678.woff2").write_bytes(bytes(range(256)))
    return directory


class WebServer(LocalServer):
    """start.sh as the image runs it, and stops it."""

    stop_signal = signal.Signals[IMAGE.partition("\nSTOPSIGNAL ")[2].split()[0]]
    end_signal = "TERM"  # takes its workers along, which KILL leaves behind

    def __init__(self, pages: Path, **environment: str) -> None:
        # A server that root starts would give itself to nobody, who may read less.
        super().__init__("web", account="nobody" if os.geteuid() == 0 else None)
        shutil.copytree(pages, self.directory / "pages")
        (self.directory / "pages").chmod(0o755)
        shutil.copytree(ROOT / "deploy/web", self.directory / "web")
        self.url = f"http://127.0.0.1:{self.port}"
        nginx = str(Path(find_binary("nginx")).parent)
        self._environment = {
            "PATH": f"{nginx}:{os.environ['PATH']}",
            "PORT": str(self.port),
            "WEB_ROOT": str(self.directory / "pages"),
            "TMPDIR": str(self.directory),
            **environment,
        }

    def command(self) -> list[str]:
        return [str(self.directory / "web/start.sh")]

    def environment(self) -> dict[str, str]:
        return self._environment

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").text == "ok\n"
        except httpx.TransportError:
            return False


def running(server: WebServer) -> Iterator[WebServer]:
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def web(pages: Path) -> Iterator[WebServer]:
    yield from running(WebServer(pages))


async def from_gateway(pages: Path, path: str, headers: dict[str, str]) -> httpx.Response:
    async def nothing(scope: object, receive: object, send: object) -> None:
        await PlainTextResponse("", status_code=404)(scope, receive, send)  # type: ignore[arg-type]

    app: ASGIApp = RequestEdge(WebPages(nothing, pages))
    scheme = headers.get("X-Forwarded-Proto", "http")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=f"{scheme}://{headers['Host']}"
    ) as client:
        return await client.get(path, headers=headers)


SECURITY = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "permissions-policy",
    "strict-transport-security",
)


PATHS = ("/", "/vehicles/17?tab=faults", SCRIPT, "/favicon.svg", "/assets/Inter-12345678.woff2")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["sovd.example.com", "127.0.0.1:3000", "[::1]:3000"])
async def test_it_answers_as_the_gateway_does(web: WebServer, pages: Path, path: str, scheme: str, host: str) -> None:
    headers = {"Host": host, "X-Forwarded-Proto": scheme}
    gateways = await from_gateway(pages, path, headers)
    ours = await asyncio.to_thread(httpx.get, web.url + path, headers=headers)
    assert (ours.status_code, ours.content) == (gateways.status_code, gateways.content)
    for name in (*SECURITY, "cache-control", "content-encoding"):
        assert ours.headers.get(name) == gateways.headers.get(name), name
    if gateways.headers["content-type"] != "image/svg+xml":
        assert ours.headers["content-type"] == gateways.headers["content-type"]


@pytest.mark.parametrize("path", ["/assets/index-00000000.js", "/assets/", "/assets/nothing.js"])
def test_what_is_of_another_release_is_no_page(web: WebServer, path: str) -> None:
    answer = httpx.get(web.url + path)
    assert answer.status_code in (403, 404)
    assert "<title>sovd-webapp" not in answer.text


def test_a_forged_host_gets_into_no_policy(web: WebServer) -> None:
    assert httpx.get(web.url, headers={"Host": "x; script-src *"}).status_code == 400


def test_it_says_nothing_of_itself(web: WebServer) -> None:
    assert httpx.get(web.url).headers["server"] == "nginx"


def test_pages_whose_api_is_elsewhere(pages: Path) -> None:
    for server in running(WebServer(pages, API_BASE_URL=f"{API}/sovd/")):
        headers = httpx.get(server.url, headers={"Host": "pages.example.com"}).headers
        policy = dict(one.strip().partition(" ")[::2] for one in headers["content-security-policy"].split(";"))
        here = "ws://pages.example.com wss://pages.example.com"
        assert policy["connect-src"] == f"'self' {here} {API} wss://api.example.com"


@pytest.mark.parametrize("variable", ["API_BASE_URL", "GATEWAY_URL"])
@pytest.mark.parametrize("value", ["api.example.com", "https://x;} server {", 'https://x" y'])
def test_what_is_no_address(pages: Path, variable: str, value: str) -> None:
    environment = {**os.environ, "PORT": str(free_port()), variable: value}
    ran = subprocess.run([ROOT / "deploy/web/start.sh"], env=environment, capture_output=True, text=True, timeout=10)
    assert ran.returncode == 78
    assert ran.stderr.startswith(f"web: {variable}: must ")
    assert ran.stderr.count("\n") == 1


# --- in front of a gateway, as in the compose file


@pytest.fixture
async def gateway_url() -> AsyncIterator[str]:
    """Says which path it was asked for, and whence; and echoes what comes over a WebSocket."""

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(f"{socket.request.path if socket.request else ''} {message!r}")

    def plain(connection: ServerConnection, request: object) -> object:
        headers = request.headers  # type: ignore[attr-defined]
        if "Upgrade" in headers:
            return None
        seen = [request.path, headers["Host"], headers["X-Forwarded-Proto"], headers["X-Forwarded-For"]]  # type: ignore[attr-defined]
        return connection.respond(200, " ".join(seen))

    async with serve(echo, "127.0.0.1", 0, process_request=plain) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


async def test_it_leads_to_the_gateway(pages: Path, gateway_url: str) -> None:
    server = WebServer(pages, GATEWAY_URL=gateway_url)
    try:
        await asyncio.to_thread(server.start)
        async with httpx.AsyncClient(base_url=server.url, headers={"Host": "sovd.example.com"}) as client:
            for path in ("/api/v1/vehicles?limit=1", "/health/ready", "/docs", "/openapi.json"):
                assert (await client.get(path)).text == f"{path} sovd.example.com http 127.0.0.1"
            # Nobody's but the page's.
            for path in ("/metrics", "/apiary", "/documentation"):
                assert "<title>sovd-webapp" in (await client.get(path)).text
        async with connect(f"ws://127.0.0.1:{server.port}/ws/events?ticket=x") as socket:
            await socket.send("hello")
            assert await socket.recv() == "/ws/events?ticket=x 'hello'"
    finally:
        server.close()


async def test_when_it_is_stopped_what_is_open_goes_on_for_a_while(pages: Path, gateway_url: str) -> None:
    server = WebServer(pages, GATEWAY_URL=gateway_url)
    try:
        await asyncio.to_thread(server.start)
        async with connect(f"ws://127.0.0.1:{server.port}/ws/events") as socket:
            await socket.send("before")
            assert await socket.recv() == "/ws/events 'before'"
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            await asyncio.to_thread(wait_for, lambda: not server.answers())
            await socket.send("after")
            assert await socket.recv() == "/ws/events 'after'"
        await stopping
    finally:
        server.close()
