"""What surrounds every request."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from gateway.middleware import DISCARD_TIMES, BodyLimit, RequestEdge
from gateway.problem_details import install_problem_details
from service_kit.tracing import configure_tracing, current_traceparent, shutdown_tracing

LIMIT = 1000


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(docs_url=None)
    install_problem_details(app)

    @app.post("/echo/{name}")
    async def echo(name: str, request: Request) -> dict[str, object]:
        return {"bytes": len(await request.body()), "traceparent": current_traceparent()}

    @app.get("/docs")
    async def docs() -> str:
        return "docs"

    return app


@pytest.fixture
def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(RequestEdge(BodyLimit(app, LIMIT)))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_the_trace_of_the_caller_is_continued_and_probes_have_none(client: httpx.AsyncClient) -> None:
    configure_tracing("gateway", spans := InMemorySpanExporter())
    try:
        headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        inside = (await client.post("/echo/a", headers=headers)).json()["traceparent"]
        for path in ("/health/ready", "/metrics"):
            await client.get(path, headers=headers)
        await client.get("/nowhere")
    finally:
        shutdown_tracing()
    echo, nowhere = spans.get_finished_spans()
    assert (echo.name, nowhere.name) == ("POST /echo/{name}", "GET")
    assert echo.context is not None
    assert inside == f"00-0af7651916cd43dd8448eb211c80319c-{echo.context.span_id:016x}-01"


async def test_a_body_of_the_right_size(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo/a", content=b"x" * LIMIT)).json()["bytes"] == LIMIT
    assert (await client.post("/echo/a", content=chunks(400, 600))).json()["bytes"] == LIMIT


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(client: httpx.AsyncClient, chunked: bool) -> None:
    answer = await client.post("/echo/a", content=chunks(600, 401) if chunked else b"x" * (LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "BODY_TOO_LARGE"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "connection" not in answer.headers  # it was read to its end: the next request may follow


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_never_ends_is_cut_off(client: httpx.AsyncClient, chunked: bool) -> None:
    size = LIMIT * DISCARD_TIMES * 2
    answer = await client.post("/echo/a", content=chunks(*[LIMIT] * (size // LIMIT)) if chunked else b"x" * size)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("path", ["/echo/a", "/nowhere", "/docs"])
async def test_security_headers_are_on_every_answer(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert ("jsdelivr" in headers["content-security-policy"]) == (path == "/docs")
    assert "strict-transport-security" not in headers
    assert headers.get("cache-control") == (None if path == "/docs" else "no-store")


async def test_https_is_asked_for_where_it_is_used(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(RequestEdge(app)), base_url="https://gateway") as client:
        assert "max-age" in (await client.get("/docs")).headers["strict-transport-security"]


async def test_the_caller_s_trace_goes_on(client: httpx.AsyncClient) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    inside = (await client.post("/echo/a", headers={"traceparent": traceparent})).json()["traceparent"]
    assert inside == traceparent
    assert len((await client.post("/echo/a")).json()["traceparent"]) == 55


async def test_requests_are_counted_by_pattern(client: httpx.AsyncClient) -> None:
    def count(method: str, route: str, status: str) -> float:
        labels = {"method": method, "route": route, "status": status}
        return REGISTRY.get_sample_value("sovd_http_requests_total", labels) or 0

    before = count("POST", "/echo/{name}", "200"), count("any", "unmatched", "404")
    for name in ("a", "b"):
        await client.post(f"/echo/{name}")
        await client.get(f"/nowhere/{name}")
    assert (count("POST", "/echo/{name}", "200"), count("any", "unmatched", "404")) == (before[0] + 2, before[1] + 2)
