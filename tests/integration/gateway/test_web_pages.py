"""The web interface as a browser gets it: pages, files, caching, compression, and what its pages may load."""

import gzip
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.conftest import Running, StartGateway

PAGE = "<!doctype html><title>sovd-webapp</title>" + "<!-- long -->" * 50
SCRIPT = "export const answer = 42;" * 100
FONT = bytes(range(256)) * 4
SCRIPT_NAME = "/assets/index-B3k9_dEf.js"


@pytest.fixture
def web_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "web" / "dist"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text(PAGE)
    (directory / "favicon.svg").write_text("<svg/>")
    (directory / SCRIPT_NAME.lstrip("/")).write_text(SCRIPT)
    (directory / "assets" / "Roboto-12345678.woff2").write_bytes(FONT)
    (directory / "assets" / "logo.png").write_bytes(b"\x89PNG")
    (directory.parent / "secret.txt").write_text("not for anybody")
    return directory


@pytest.fixture
async def gateway(start_gateway: StartGateway, web_directory: Path) -> Running:
    return await start_gateway(web_directory=web_directory)


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    directives = [one.split() for one in answer.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize("path", ["/", "/index.html", "/vehicles/17?tab=faults", "/docs-of-ours", "/apiary", "/a/b.c"])
async def test_every_address_of_its_own_is_the_page(gateway: Running, path: str) -> None:
    answer = await gateway.client.get(path)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_scripts_come_from_here_and_nowhere_else(gateway: Running) -> None:
    allowed, host = policy(await gateway.client.get("/")), f"127.0.0.1:{gateway.gateway.port}"
    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == ["'self'"]
    assert allowed["connect-src"] == ["'self'", f"ws://{host}", f"wss://{host}"]
    assert allowed["frame-ancestors"] == ["'none'"]
    forged = await gateway.client.get("/", headers={"Host": "x; script-src *"})
    assert policy(forged)["script-src"] == ["'self'"]
    assert policy(forged)["connect-src"] == ["'self'"]


async def test_behind_tls(start_gateway: StartGateway, web_directory: Path) -> None:
    gateway = await start_gateway(web_directory=web_directory, trusted_proxies="127.0.0.1")
    answer = await gateway.client.get("/", headers={"X-Forwarded-Proto": "https", "Host": "sovd.example"})
    assert policy(answer)["connect-src"] == ["'self'", "wss://sovd.example"]
    assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize(
    ("path", "media_type", "caching"),
    [
        (SCRIPT_NAME, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/Roboto-12345678.woff2", "font/woff2", "public, max-age=31536000, immutable"),
        ("/assets/logo.png", "image/png", "no-cache"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
    ],
)
async def test_files(gateway: Running, path: str, media_type: str, caching: str) -> None:
    answer = await gateway.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == caching
    head = await gateway.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]
    known = {"If-None-Match": f'"other", {answer.headers["etag"]}'}
    unchanged = await gateway.client.get(path, headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (await gateway.client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip, br", True), ("br;q=1.0, gzip;q=0.8", True), ("gzip;q=0", False), ("identity", False), ("", False)],
)
async def test_compression(gateway: Running, accepted: str, compressed: bool) -> None:
    async with gateway.client.stream("GET", SCRIPT_NAME, headers={"Accept-Encoding": accepted}) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.headers.get("content-encoding") == "gzip") == compressed
    assert (gzip.decompress(sent) if compressed else sent).decode() == SCRIPT
    assert (len(sent) < len(SCRIPT)) == compressed
    assert answer.headers["vary"] == "accept-encoding"
    font = await gateway.client.get("/assets/Roboto-12345678.woff2", headers={"Accept-Encoding": "gzip"})
    assert ("content-encoding" in font.headers, font.content) == (False, FONT)


@pytest.mark.parametrize(
    "path", ["/api", "/api/v1/nothing", "/ws/nothing", "/health/nothing", "/docs/nothing", "/assets/index-00000000.js"]
)
async def test_what_is_no_page(gateway: Running, path: str) -> None:
    answer = await gateway.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_the_api_is_as_it_was(gateway: Running) -> None:
    assert (await gateway.client.get("/health/live")).json() == {"status": "alive"}
    assert "swagger-ui" in (await gateway.client.get("/docs")).text
    assert (await gateway.client.get("/openapi.json")).json()["openapi"].startswith("3.1")
    assert (await gateway.client.get("/metrics")).headers["content-type"].startswith("text/plain")
    assert (await gateway.client.get("/api/v1/auth/login")).json()["code"] == "METHOD_NOT_ALLOWED"
    assert (await gateway.client.post("/vehicles")).json()["code"] == "NOT_FOUND"
    vehicles = await gateway.client.get("/api/v1/vehicles", headers=await gateway.headers())
    assert vehicles.json()["items"] == []


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/..%2fsecret.txt"]
)
async def test_nothing_outside_of_its_directory(gateway: Running, path: str) -> None:
    url = httpx.URL(f"http://127.0.0.1:{gateway.gateway.port}").copy_with(raw_path=path.encode())
    assert "not for anybody" not in (await gateway.client.get(url)).text


async def test_pages_are_counted_together(gateway: Running) -> None:
    for path in ("/one", "/two", SCRIPT_NAME):
        await gateway.client.get(path)
    metrics = (await gateway.client.get("/metrics")).text
    assert 'route="/",status="200"' in metrics
    assert 'route="/{file}",status="200"' in metrics
    assert "/two" not in metrics


async def test_a_file_that_has_gone(start_gateway: StartGateway, web_directory: Path) -> None:
    gateway = await start_gateway(web_directory=web_directory)
    (web_directory / "favicon.svg").unlink()
    answer = await gateway.client.get("/favicon.svg")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
